//go:build unix && !linux

package upgrade

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// selfPath starts the program at its path: nothing else has the name yet.
func selfPath(p Program) string { return p.Path }

// A parent is the server as its watcher sees it.
type parent struct {
	pid  int
	gone chan struct{} // closed when it is our parent no more
}

// watchParent returns nil if process pid is not our parent any more.
func watchParent(pid int) *parent {
	if os.Getppid() != pid {
		return nil
	}
	p := &parent{pid: pid, gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		for os.Getppid() == pid {
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return p
}

// kill reports whether the server is dead.
func (p *parent) kill() bool {
	if os.Getppid() == p.pid {
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
	select {
	case <-p.gone:
		return true
	case <-time.After(killBound):
		return false
	}
}

// fate is not to be seen here.
func (p *parent) fate() unix.WaitStatus { return unknownFate }
