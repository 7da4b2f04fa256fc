//go:build !unix

package archive

import (
	"errors"
	"syscall"
)

// noSpace reports whether err says that the disk is used up.
func noSpace(err error) bool {
	const handleDiskFull, diskFull = 39, 112 // of Windows
	var code syscall.Errno
	if errors.As(err, &code) && (code == handleDiskFull || code == diskFull) {
		return true
	}
	return errors.Is(err, syscall.ENOSPC)
}
