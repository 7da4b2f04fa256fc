//go:build unix

package restart

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExecKeepsProcess(t *testing.T) {
	dir := t.TempDir()
	p := run(t, serverConfig{}, func(c *exec.Cmd) {
		c.Dir = dir
		c.Env = append(c.Env, "KEEP=me", Variable+"=of another process", "LISTEN_PID=1", "LISTEN_FDS=4")
	})
	if p.first.Left != nil {
		t.Errorf("variables left for children: %v", p.first.Left)
	}
	if diff := cmp.Diff(Report{}, p.first.Last); diff != "" {
		t.Errorf("report of a restart that was not: %s", diff)
	}
	for i := range 3 {
		p.tell("chdir /")
		p.tell("args")
		h := p.restart()
		if h.PID != p.first.PID || h.Dir != p.first.Dir || h.Addr != p.first.Addr {
			t.Errorf("restart %d: process %d in %s on %s, want %d in %s on %s", i, h.PID, h.Dir, h.Addr, p.first.PID, p.first.Dir, p.first.Addr)
		}
		if diff := cmp.Diff(p.first.Args, h.Args); diff != "" {
			t.Errorf("restart %d: arguments: %s", i, diff)
		}
		if h.Left != nil {
			t.Errorf("restart %d: variables left for children: %v", i, h.Left)
		}
		keys := make(map[string]int)
		for _, kv := range h.Env {
			k, _, _ := strings.Cut(kv, "=")
			keys[k]++
		}
		for k, n := range keys {
			if n != 1 {
				t.Errorf("restart %d: %s is %d times in the environment", i, k, n)
			}
		}
		if keys["KEEP"] != 1 || keys[Variable] != 1 || keys[listenFDs] != 0 {
			t.Errorf("restart %d: environment %v", i, h.Env)
		}
		if h.Last.Passed != 1 || h.Last.Paused <= 0 {
			t.Errorf("restart %d: report %+v", i, h.Last)
		}
	}
}

func TestExecWithoutSockets(t *testing.T) {
	p := run(t, serverConfig{NoSocket: true}, nil)
	if h := p.restart(); h.PID != p.first.PID || h.Last.Passed != 0 {
		t.Errorf("%+v", h)
	}
}

