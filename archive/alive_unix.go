//go:build unix

package archive

import (
	"errors"
	"syscall"
)

// alive reports whether a process has that id.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
