//go:build unix && !aix && !solaris

package archive

import (
	"errors"
	"os"
	"syscall"

	"github.com/spf13/afero"
)

// lock marks f as being written, until it is closed or its process dies. It
// reports whether the mark could be set: another process has it if held is true,
// and the file system knows no such marks otherwise.
func lock(f afero.File) (ok, held bool) {
	file, real := f.(*os.File)
	if !real {
		return false, false
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return false, false
	}
	cerr := conn.Control(func(fd uintptr) {
		for {
			if err = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	return cerr == nil && err == nil, errors.Is(err, syscall.EWOULDBLOCK)
}
