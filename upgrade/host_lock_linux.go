package upgrade

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A programLock is how servers that run from one file know of each other. Each
// holds a shared lock on that very file, not on a name beside it: nothing is
// left behind, a new program is another file, and a process that merely runs a
// command of the same program holds none.
//
// It is an open file description lock, fcntl_locking(2): asking who else has
// one disturbs nobody, it does not depend on the process, and it ends with the
// descriptor, so that an exec in place lets go of it.
type programLock struct{ file *os.File }

// hold locks the running program until Close, or until the process is replaced
// or ends. Servers do it for as long as they run; commands do not. The error
// wraps errors.ErrUnsupported where there are no such locks.
func (p Program) hold() (*programLock, error) {
	path := p.Path
	if _, same := runningFile(p.Info); same {
		path = "/proc/self/exe" // also if something else has the name by now
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("upgrade: lock %s: %w", p.Path, err)
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(info, p.Info) {
		err = fmt.Errorf("another file lies there now: %w", os.ErrNotExist)
	}
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK})
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("upgrade: lock %s: %w", p.Path, err)
	}
	return &programLock{file: f}, nil
}

// adopt takes over the lock on the running program that Probe holds as fd.
func (p Program) adopt(fd int) *programLock {
	var s unix.Stat_t
	own, ok := p.Info.Sys().(*syscall.Stat_t)
	if fd < 0 || unix.Fstat(fd, &s) != nil || !ok || s.Dev != own.Dev || s.Ino != own.Ino {
		return nil
	}
	return &programLock{file: os.NewFile(uintptr(fd), p.Path)}
}

// fd is for adopt; -1 without a lock.
func (l *programLock) fd() int {
	if l == nil {
		return -1
	}
	return int(l.file.Fd())
}

// besides reports whether another server holds a lock on the same file, as far as
// that can be told.
func (l *programLock) besides() bool {
	if l == nil {
		return false
	}
	shared, err := l.shared()
	return err == nil && shared
}

// shared reports whether another server holds a lock on the same file now.
func (l *programLock) shared() (bool, error) {
	// Whatever forbids a lock for writing is somebody else's.
	q := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(l.file.Fd(), unix.F_OFD_GETLK, &q); err != nil {
		return false, fmt.Errorf("upgrade: ask for locks on %s: %w", l.file.Name(), err)
	}
	return q.Type != unix.F_UNLCK, nil
}

// Close gives the lock up, if there is one.
func (l *programLock) Close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
