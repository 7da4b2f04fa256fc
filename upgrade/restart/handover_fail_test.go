//go:build unix

package restart

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
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
	if after.FDs != before.FDs || after.Goroutines > before.Goroutines || len(after.Kids) > 0 {
		t.Errorf("after 20 failed hand-overs %d descriptors, %d goroutines, children %v; before %d and %d", after.FDs, after.Goroutines, after.Kids, before.FDs, before.Goroutines)
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
	if h := p.tell("exec"); h.PID != p.first.PID || h.Err != "" {
		t.Fatalf("%+v", h)
	}
	if pid := answeredBy(t, waits); pid != p.first.PID {
		t.Error(pid)
	}
}

func TestHandOverRefuses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, addr := local(t, Config{LameDuck: -1, Quiet: 10 * time.Millisecond}, func(http.ResponseWriter, *http.Request) {})
	ctx := context.Background()
	hook := func(context.Context) error { return nil }
	for name, c := range map[string]HandOverConfig{
		"negative":          {Linger: -1},
		"no such Until":     {Until: 2},
		"without Reacquire": {Release: hook},
		"without Release":   {Reacquire: hook},
	} {
		m := s.HandOver(c)
		if err := m.Check(ctx, self); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s: check: %v", name, err)
		}
		if err := m.Restart(ctx, self); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s: restart: %v", name, err)
		}
	}
	m := s.HandOver(HandOverConfig{})
	if err := m.Check(ctx, self); err != nil || !m.Overlaps {
		t.Errorf("check: %v, overlaps %v", err, m.Overlaps)
	}
	if err := m.Check(ctx, self+"-missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing program: %v", err)
	}
	undo := drained(t, s)
	if err := m.Restart(ctx, self); !errors.Is(err, ErrDraining) {
		t.Errorf("in a drain: %v", err)
	}
	undo()
	failing := s.HandOver(HandOverConfig{Release: func(context.Context) error { return os.ErrPermission }, Reacquire: func(context.Context) error {
		t.Error("Reacquire was called, although nothing was released")
		return nil
	}})
	if err := failing.Restart(ctx, self); !errors.Is(err, os.ErrPermission) || errors.Is(err, ErrNotReacquired) {
		t.Errorf("Release fails: %v", err)
	}
	roundTrip(t, dial(t, addr))
	s.Confirm() // to nobody
}

// The old main process says that there is a new one, and that is all: the new one
// is not heard before.
func TestHandOverNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []string
	hear := func(n int) {
		t.Helper()
		b := make([]byte, 1000)
		for range n {
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			k, _, err := c.ReadFrom(b)
			if err != nil {
				t.Fatal(err)
			}
			word := string(b[:k])
			if stamp, ok := strings.CutPrefix(word, "RELOADING=1\nMONOTONIC_USEC="); ok {
				if _, err := strconv.Atoi(stamp); err != nil {
					t.Error(word)
				}
				word = "RELOADING=1"
			}
			got = append(got, word)
		}
	}
	p := run(t, quick(serverConfig{}), func(c *exec.Cmd) { c.Env = append(c.Env, "NOTIFY_SOCKET="+path) })
	p.tell("handover " + script(t, "exit 1"))
	h := p.handOver()
	p.tell("confirm")
	p.tell("elder")
	p.restart()
	hear(7)
	want := []string{
		"READY=1", "RELOADING=1", "READY=1",
		"RELOADING=1", "MAINPID=" + strconv.Itoa(h.PID) + "\nREADY=1",
		"RELOADING=1", "READY=1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c.SetReadDeadline(time.Now())
	if n, _, err := c.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("one more, of %d bytes", n)
	}
}

// The link is taken by the child it is meant for, once, and left alone by others.
func TestClaimLink(t *testing.T) {
	open := func() (*os.File, *link) {
		ours, theirs, err := openLink("nonce")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ours.Close() })
		return ours, &link{FD: theirs, Nonce: "nonce"}
	}
	_, l := open()
	if e := claimLink(&link{FD: l.FD, Nonce: "other"}, os.Getppid()); e != nil {
		t.Error("taken with another nonce")
	}
	if e := claimLink(l, os.Getpid()); e != nil {
		t.Error("taken by a process whose parent is another, and lives")
	}
	e := claimLink(l, os.Getppid())
	if e == nil {
		t.Fatal("not taken")
	}
	if again := claimLink(l, os.Getppid()); again != nil {
		t.Error("taken twice")
	}
	e.link.Close()

	ours, l := open()
	ours.Close()
	if e := claimLink(l, os.Getpid()); e == nil {
		t.Error("not taken when the program before is gone")
	} else {
		e.link.Close()
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, l := range []*link{{FD: descriptor(file), Nonce: "nonce"}, {FD: 1, Nonce: "nonce"}, {FD: 99999, Nonce: "nonce"}, {FD: descriptor(file)}} {
		if claimLink(l, os.Getppid()) != nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(descriptor(file)), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Error("a descriptor of somebody else was changed")
	}
}

func TestWatchedBy(t *testing.T) {
	for _, tt := range []struct {
		name           string
		e              evidence
		pid            int
		trust          bool
		follows, alone bool
	}{
		{"a shell", evidence{parent: "bash"}, 42, false, true, true},
		{"process 1", evidence{}, 1, true, false, false},
		{"systemd", evidence{parent: "systemd", unit: "app.service", invocation: true, notify: true}, 42, false, true, false},
		{"systemd, Type=simple", evidence{parent: "systemd", unit: "app.service", invocation: true}, 42, true, false, false},
		{"a shell in a unit that is not ours", evidence{parent: "bash", unit: "ssh.service"}, 42, false, true, true},
		{"runit", evidence{parent: "runsv"}, 42, false, false, false},
		{"monit with a PID file", evidence{parent: "monit"}, 42, true, true, false},
		{"tini", evidence{parent: "tini"}, 42, false, false, false},
		{"containerd", evidence{parent: "containerd-shim-runc-v2"[:15]}, 42, false, false, false},
		{"Kubernetes", evidence{parent: "sh", hints: []string{"in a pod"}}, 42, false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.e.follows(tt.pid, tt.trust)
			if (err == nil) != tt.follows || err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("follows: %v", err)
			}
			if got := tt.e.alone(tt.pid); got != tt.alone {
				t.Errorf("alone: %v", got)
			}
		})
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if m := s.HandOver(HandOverConfig{}); m.Alone != nil || s.Exec().Alone == nil {
		t.Error("a hand-over is alone, or an exec cannot be")
	}
}
