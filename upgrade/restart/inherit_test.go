//go:build unix

package restart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sockets of this process; the environment is set for New alone.
func newWith(t *testing.T, env map[string]string) *Sockets {
	t.Helper()
	for k, v := range env {
		t.Setenv(k, v)
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for k := range env {
		if _, ok := os.LookupEnv(k); ok {
			t.Errorf("%s is left in the environment", k)
		}
	}
	return s
}

// What was left to another process, or by none of ours, is not touched: the
// descriptors it names are somebody else's here.
func TestForeignLegacy(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := descriptor(f)
	mine := legacy{Format: legacyFormat, PID: os.Getpid(), Started: processStart(), Sockets: []bequest{{fd, key{Kind: kindFile, Addr: "x"}}}}
	mine.Counts = Report{Cut: 3}
	for name, change := range map[string]func(*legacy){
		"another PID":   func(l *legacy) { l.PID++ },
		"another start": func(l *legacy) { l.Started += "1" },
		"newer format":  func(l *legacy) { l.Format++ },
		"standard file": func(l *legacy) { l.Sockets[0].FD = 1; l.Counts = Report{} },
		"closed":        func(l *legacy) { l.Sockets[0].FD = 99999; l.Counts = Report{} },
	} {
		t.Run(name, func(t *testing.T) {
			l := mine
			l.Sockets = append([]bequest(nil), mine.Sockets...)
			change(&l)
			b, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			s := newWith(t, map[string]string{Variable: string(b)})
			if len(s.heirlooms) != 0 || s.Last() != (Report{}) {
				t.Errorf("taken over: %v, %+v", s.heirlooms, s.Last())
			}
		})
	}
	t.Run("nonsense", func(t *testing.T) {
		s := newWith(t, map[string]string{Variable: "{", listenPID: fmt.Sprint(os.Getpid()), listenFDs: "many"})
		if len(s.heirlooms)+len(s.activated) != 0 {
			t.Error("taken over")
		}
	})
	if _, err := f.Stat(); err != nil {
		t.Error("the file was closed:", err)
	}
}

// inheriting returns Sockets that were left a duplicate of c under k.
func inheriting(t *testing.T, c interface{ File() (*os.File, error) }, k key) *Sockets {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := adopt(descriptor(f))
	h.key = k
	h.manager = true // f keeps its number
	s.heirlooms = append(s.heirlooms, h)
	return s
}

// Sockets with one key are given out in order, each once; the next is fresh.
func TestListenTakesEachOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := context.Background()
	s := inheriting(t, l.(*net.TCPListener), key{kindListener, "tcp", "127.0.0.1:0"})
	if other, err := s.Listen(ctx, "tcp4", "127.0.0.1:0"); err != nil || other.Addr().String() == l.Addr().String() {
		t.Errorf("another network got %v, %v", other, err)
	} else {
		other.Close()
	}
	first, err := s.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := s.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if first.Addr().String() != l.Addr().String() || second.Addr().String() == l.Addr().String() {
		t.Errorf("%v and %v, want %v and another", first.Addr(), second.Addr(), l.Addr())
	}
}

// So is a socket of the service manager's.
func TestListenTakesActivatedOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := context.Background()
	s := inheriting(t, l.(*net.TCPListener), key{Kind: kindListener})
	s.activated, s.heirlooms = s.heirlooms, nil
	s.activated[0].name = "web"
	first, err := s.Listen(ctx, FromManager, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := s.Listen(ctx, FromManager, "web"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("given out twice: %v", err)
	}
	if a := s.Activated(); len(a) != 1 || !a[0].Taken {
		t.Errorf("%+v, want one that is taken", a)
	}
}

// A server that no longer asks for an address is no longer reached there.
func TestReadyClosesUnclaimed(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	defer f.Close()
	fd, err := syscall.Dup(descriptor(f))
	if err != nil {
		t.Fatal(err)
	}
	s.heirlooms = []*heirloom{adopt(fd)}
	f.Close()
	dial(t, l.Addr().String()) // the queue lives
	if err := s.Ready(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the unclaimed socket still takes connections")
	}
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
}

