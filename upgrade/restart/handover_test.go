//go:build unix

package restart

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// quick are limits for tests in which nobody is slow.
func quick(c serverConfig) serverConfig {
	c.LameDuck = 200 * time.Millisecond
	if c.Linger == 0 {
		c.Linger = 10 * time.Second
	}
	return c
}

// handOver lets the server hand over once and returns the successor's first word.
func (p *process) handOver() hello {
	p.t.Helper()
	h := p.tell("handover")
	if h.Err != "" {
		p.t.Fatalf("hand-over: %s", h.Err)
	}
	return h
}

// ended waits for the end of the process that the test has started.
func (p *process) ended() syscall.WaitStatus {
	p.t.Helper()
	st, err := p.cmd.Process.Wait()
	if err != nil {
		p.t.Fatal(err)
	}
	return st.Sys().(syscall.WaitStatus)
}

// servedBy returns the PID of the process that answers on a fresh connection.
func servedBy(t *testing.T, addr string) int {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	return answeredBy(t, c)
}

func answeredBy(t *testing.T, c net.Conn) int {
	t.Helper()
	io.WriteString(c, "GET /pid HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatalf("answer %d %q", resp.StatusCode, b)
	}
	return pid
}

// script writes a program that does what line says; $SELF is this one.
func script(t *testing.T, line string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nSELF=$RESTART_TEST_SELF\n"+line+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHandOverKeepsAllButPID(t *testing.T) {
	dir := t.TempDir()
	path, state := filepath.Join(t.TempDir(), "socket"), filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, []byte("state"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := run(t, quick(serverConfig{Until: UntilReady, Raw: true, Network: "unix", Addr: path, UDP: "127.0.0.1:0", File: state}), func(c *exec.Cmd) {
		c.Dir = dir
		c.Env = append(c.Env, "KEEP=me")
	})
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	last := p.first
	for i := range 3 {
		p.tell("chdir /")
		p.tell("args")
		h := p.handOver()
		p.tell("elder")
		if i == 0 {
			if ws := p.ended(); ws.ExitStatus() != 0 || ws.Signaled() {
				t.Errorf("the first program ended with %v, want exit status 0", ws)
			}
		}
		if h.PID == last.PID || h.Dir != last.Dir || h.Addr != last.Addr || h.UDPAddr != last.UDPAddr {
			t.Errorf("hand-over %d: process %d in %s on %s and %s, want another than %d in %s on %s and %s", i, h.PID, h.Dir, h.Addr, h.UDPAddr, last.PID, last.Dir, last.Addr, last.UDPAddr)
		}
		if diff := cmp.Diff(last.Args, h.Args); diff != "" {
			t.Errorf("hand-over %d: arguments: %s", i, diff)
		}
		if h.Left != nil || !slices.Contains(h.Env, "KEEP=me") || h.Last.Passed != 3 || h.FileOffset != int64(i+2) {
			t.Errorf("hand-over %d: left %v, passed %d of 3, offset %d", i, h.Left, h.Last.Passed, h.FileOffset)
		}
		after, err := os.Stat(path)
		if err != nil || !os.SameFile(before, after) {
			t.Fatalf("the unix socket was replaced: %v", err)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2)
		io.WriteString(c, "hi")
		if _, err := io.ReadFull(c, b); err != nil {
			t.Error(err)
		}
		c.Close()
		last = h
	}
	p.tell("close")
	if exists(path) {
		t.Error("the last program does not remove its socket")
	}
	if n := strings.Count(p.stderr.String(), "STOPPED"); n != 3 {
		t.Errorf("Stop was called %d times in 3 hand-overs", n)
	}
}

// Until it is ready the successor accepts nothing; from then on all that is new;
// who is connected stays with the old program, and can come back to it until the
// successor is confirmed.
func TestHandOverUntilConfirmed(t *testing.T) {
	p := run(t, quick(serverConfig{Silent: true}), nil)
	p.tell("ready")
	old := p.first.PID
	kept := dial(t, p.first.Addr)
	if pid := answeredBy(t, kept); pid != old {
		t.Fatal(pid)
	}
	h := p.handOver()
	for range 20 {
		if pid := servedBy(t, p.first.Addr); pid != old {
			t.Errorf("before Ready served by %d, want %d", pid, old)
		}
	}
	p.tell("ready")
	for range 20 {
		if pid := until(t, p.first.Addr, h.PID); pid != h.PID {
			t.Errorf("after Ready served by %d, want %d", pid, h.PID)
		}
	}
	if pid := answeredBy(t, kept); pid != old {
		t.Errorf("the connection of the old program is served by %d", pid)
	}
	if err := p.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Error("the old program does not wait for the confirmation:", err)
	}
	p.tell("confirm")
	p.tell("elder")
	if ws := p.ended(); ws.ExitStatus() != 0 {
		t.Errorf("ended with %v", ws)
	}
	r := p.tell("report").Last
	if r.Retired < 1 || r.Cut != 0 || r.Paused != 0 || r.Waited <= 0 {
		t.Errorf("report %+v, want one retired, and no pause", r)
	}
}

// until asks until the process pid answers: the old one may have a few connections
// of its last instant.
func until(t *testing.T, addr string, pid int) (last int) {
	t.Helper()
	for range 1000 {
		if last = servedBy(t, addr); last == pid {
			return last
		}
	}
	return last
}

// What is in flight is answered by who has it; what outlives Linger is cut and
// counted.
func TestHandOverLinger(t *testing.T) {
	c := quick(serverConfig{Until: UntilReady})
	c.Linger = 500 * time.Millisecond
	p := run(t, c, nil)
	long, short, idle := dial(t, p.first.Addr), dial(t, p.first.Addr), dial(t, p.first.Addr)
	io.WriteString(long, "GET /?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
	io.WriteString(short, "GET /?ms=200 HTTP/1.1\r\nHost: a\r\n\r\n")
	answeredBy(t, idle)
	for p.tell("look").Open != "cut 2 idle 1" {
		time.Sleep(time.Millisecond)
	}
	p.handOver()
	if resp := answerOf(t, bufio.NewReader(short)); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	p.tell("elder")
	r := p.tell("report").Last
	if r.Cut != 1 || r.Retired < 1 || r.Waited < c.Linger {
		t.Errorf("report %+v, want one cut, the idle one retired, waited for at least %v", r, c.Linger)
	}
	if b, err := io.ReadAll(long); len(b) != 0 {
		t.Errorf("the long request got %q, %v", b, err)
	}
}
