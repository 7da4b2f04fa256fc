//go:build unix

package upgrade

import (
	"os"
	"syscall"
)

// execAgain starts the program at the path in place of this process, as this one
// was started. It returns only if that failed.
func (s *Started) execAgain() error {
	if s.dir != "" {
		_ = os.Chdir(s.dir) // one that was removed must not keep the program from starting
	}
	// No child is forked meanwhile that would inherit what is passed on.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.NewSyscallError("execve", syscall.Exec(s.Program.Path, s.args, os.Environ()))
}