func TestExecWithoutDrain(t *testing.T) {
	p := run(t, serverConfig{}, nil)
	busy := dial(t, p.first.Addr)
	io.WriteString(busy, "GET /?ms=5000 HTTP/1.1\r\nHost: a\r\n\r\n")
	half := dial(t, p.first.Addr)
	io.WriteString(half, "GET /?ms=5000 HT")
	idle := dial(t, p.first.Addr)
	roundTrip(t, idle)
	var h hello
	for range 100 { // until the server has seen all three
		if h = p.tell("look"); h.Open == "cut 2 idle 1" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	h = p.tell("exec")
	if h.Err != "" || h.Last.Cut != 2 || h.Last.Retired != 1 {
		t.Errorf("%q %+v, want 2 cut and 1 retired", h.Err, h.Last)
	}
}

func TestExecFails(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("\x7fELF nonsense"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		server serverConfig
		load   loadConfig
	}{
		{"HTTP/1.1", serverConfig{}, loadConfig{proto: 1, raw: true, noResend: true}},
		{"HTTP/1.1 TLS", serverConfig{TLS: true}, loadConfig{proto: 1, tls: true, raw: true, noResend: true}},
		{"HTTP/2 TLS", serverConfig{TLS: true}, loadConfig{proto: 2, tls: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := run(t, tt.server, nil)
			p.tell("chdir /")
			tt.load.addr = p.first.Addr
			l := startLoad(tt.load)
			for range 5 {
				served(t, l, 100)
				h := p.tell("restart " + bad)
				if !strings.Contains(h.Err, "exec format error") {
					t.Fatalf("error %q, want that of execve", h.Err)
				}
			}
			served(t, l, 100)
			if h := p.tell("where"); h.Dir != "/" {
				t.Errorf("the working directory became %s", h.Dir)
			}
			p.restart() // and it still can
			served(t, l, 100)
			l.end()
			l.report(t, 5)
			if l.failures.Load() > 0 {
				t.Errorf("%d requests failed", l.failures.Load())
			}
		})
	}
}

func TestOtherSockets(t *testing.T) {
	dir := t.TempDir()
	path, state := filepath.Join(dir, "socket"), filepath.Join(dir, "state")
	if err := os.WriteFile(state, []byte("state"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := run(t, serverConfig{Raw: true, Network: "unix", Addr: path, UDP: "127.0.0.1:0", File: state}, nil)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.Dial("udp", p.first.UDPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for i := range 3 {
		p.send("restart")
		io.WriteString(udp, "datagram") // read by whoever is there then
		h := p.hear()
		if h.Err != "" {
			t.Fatal(h.Err)
		}
		if h.UDPAddr != p.first.UDPAddr || h.FileOffset != int64(i+2) || h.Last.Passed != 3 {
			t.Errorf("packet socket %s, want %s; offset %d of the open file, want %d; %d passed, want 3", h.UDPAddr, p.first.UDPAddr, h.FileOffset, i+2, h.Last.Passed)
		}
		b := make([]byte, 100)
		udp.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := udp.Read(b); err != nil || string(b[:n]) != "datagram" {
			t.Errorf("answer %q, %v", b[:n], err)
		}
		after, err := os.Stat(path)
		if err != nil || !os.SameFile(before, after) {
			t.Fatalf("the unix socket was replaced: %v", err)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "hi")
		if _, err := io.ReadFull(c, b[:2]); err != nil {
			t.Error(err)
		}
		c.Close()
	}
}

// A process that was activated finds the sockets again after each exec, by the
// same numbers, and a program that knows nothing of us would too.
func TestListenFDs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, network, addr string }{
		{"by address", "tcp", l.Addr().String()},
		{"by name", FromManager, "web"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := l.(*net.TCPListener).File()
			g, _ := other.(*net.UnixListener).File()
			defer f.Close()
			defer g.Close()
			p := run(t, serverConfig{Network: tt.network, Addr: tt.addr}, func(c *exec.Cmd) {
				// The shell becomes the server: only then is the PID known.
				c.Path, c.Args = "/bin/sh", []string{"sh", "-c", `export LISTEN_PID=$$; exec "$0"`, self}
				c.ExtraFiles = []*os.File{f, g}
				c.Env = append(c.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES=web:control")
			})
			want := []Activation{
				{Name: "web", Network: "tcp", Addr: l.Addr().String()},
				{Name: "control", Network: "unix", Addr: other.Addr().String()},
			}
			for h := p.first; ; h = p.restart() {
				if diff := cmp.Diff(want, h.Activated); diff != "" {
					t.Error(diff)
				}
				if h.Addr != l.Addr().String() || h.Left != nil {
					t.Errorf("listens on %s, want %v; left %v", h.Addr, l.Addr(), h.Left)
				}
				if h.Last.Passed != 0 {
					if h.Last.Passed != 2 {
						t.Errorf("%d passed, want 2", h.Last.Passed)
					}
					if !slices.Contains(h.Env, listenPID+"="+strconv.Itoa(h.PID)) || !slices.Contains(h.Env, listenFDs+"=2") {
						t.Errorf("environment %v", h.Env)
					}
				}
				t.Logf("%+v", h.Last)
				c := dial(t, h.Addr)
				roundTrip(t, c)
				c.Close()
				if h.Last.Passed != 0 && t.Failed() || h.Last.Waited > 0 {
					break
				}
			}
		})
	}
}

// Children that are forked while a restart fails or succeeds hold no socket.
func TestChildrenHoldNoSocket(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		skip(t, "needs /proc")
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("\x7fELF nonsense"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := run(t, serverConfig{KeepChildren: true}, nil)
	for range 4 {
		p.tell("fork")
	}
	for range 200 {
		if h := p.tell("restart " + bad); !strings.Contains(h.Err, "exec format error") {
			t.Fatal(h.Err)
		}
	}
	p.restart()
	if s := p.stderr.String(); strings.Contains(s, "LEAK") {
		t.Error(s)
	}
}

func TestExecCheck(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := run(t, serverConfig{}, nil)
	for path, want := range map[string]string{
		self:                          "",
		plain:                         "cannot be executed",
		dir:                           "not a regular file",
		filepath.Join(dir, "missing"): "no such file",
		"relative":                    "not an absolute path",
	} {
		if h := p.tell("check " + path); want == "" && h.Err != "" || !strings.Contains(h.Err, want) {
			t.Errorf("%s: %q, want %q", path, h.Err, want)
		}
	}
	p.tell("child 60")
	if h := p.tell("check " + self); !strings.Contains(h.Err, "sleep (") {
		t.Errorf("a live child: %q, want it named", h.Err)
	}
	kept := run(t, serverConfig{KeepChildren: true}, nil)
	kept.tell("child 60")
	if h := kept.tell("check " + self); h.Err != "" {
		t.Errorf("with KeepChildren: %q", h.Err)
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("LEADERLAST_NOSKIP") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}
