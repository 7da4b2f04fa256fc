package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

// A tracer is strace at work on a server.
type tracer struct {
	t     testing.TB
	cmd   *exec.Cmd
	log   string // the calls that it saw
	ended chan struct{}
}

// tamper has the kernel misbehave towards the server, as strace's option inject
// says. Only calls that name one of the paths are meant; all, if there is none.
// With a signal the call itself is not made.
func (h *hosted) tamper(inject string, paths ...string) *tracer {
	h.t.Helper()
	calls, _, _ := strings.Cut(inject, ":")
	x := &tracer{t: h.t, log: filepath.Join(h.t.TempDir(), "calls"), ended: make(chan struct{})}
	args := []string{"-f", "-p", strconv.Itoa(h.pid), "-o", x.log, "-e", "trace=" + calls, "-e", "inject=" + inject}
	for _, p := range paths {
		args = append(args, "-P", p)
	}
	x.cmd = exec.Command("strace", args...)
	said, err := x.cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	attached := make(chan string, 1)
	go func() {
		defer close(x.ended)
		var all []string
		for s := bufio.NewScanner(said); s.Scan(); {
			if all = append(all, s.Text()); strings.Contains(s.Text(), "attached") {
				select {
				case attached <- "":
				default:
				}
			}
		}
		x.cmd.Wait()
		select {
		case attached <- strings.Join(all, "\n"):
		default:
		}
	}()
	h.t.Cleanup(x.stop)
	select {
	case why := <-attached:
		if why != "" {
			skip(h.t, "strace cannot attach: "+why)
		}
	case <-time.After(patience):
		h.t.Fatal("strace does not attach")
	}
	return x
}

// stop lets the server go on alone.
func (x *tracer) stop() {
	x.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-x.ended:
	case <-time.After(patience):
		x.t.Error("strace does not end")
		x.cmd.Process.Kill()
		<-x.ended
	}
}

// calls is what the tracer saw.
func (x *tracer) calls() string {
	b, _ := os.ReadFile(x.log)
	return string(b)
}

// hold begins a request that the server has to wait for, and returns what ends
// it. The rest of its body is still to come.
func (h *hosted) hold() (release func()) {
	h.t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPut, h.url+"/api/v3/kv/held", r)
	if err != nil {
		h.t.Fatal(err)
	}
	req.SetBasicAuth(h.login())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if g, err := send(h.http, req); err == nil && g.status != http.StatusOK {
			h.t.Errorf("the held request: %d %s", g.status, g.body)
		}
		r.Close()
	}()
	io.WriteString(w, "half")
	return func() { w.Close(); <-answered }
}

