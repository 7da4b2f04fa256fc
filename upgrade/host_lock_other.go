//go:build !linux

package upgrade

import (
	"errors"
	"fmt"
)

// A programLock is how servers that run from one file know of each other. There
// are none on this operating system.
type programLock struct{}

func (p Program) hold() (*programLock, error) {
	return nil, fmt.Errorf("upgrade: lock %s: %w", p.Path, errors.ErrUnsupported)
}

func (Program) adopt(int) *programLock { return nil }

func (*programLock) fd() int { return -1 }

func (*programLock) besides() bool { return false }

func (*programLock) shared() (bool, error) { return false, errors.ErrUnsupported }

func (*programLock) Close() error { return nil }
