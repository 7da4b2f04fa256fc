//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package tracking

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile creates the file at path if need be and locks it until it is closed.
// The lock belongs to the open file, not to the process: it keeps out a second
// File of the same process too, and the kernel frees it whatever ends us.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s is locked", ErrLocked, path)
	} else if err != nil {
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