// TestKilled kills the server at each moment of an upgrade, and starts what lies
// at its path again: that is always a complete program, and the upgrade goes on
// where it was.
func TestKilled(t *testing.T) {
	t.Parallel()
	needsRoot(t, "strace")
	key := newKey(t)
	release := packed(t, "1.1.0", 2, key, nil)
	sum := archive.DigestOf(release).Hex()
	for _, c := range []struct {
		name   string
		staged bool   // by then
		there  string // version at the path, after
		kill   func(h *hosted)
	}{
		{"during the upload", false, "1.0.0", func(h *hosted) {
			r, w := io.Pipe()
			defer r.Close()
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/stage", r)
			if _, err := w.Write(release[:len(release)-1000]); err != nil {
				h.t.Error(err)
			}
			h.kill()
		}},
		{"at the rename of the archive", false, "1.0.0", func(h *hosted) {
			h.tamper("?rename,renameat,?renameat2:signal=KILL", filepath.Join(h.data, "archives", "sha256", sum[:2], sum))
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/stage", bytes.NewReader(release))
			h.gone()
		}},
		{"staged", true, "1.0.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.kill()
		}},
		{"about to probe", true, "1.0.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("write:signal=KILL", h.beside(".kvd.probe"))
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"at the rename of the journal", true, "1.0.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("?rename,renameat,?renameat2:signal=KILL", h.beside(".kvd.upgrade.json"))
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"claimed", true, "1.0.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("?link,linkat:signal=KILL", h.program)
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"half prepared", true, "1.0.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("fsync:signal=KILL", h.beside(".kvd.upgrade"))
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"prepared, while clients leave", true, "1.0.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			done := h.hold()
			h.run()
			h.reach("member.prepared")
			h.kill()
			done()
		}},
		{"between the companion and the server", true, "1.0.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("?rename,renameat,?renameat2:signal=KILL", h.program)
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"at the end of the replacement", true, "1.1.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("?unlink,unlinkat:signal=KILL", h.beside(".kvd.upgrade.list"))
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"between the rename and the exec", true, "1.1.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("execve:signal=KILL", h.program)
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"right after the exec", true, "1.1.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.tamper("openat:signal=KILL", h.beside(".kvd.upgrade.json")) // read by a program that starts, only
			go h.try(h.t.Context(), http.MethodPost, "system/upgrade/run", nil)
			h.gone()
		}},
		{"rejoining", true, "1.1.0", func(h *hosted) {
			h.upload("system/upgrade/stage", release).ok(h.t, http.StatusCreated)
			h.run()
			h.reach("member.rejoining")
			h.kill()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := install(t, t.TempDir(), 0, 0)
			h.trust(key)
			h.args = []string{"--min-healthy", "1s", "--supervised"} // by this test
			h.serve()
			c.kill(h)
			select {
			case <-h.ended:
			case <-time.After(patience):
				t.Fatal("it was not killed")
			}
			if got := h.installedVersion(); got != c.there {
				t.Errorf("%s lies at the path, want %s", got, c.there)
			}
			h.serve()
			if got := h.info().Version; got != c.there {
				t.Errorf("%s serves, want %s", got, c.there)
			}
			switch s := h.status(); {
			case !c.staged:
				if s.Status != "none" {
					t.Errorf("the record says %s", s.Status)
				}
				h.tidy()
				h.upload("system/upgrade/stage", release).ok(t, http.StatusCreated)
				h.run()
			case s.Status == "staged":
				h.run()
			}
			s := h.finished()
			if n := len(s.Transcript.Lines); n != s.Transcript.Total {
				t.Errorf("%d lines of %d", n, s.Transcript.Total)
			}
			h.tidy()
		})
	}
}

// TestExecFails: the new program answers as a probe and then cannot be started.
// The old one is put back, starts over and serves; nobody is refused meanwhile.
func TestExecFails(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	h := install(t, t.TempDir(), 0, 0)
	// A script is as good a program as another. Its interpreter goes when it is
	// needed.
	interpreter := filepath.Join(h.dir, "interpreter")
	copyFile(t, filepath.Join(built(t, "1.1.0"), "kvd"), interpreter)
	script := filepath.Join(h.dir, "script")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!%s\n", interpreter), 0o755); err != nil {
		t.Fatal(err)
	}
	h.serve()
	before, log := h.states(), h.logged()
	h.upload("system/upgrade/stage", packed(t, "1.1.0", 2, h.key, func(c *archive.PackConfig) {
		c.Files[0].Path = script
	})).ok(t, http.StatusCreated)
	done := h.hold()
	h.run()
	h.reach("member.prepared")
	if err := os.Remove(interpreter); err != nil {
		t.Fatal(err)
	}
	calls := h.call()
	done()
	h.await(log, "serving: ") // again
	s := h.outcome()
	if n := calls(); n == 0 {
		t.Error("nobody called meanwhile")
	}
	if s.Status != "failed" || s.Run.Reason == nil || *s.Run.Reason != "RestartFailed" || !strings.Contains(said(s), "no such file") {
		t.Errorf("the run ended as %s: %s", s.Status, said(s))
	}
	if got := h.info(); got.Version != "1.0.0" || got.PID != h.pid {
		t.Errorf("%+v serves, pid was %d", got, h.pid)
	}
	h.holds("1.0.0")
	for name, was := range before {
		if now := stateOf(t, h.beside(name)); now.Inode != was.Inode || now.Mode != was.Mode {
			t.Errorf("%s is %+v, was %+v", name, now, was)
		}
	}
	h.tidy()
}

// call sends one request after another, each on a connection of its own. The
// result stops it and returns how many were answered; all must have been.
func (h *hosted) call() func() int {
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { stopped <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			g, err := h.try(h.t.Context(), http.MethodGet, "info", nil)
			if err != nil || g.status != http.StatusOK {
				h.t.Errorf("after %d calls: %v %d %s", n, err, g.status, g.body)
				return
			}
			n++
		}
	}()
	return func() int { close(stop); return <-stopped }
}
