package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A supervisor starts a server again whenever it ends, after a pause, until the
// test ends or it gives up.
type supervisor struct {
	h       *hosted
	backOff time.Duration
	limit   int           // starts after the first, until it gives up; no limit if 0
	gaveUp  chan struct{} // closed then

	stopping chan struct{}
	mu       sync.Mutex
	cmd      *exec.Cmd // that runs, or ran last
	ends     []string  // of the processes so far, in order
}

// backOff is how long the supervisors of the tests wait before a start.
const backOff = 50 * time.Millisecond

// supervise starts what lies at the path of the program, as serve does, and again
// whenever it ends.
func (h *hosted) supervise(limit int) *supervisor {
	t := h.t
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{h: h, backOff: backOff, limit: limit, gaveUp: make(chan struct{}), stopping: make(chan struct{})}
	h.ended = make(chan struct{})
	go h.read(out)
	if err := s.launch(in); err != nil {
		t.Fatal(err)
	}
	h.pid = s.cmd.Process.Pid
	go s.watch(in)
	t.Cleanup(func() {
		s.stop()
		h.http.CloseIdleConnections()
		h.tellLog()
	})
	h.serves()
	return s
}

func (s *supervisor) launch(log *os.File) error {
	cmd := s.h.command()
	cmd.Stdout, cmd.Stderr = log, log
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd = cmd
	return cmd.Start()
}

// watch is the life of the supervisor.
func (s *supervisor) watch(log *os.File) {
	defer close(s.h.ended)
	defer log.Close()
	for n := 1; ; n++ {
		s.cmd.Wait()
		s.mu.Lock()
		s.ends = append(s.ends, s.cmd.ProcessState.String())
		s.mu.Unlock()
		if s.limit > 0 && n > s.limit {
			close(s.gaveUp)
			return
		}
		select {
		case <-time.After(s.backOff):
		case <-s.stopping:
			return
		}
		if err := s.launch(log); err != nil {
			s.h.t.Errorf("start it again: %v", err)
			return
		}
	}
}

// signal is sent to the process that runs.
func (s *supervisor) signal(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd.Process.Signal(sig)
}

// ended returns how the processes have ended so far.
func (s *supervisor) ended() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ends)
}

// stop ends the server for good.
func (s *supervisor) stop() {
	close(s.stopping)
	s.signal(os.Interrupt)
	select {
	case <-s.h.ended:
	case <-time.After(15 * time.Second):
		s.h.t.Error("kvd does not end when asked")
		s.signal(os.Kill)
		<-s.h.ended
	}
}

// A toll is what callers saw, each on a connection of its own.
type toll struct {
	sent, failed int
	first        string        // failure
	gap          time.Duration // the longest without an answer
}

func (c toll) String() string {
	return fmt.Sprintf("%d sent, %d failed, %v without an answer (%s)", c.sent, c.failed, c.gap.Round(time.Millisecond), c.first)
}

// knock sends one request after another, as call does, and counts those that fail.
func (h *hosted) knock() (stop func() toll) {
	ended, result := make(chan struct{}), make(chan toll)
	go func() {
		var c toll
		defer func() { result <- c }()
		for last := time.Now(); ; {
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
			g, err := h.try(h.t.Context(), "GET", "info", nil)
			c.sent++
			if err == nil && g.status == 200 {
				c.gap = max(c.gap, time.Since(last))
				last = time.Now()
				continue
			}
			if c.failed++; c.first == "" {
				c.first = fmt.Sprintf("%v %d", err, g.status)
			}
		}
	}()
	return sync.OnceValue(func() toll { close(ended); return <-result })
}

// killed sends SIGKILL to one process.
func killed(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
