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
