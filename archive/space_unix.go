//go:build unix

package archive

import (
	"errors"
	"syscall"
)

// noSpace reports whether err says that the disk, or the quota, is used up.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
