//go:build unix

package durable

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// SyncDir makes the entries of the directory dir durable: files created in it,
// renamed into it and removed from it before the call stay so across a loss of
// power once it has returned nil. An error is final; repeating the call proves
// nothing. A file system that cannot be asked (EINVAL, ENOTSUP: some network
// and user-space ones) is taken to need no asking, as PostgreSQL does.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("durable: sync directory %s: %w", dir, err)
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if e := d.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("durable: sync directory %s: %w", dir, err)
	}
	return nil
}
