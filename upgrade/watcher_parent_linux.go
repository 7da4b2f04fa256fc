package upgrade

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// selfPath starts the program that runs, whatever has its name by now.
func selfPath(Program) string { return "/proc/self/exe" }

// A parent is the server as its watcher sees it.
type parent struct {
	pid  int
	fd   int           // that stands for the process, and for no other
	gone chan struct{} // closed when no thread of it is left
}

// watchParent returns nil if process pid is not our parent any more.
func watchParent(pid int) *parent {
	p := &parent{pid: pid, fd: -1, gone: make(chan struct{})}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		p.fd = fd // close-on-exec
	}
	if os.Getppid() != pid {
		return nil
	}
	go p.await()
	return p
}

func (p *parent) await() {
	defer close(p.gone)
	if p.fd < 0 { // a kernel before 5.3, or one that was told to refuse it
		for os.Getppid() == p.pid {
			time.Sleep(20 * time.Millisecond)
		}
		return
	}
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(fds, -1); n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// kill reports whether the server is dead.
func (p *parent) kill() bool {
	if p.fd >= 0 {
		_ = unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0)
	} else if os.Getppid() == p.pid {
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
	select {
	case <-p.gone:
		return true
	case <-time.After(killBound):
		return false
	}
}

// fate is how the dead server ended, as long as its own parent has not asked for
// that.
func (p *parent) fate() unix.WaitStatus {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
	if err != nil {
		return unknownFate
	}
	const state, exitCode = 0, 52 - 3 // fields 3 and 52 of proc(5); the first two end at the parenthesis
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) <= exitCode || f[state] != "Z" {
		return unknownFate
	}
	n, err := strconv.ParseUint(f[exitCode], 10, 32)
	if err != nil {
		return unknownFate
	}
	return unix.WaitStatus(n)
}
