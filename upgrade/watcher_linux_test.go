package upgrade

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A watchedTest is a server in a directory of its own, and all processes that
// come of it.
type watchedTest struct {
	t     *testing.T
	dir   string
	path  string
	cmd   *exec.Cmd
	input io.Closer
	lines chan string // closed when the last process that can write is gone
}

func startWatched(t *testing.T, how string) *watchedTest {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	w := &watchedTest{t: t, dir: fastDir(t), lines: make(chan string, 100)}
	w.path = filepath.Join(w.dir, "kvd")
	next := append(self[:len(self):len(self)], "v2"...)
	if how == "does not execute" {
		next = []byte("not a program")
	}
	syscall.ForkLock.RLock()
	err = os.WriteFile(w.path, append(self[:len(self):len(self)], "v1"...), 0o755)
	syscall.ForkLock.RUnlock()
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "next"), next, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.cmd = exec.Command(w.path, "an argument")
	w.cmd.Dir = w.dir
	w.cmd.Env = append(os.Environ(), watchedKey+"="+how)
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, input, err1 := os.Pipe()
	out, output, err2 := os.Pipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr, w.input = in, output, output, input
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	output.Close()
	go func() {
		defer close(w.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			w.lines <- s.Text()
		}
		out.Close()
	}()
	t.Cleanup(func() {
		input.Close()
		syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL)
		w.cmd.Wait()
	})
	return w
}

// line returns the next line that has text.
func (w *watchedTest) line(text string) string {
	w.t.Helper()
	for late := time.After(2 * time.Minute); ; {
		select {
		case l, ok := <-w.lines:
			if !ok {
				w.t.Fatalf("ended without a word of %q", text)
			}
			w.t.Log(l)
			if strings.Contains(l, "a child has") {
				w.t.Error("which is for nobody but the server")
			}
			if strings.Contains(l, text) {
				return l
			}
		case <-late:
			w.t.Fatalf("no word of %q", text)
		}
	}
}

// end waits until no process is left, and wants version at the path and nothing
// left over.
func (w *watchedTest) end(version string) {
	w.t.Helper()
	w.input.Close()
	for late := time.After(2 * time.Minute); ; {
		select {
		case l, ok := <-w.lines:
			if ok {
				w.t.Error("unexpected: ", l)
				continue
			}
		case <-late:
			w.t.Fatal("a process lives on")
		}
		break
	}
	w.cmd.Wait()
	b, err := os.ReadFile(w.path)
	if err != nil || !strings.HasSuffix(string(b[len(b)-2:]), version) {
		w.t.Errorf("%q lies at the path, %v; want %s", b[len(b)-2:], err, version)
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "kvd", "next", ".kvd.previous", ".kvd.upgrade.json", ".kvd.upgrade.json.spare": // no Run ends the turn here
		default:
			w.t.Error("left over: ", e.Name())
		}
	}
}

// A new program that comes to nothing is put back by the watcher, and the old one
// serves.
func TestWatcherPutsBack(t *testing.T) {
	for how, why := range map[string]string{
		"exits":                "died before it came to serve (exit status 3)",
		"exits later":          "died before it was confirmed (exit status 3)",
		"is killed":            "died before it was confirmed (signal: killed)",
		"hangs before Boot":    "did not come to serve within 500ms",
		"stops":                "was not confirmed within 10s of its start, and hung",
		"never well":           "has no licence, 500ms after its start",
		"dies in putting back": "was never well",
		"old is killed":        "died before it came to serve (signal: killed)",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := startWatched(t, how)
			if how != "never well" { // that puts it back by itself
				w.line("; this process puts the program from before back, and becomes it")
			}
			if got := w.line("put back"); !strings.Contains(got, "put back from v2, which "+why+"; [an argument]") {
				t.Error(got)
			}
			w.end("v1")
		})
	}
}

// A watcher goes when there is nothing to be watched any more.
func TestWatcherEnds(t *testing.T) {
	t.Run("confirmed", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, "confirmed")
		if got := w.line("unwatched"); !strings.HasSuffix(got, `children ""`) {
			t.Error(got)
		}
		w.end("v2")
	})
	t.Run("does not execute", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, "does not execute")
		if got := w.line("stays"); !strings.Contains(got, "exec format error") || !strings.HasSuffix(got, `watched false, children ""`) {
			t.Error(got)
		}
		w.end("v1")
	})
	t.Run("ends when asked", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, "ends when asked")
		w.line("serves")
		w.cmd.Process.Signal(syscall.SIGTERM)
		w.end("v2")
	})
	t.Run("SIGTERM", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, "is told to end")
		w.line("serves")
		w.cmd.Process.Signal(syscall.SIGTERM) // which it does not handle
		w.end("v2")
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, "is told to end")
		w.line("serves")
		syscall.Kill(-w.cmd.Process.Pid, syscall.SIGINT)
		w.end("v2")
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, "watcher is killed")
		if got := w.line("unwatched"); !strings.HasSuffix(got, `children ""`) {
			t.Error(got)
		}
		w.line("goes on")
		w.end("v2")
	})
}

// Without a watcher that watches nothing is replaced.
func TestWatcherDoesNotStart(t *testing.T) {
	w := startWatched(t, "watcher dies")
	if got := w.line("stays"); !strings.Contains(got, "start the process that watches the next program: it ended at once (signal: killed)") ||
		!strings.HasSuffix(got, `watched false, children ""`) {
		t.Error(got)
	}
	w.end("v1")
}

// What has closed the way back is started once more, and is what it is.
func TestWatcherNoWayBack(t *testing.T) {
	w := startWatched(t, "closes the way")
	w.line("v2")
	w.end("v2")
}
