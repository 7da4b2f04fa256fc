//go:build !linux

package durable

import (
	"errors"
	"os"
)

func beginWriting(*os.File, int64, int64) {}

func (f *osFile) Allocate(int64) error { return nil }

func (f *osFile) Xattrs() (map[string][]byte, error) { return nil, nil }

func (f *osFile) SetXattr(string, []byte) error { return errors.ErrUnsupported }
