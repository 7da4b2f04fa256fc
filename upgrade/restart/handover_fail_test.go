//go:build unix

package restart

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// badProgram is one that the kernel cannot execute.
func badProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(path, []byte("\x7fELF nonsense"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Failed hand-overs leave neither descriptors nor goroutines nor zombies.
func TestHandOverLeavesNothing(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		skip(t, "needs /proc")
	}
	p := run(t, quick(serverConfig{ReadyTimeout: 50 * time.Millisecond}), nil)
	programs := []string{badProgram(t), script(t, "exit 1"), script(t, "exec sleep 600"), script(t, badVariable+`=leaves exec "$SELF"`)}
	for _, bad := range programs { // whatever the first of each opens for good
		p.tell("handover " + bad)
	}
	before := p.tell("fds")
	for i := range 20 {
		if h := p.tell("handover " + programs[i%len(programs)]); h.Err == "" {
			t.Fatal("no error")
		}
	}
	after := p.tell("fds")
	for range 1000 { // the last goroutine may be about to return
		if after.Goroutines <= before.Goroutines {
			break
		}
		time.Sleep(time.Millisecond)
		after = p.tell("fds")
	}
	if after.FDs != before.FDs || after.Goroutines > before.Goroutines || len(after.Kids) > 0 {
		t.Errorf("after 20 failed hand-overs %d descriptors, %d goroutines, children %v; before %d and %d", after.FDs, after.Goroutines, after.Kids, before.FDs, before.Goroutines)
	}
}

// A successor that cannot start takes no unix socket away with it.
func TestHandOverKeepsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	p := run(t, quick(serverConfig{Raw: true, Network: "unix", Addr: path}), nil)
	if h := p.tell("handover " + script(t, badVariable+`=closes exec "$SELF"`)); !strings.Contains(h.Err, "exited with status 3") {
		t.Fatal(h.Err)
	}
	if !exists(path) {
		t.Error("the socket of the server is gone")
	}
	p.tell("close") // and the server's own end does
	if exists(path) {
		t.Error("the socket outlives the server")
	}
}

// When there is no way back any more the queue is the successor's alone: when that
// has died nobody waits in it for a program that does not accept.
func TestHandOverLeavesQueue(t *testing.T) {
	p := run(t, quick(serverConfig{}), nil)
	kept := dial(t, p.first.Addr)
	answeredBy(t, kept)
	p.handOver()
	p.tell("confirm")
	p.send("quit")
	for range 5000 { // the first program may not have heard of the confirmation yet
		c, err := net.Dial("tcp", p.first.Addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			if pid := answeredBy(t, kept); pid != p.first.PID {
				t.Errorf("served by %d, want %d", pid, p.first.PID)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
	t.Error("clients still wait in the queue")
}

// With Release, who is idle when the store is let go is sent away at once: what it
// says while the successor starts would be lost.
func TestHandOverDismissesIdle(t *testing.T) {
	c := quick(serverConfig{Silent: true})
	c.Store = filepath.Join(t.TempDir(), "store")
	p := run(t, c, nil)
	p.tell("ready")
	idle := dial(t, p.first.Addr)
	answeredBy(t, idle)
	h := p.handOver()
	if n, err := idle.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("before the successor is ready an idle connection reads %d, %v, want its end", n, err)
	}
	p.tell("ready")
	p.tell("confirm")
	p.tell("elder")
	if pid := servedBy(t, p.first.Addr); pid != h.PID {
		t.Errorf("served by %d, want %d", pid, h.PID)
	}
	if r := p.tell("report").Last; r.Retired != 1 || r.Cut != 0 || r.Paused <= 0 || r.Waited <= 0 {
		t.Errorf("report %+v, want one retired, and a pause", r)
	}
}

// A successor that ignores SIGTERM is ended all the same.
func TestHandOverEndsDeafSuccessor(t *testing.T) {
	p := run(t, quick(serverConfig{ReadyTimeout: 50 * time.Millisecond}), nil)
	began := time.Now()
	h := p.tell("handover " + script(t, `trap "" TERM; while :; do sleep 0.1; done`))
	if !strings.Contains(h.Err, "took longer than 50ms") || time.Since(began) < killGrace {
		t.Errorf("%q after %v", h.Err, time.Since(began))
	}
	if h := p.tell("fds"); len(h.Kids) > 0 {
		t.Errorf("left: %v", h.Kids)
	}
}

func TestHandOverUnconfirmed(t *testing.T) {
	c := quick(serverConfig{ConfirmTimeout: 200 * time.Millisecond})
	p := run(t, c, nil)
	if h := p.handOver(); h.PID == p.first.PID {
		t.Fatal(h.PID)
	}
	if h := p.hear(); h.PID != p.first.PID || !strings.Contains(h.Err, "took longer than 200ms, before it was confirmed") {
		t.Errorf("process %d says %q", h.PID, h.Err)
	}
	if pid := servedBy(t, p.first.Addr); pid != p.first.PID {
		t.Errorf("served by %d, want %d", pid, p.first.PID)
	}
}

func TestHandOverCancelled(t *testing.T) {
	c := quick(serverConfig{})
	c.Store = filepath.Join(t.TempDir(), "store")
	p := run(t, c, nil)
	file := filepath.Join(t.TempDir(), "wish")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if h := p.tell("handover until " + file); h.PID == p.first.PID {
		t.Fatal(h.Err)
	}
	os.Remove(file)
	if h := p.hear(); h.PID != p.first.PID || !strings.Contains(h.Err, "before it was confirmed the successor") || !strings.Contains(h.Err, context.Canceled.Error()) {
		t.Errorf("process %d says %q", h.PID, h.Err)
	}
	if pid := servedBy(t, p.first.Addr); pid != p.first.PID {
		t.Errorf("served by %d, want %d", pid, p.first.PID)
	}
}

// Without what it released the server serves nobody; the one that is started next
// does, those who waited included.
func TestHandOverNotReacquired(t *testing.T) {
	c := quick(serverConfig{})
	c.Store = filepath.Join(t.TempDir(), "store")
	p := run(t, c, nil)
	p.tell("lose")
	h := p.tell("handover " + script(t, "exit 3"))
	if !strings.Contains(h.Err, "exited with status 3") || !strings.Contains(h.Err, ErrNotReacquired.Error()) || !strings.Contains(h.Err, "permission denied") {
		t.Errorf("error %q", h.Err)
	}
	waits := dial(t, p.first.Addr)
	if h := p.tell("become hand-over"); h.PID != p.first.PID || h.Err != "" {
		t.Fatalf("%+v", h)
	}
	if pid := answeredBy(t, waits); pid != p.first.PID {
		t.Error(pid)
	}
}
