//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly && !windows

package tracking

import (
	"errors"
	"fmt"
	"os"
)

// lockFile fails: without a lock, two processes would overwrite each other.
func lockFile(path string) (*os.File, error) {
	return nil, fmt.Errorf("lock %s: %w", path, errors.ErrUnsupported)
}
