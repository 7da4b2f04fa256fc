//go:build unix

package restart

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// No second restart begins while one is under way, or while its predecessor lives.
func TestHandOverOneAtATime(t *testing.T) {
	p := run(t, quick(serverConfig{}), nil)
	kept := dial(t, p.first.Addr)
	answeredBy(t, kept)
	second := p.handOver()
	refused := func(when string) {
		t.Helper()
		for _, command := range []string{"handover", "restart"} {
			if h := p.tell(command); h.PID != second.PID || !strings.Contains(h.Err, ErrDraining.Error()) || !strings.Contains(h.Err, strconv.Itoa(p.first.PID)) {
				t.Errorf("%s, %s: process %d says %q, want it refused for process %d", command, when, h.PID, h.Err, p.first.PID)
			}
		}
	}
	refused("not confirmed")
	p.tell("confirm")
	refused("the first lingers")
	if pid := answeredBy(t, kept); pid != p.first.PID {
		t.Errorf("served by %d, want the first, %d", pid, p.first.PID)
	}
	kept.Close()
	p.tell("elder")
	third := p.handOver()
	p.tell("confirm")
	p.tell("elder")
	if pid := servedBy(t, p.first.Addr); pid != third.PID || pid == second.PID {
		t.Errorf("served by %d, want %d", pid, third.PID)
	}
}

// Whenever the old program is killed, the successor serves, and what waits in the
// queue is served too.
func TestHandOverSurvivesKill(t *testing.T) {
	for _, released := range []bool{false, true} {
		for _, when := range []string{"before it is ready", "before it is confirmed", "while the last leave"} {
			t.Run(fmt.Sprintf("released=%v/%s", released, when), func(t *testing.T) {
				t.Parallel()
				c := quick(serverConfig{Silent: true})
				if released {
					c.Store = filepath.Join(t.TempDir(), "store")
				}
				p := run(t, c, nil)
				p.tell("ready")
				if when == "while the last leave" {
					answeredBy(t, dial(t, p.first.Addr)) // stays
				}
				h := p.handOver()
				switch when {
				case "before it is confirmed":
					p.tell("ready")
				case "while the last leave":
					p.tell("ready")
					p.tell("confirm")
				}
				p.cmd.Process.Kill()
				p.ended()
				waits := dial(t, p.first.Addr)
				io.WriteString(waits, "GET /pid HTTP/1.1\r\nHost: a\r\n\r\n")
				p.tell("elder")
				if when == "before it is ready" {
					p.tell("ready")
				}
				if resp := answerOf(t, bufio.NewReader(waits)); resp.StatusCode != 200 {
					t.Error(resp.Status)
				}
				waits.Close()
				if pid := servedBy(t, p.first.Addr); pid != h.PID {
					t.Errorf("served by %d, want %d", pid, h.PID)
				}
				next := p.handOver() // and it can do it again
				p.tell("ready")
				p.tell("confirm")
				p.tell("elder")
				if pid := servedBy(t, p.first.Addr); pid != next.PID {
					t.Errorf("served by %d, want %d", pid, next.PID)
				}
			})
		}
	}
}

// The service manager's sockets keep their numbers.
func TestHandOverListenFDs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, quick(serverConfig{Until: UntilReady, Network: FromManager, Addr: "web"}), func(c *exec.Cmd) {
		c.Path, c.Args = "/bin/sh", []string{"sh", "-c", `export LISTEN_PID=$$; exec "$0"`, self}
		c.ExtraFiles = []*os.File{f}
		c.Env = append(c.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	})
	want := []Activation{{Name: "web", Network: "tcp", Addr: l.Addr().String()}}
	for i := range 2 {
		h := p.handOver()
		p.tell("elder")
		if diff := cmp.Diff(want, h.Activated); diff != "" || h.Last.Passed != 1 || h.Left != nil {
			t.Errorf("hand-over %d: passed %d, left %v, %s", i, h.Last.Passed, h.Left, diff)
		}
		if pid := servedBy(t, l.Addr().String()); pid != h.PID {
			t.Errorf("served by %d, want %d", pid, h.PID)
		}
	}
	h := p.restart() // by exec, after a hand-over
	if diff := cmp.Diff(want, h.Activated); diff != "" || !slices.Contains(h.Env, listenPID+"="+strconv.Itoa(h.PID)) {
		t.Errorf("exec after it: %s, environment %v", diff, h.Env)
	}
}
