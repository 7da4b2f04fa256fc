package restart

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkProgram tells whether path can be executed, as far as the file system
// says.
func checkProgram(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path: %w", path, fs.ErrInvalid)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: %w", path, fs.ErrInvalid)
	}
	if noExec(path) {
		return fmt.Errorf("%s lies on a file system that is mounted noexec; remount it or move the program: %w", path, fs.ErrPermission)
	}
	if err := mayExecute(path); err != nil {
		return fmt.Errorf("%s cannot be executed by this user, see its mode and that of its directories: %w", path, err)
	}
	return nil
}
