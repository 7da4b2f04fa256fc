//go:build unix

package restart

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// killGrace is what a successor that is not wanted any more has to end itself.
	killGrace = 5 * time.Second
	// killBound is ample for the kernel to end it.
	killBound = 30 * time.Second
)

// A successor is the next program while it is a child of this one.
type successor struct {
	process *os.Process
	began   time.Time
	link    *os.File

	ready, confirmed chan struct{} // closed when it has said so
	mute             chan struct{} // closed when it can say nothing any more
	ended            chan struct{} // closed when it has ended, after
	state            *os.ProcessState
}

// spawn starts the program at path as a child, with everything that lives on.
func (s *Sockets) spawn(ctx context.Context, path string, p predecessor) (*successor, error) {
	nonce := rand.Text()
	ours, theirs, err := openLink(nonce)
	if err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	env, files, done, err := s.bequeath(p, theirs, nonce)
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer done()
	c := &successor{
		link:  ours,
		ready: make(chan struct{}), confirmed: make(chan struct{}), mute: make(chan struct{}), ended: make(chan struct{}),
	}
	pid := 0
	err = whileBusy(ctx, func() (err error) {
		c.began = time.Now()
		// Package os would make the sockets block, for both.
		pid, err = syscall.ForkExec(path, s.start.args, &syscall.ProcAttr{Dir: s.start.dir, Env: env, Files: files})
		return os.NewSyscallError("execve", err)
	})
	if err != nil {
		ours.Close()
		return nil, err
	}
	c.process, _ = os.FindProcess(pid) // it cannot fail for a child that nobody has waited for
	go c.wait()
	go c.listen()
	return c, nil
}

// bequeath returns environment and descriptors of a child: the standard ones, those
// of the service manager by their numbers, and then the others. done is to be
// called when it has been started, or not.
func (s *Sockets) bequeath(p predecessor, theirs int, nonce string) (env []string, files []uintptr, done func(), err error) {
	var dups []int
	done = func() {
		for _, fd := range dups {
			unix.Close(fd)
		}
	}
	give := func(fd int) (there int) {
		files = append(files, uintptr(fd))
		return len(files) - 1
	}
	for fd := range firstFD {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			fd = -1 // closed there as well
		}
		give(fd)
	}
	l := legacy{Format: legacyFormat, PID: os.Getpid(), Started: processStart(), predecessor: p}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.activated {
		l.Manager = append(l.Manager, h.name)
		give(h.fd)
	}
	l.Link = &link{FD: give(theirs), Nonce: nonce}
	for _, h := range s.held {
		if h.manager {
			continue
		}
		fd, err := duplicate(h.conn) // the host may close its own meanwhile
		if err != nil {
			done()
			return nil, nil, nil, fmt.Errorf("%v: %w", h.key, err)
		}
		if fd >= 0 {
			dups = append(dups, fd)
			l.Sockets = append(l.Sockets, bequest{give(fd), h.key})
		}
	}
	for _, h := range s.heirlooms { // Ready was not called yet
		l.Sockets = append(l.Sockets, bequest{give(h.fd), h.key})
	}
	l.Counts.Passed = len(l.Manager) + len(l.Sockets)
	value, err := json.Marshal(l)
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	return append(environ(), Variable+"="+string(value)), files, done, nil
}

func (c *successor) wait() {
	// An error means that the host waits for any child, and had this one: then it
	// has ended as well.
	c.state, _ = c.process.Wait()
	close(c.ended)
}

func (c *successor) listen() {
	defer close(c.mute)
	ready := sync.OnceFunc(func() { close(c.ready) })
	confirmed := sync.OnceFunc(func() { close(c.confirmed) })
	b := make([]byte, 64)
	for {
		n, err := c.link.Read(b)
		for _, word := range b[:n] {
			switch word {
			case saysReady:
				ready()
			case saysConfirmed:
				confirmed()
			}
		}
		if err != nil {
			return
		}
	}
}

// end ends the successor and waits until it has gone.
func (c *successor) end() error {
	defer func() {
		c.link.Close()
		<-c.mute
	}()
	c.process.Signal(syscall.SIGTERM) // fails where it has ended
	if closedWithin(c.ended, killGrace) {
		return nil
	}
	c.process.Kill()
	if closedWithin(c.ended, killBound) {
		return nil
	}
	return fmt.Errorf("process %d did not end within %v of SIGKILL", c.process.Pid, killBound)
}

// fate says how a successor has ended.
func (c *successor) fate() string {
	how := "ended, nobody knows how"
	if c.state != nil {
		how = "exited with status " + strconv.Itoa(c.state.ExitCode())
		if ws, ok := c.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			how = "was ended by a signal (" + ws.Signal().String() + ")"
		}
	}
	return fmt.Sprintf("%s after %v", how, time.Since(c.began).Round(time.Millisecond))
}

func closedWithin(c <-chan struct{}, d time.Duration) bool {
	select {
	case <-c:
		return true
	case <-time.After(d):
		return false
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
