//go:build !linux

package capabilities

import (
	"errors"
	"fmt"
)

// String returns "": nothing has any.
func (s Set) String() string { return "" }

// OfFile returns none: no file has any.
func OfFile(path string) (Set, error) { return 0, nil }

// OfProcess returns an error that wraps errors.ErrUnsupported.
func OfProcess() (Process, error) {
	return Process{}, fmt.Errorf("capabilities: of a process: %w", errors.ErrUnsupported)
}