func TestAnswers(t *testing.T) {
	listener := func(network, addr string) *heirloom {
		return &heirloom{key: key{Kind: kindListener}, name: "web", network: network, addr: addr}
	}
	for _, tt := range []struct {
		h             *heirloom
		network, addr string
		want          bool
	}{
		{listener("tcp", "127.0.0.1:80"), "tcp", "127.0.0.1:80", true},
		{listener("tcp", "127.0.0.1:80"), "tcp", "localhost:80", true},
		{listener("tcp", "127.0.0.1:80"), "tcp", "127.0.0.1:http", true},
		{listener("tcp", "127.0.0.1:80"), "tcp4", "127.0.0.1:80", true},
		{listener("tcp", "127.0.0.1:80"), "tcp6", "127.0.0.1:80", false},
		{listener("tcp", "127.0.0.1:80"), "tcp", ":80", false},
		{listener("tcp", "127.0.0.1:80"), "tcp", "127.0.0.1:81", false},
		{listener("tcp", "127.0.0.1:80"), "tcp", "127.0.0.1:0", false},
		{listener("tcp", "127.0.0.1:80"), "udp", "127.0.0.1:80", false},
		{listener("tcp", "127.0.0.1:80"), "tcp", "nonsense", false},
		{listener("tcp", "[::]:80"), "tcp", ":80", true},
		{listener("tcp", "0.0.0.0:80"), "tcp", ":80", true},
		{listener("tcp", "[::]:80"), "tcp4", ":80", false},
		{listener("unix", "/run/s"), "unix", "/run/s", true},
		{listener("unix", "@s"), "unix", "@s", true},
		{listener("unix", "/run/s"), "unix", "/run/t", false},
		{listener("tcp", "127.0.0.1:80"), FromManager, "web", true},
		{listener("tcp", "127.0.0.1:80"), FromManager, "other", false},
	} {
		if got := tt.h.answers(context.Background(), key{kindListener, tt.network, tt.addr}); got != tt.want {
			t.Errorf("%s %s asked for as %s %s: %v", tt.h.network, tt.h.addr, tt.network, tt.addr, got)
		}
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(context.Background(), FromManager, "web"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such activation: %v", err)
	}
}

func TestFileFails(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.File("x", func() (*os.File, error) { return nil, fs.ErrPermission }); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

// The service manager is told READY, RELOADING before the exec, and READY again;
// after a failed exec READY too.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []string
	hear := func(n int) {
		b := make([]byte, 1000)
		for range n {
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			k, _, err := c.ReadFrom(b)
			if err != nil {
				t.Fatal(err)
			}
			word, stamp, _ := strings.Cut(string(b[:k]), "\n")
			if word == "RELOADING=1" && !strings.HasPrefix(stamp, "MONOTONIC_USEC=") {
				t.Errorf("%q without its time", b[:k])
			}
			got = append(got, word)
		}
	}
	p := run(t, serverConfig{}, func(c *exec.Cmd) { c.Env = append(c.Env, "NOTIFY_SOCKET="+path) })
	hear(1)
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.tell("restart " + bad)
	hear(2)
	p.restart()
	hear(2)
	if diff := cmp.Diff([]string{"READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPausedEnds(t *testing.T) {
	p := run(t, serverConfig{Silent: true}, nil)
	h := p.restart()
	again := p.tell("still")
	if again.Last.Paused <= h.Last.Paused {
		t.Errorf("before Ready the pause is %v, then %v; want it growing", h.Last.Paused, again.Last.Paused)
	}
	ready := p.tell("ready")
	if again = p.tell("and on"); again.Last.Paused != ready.Last.Paused {
		t.Errorf("after Ready the pause went from %v to %v", ready.Last.Paused, again.Last.Paused)
	}
}
