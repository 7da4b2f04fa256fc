package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// until waits for something to be so that nobody tells of.
func (h *hosted) until(what string, so func() bool) {
	h.t.Helper()
	for limit := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			h.t.Fatalf("not so: %s", what)
		}
	}
}

func (h *hosted) awaitClosed(c <-chan struct{}) {
	h.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		h.t.Fatal("it does not happen")
	}
}

// pidIn is the process that a line of the log tells of: "... pid=1".
func (h *hosted) pidIn(line string) int {
	h.t.Helper()
	_, rest, _ := strings.Cut(line, "pid=")
	pid, err := strconv.Atoi(strings.Fields(rest + " ")[0])
	if err != nil {
		h.t.Fatalf("%q: %v", line, err)
	}
	return pid
}

// begin stages a version of 1.1.0 and starts it. It returns from where the log is
// new.
func (h *hosted) begin(w spoil.Way) (log int) {
	h.t.Helper()
	h.upload("system/upgrade/stage", packedAs(h.t, build{version: "1.1.0", spoilt: w}, 2, h.key, nil)).ok(h.t, http.StatusCreated)
	log = h.logged()
	h.run()
	return log
}

// TestSpoiltKilled kills those who put a program back, or would: what comes of it
// is the same.
func TestSpoiltKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for starts that do not last")
	}
	t.Parallel()
	needsRoot(t, "strace")
	const rename = "?rename,renameat,?renameat2:signal=KILL"
	for _, c := range []struct {
		name    string
		method  string
		spoilt  spoil.Way
		confirm string
		why     string
		ends    string // of the processes that its supervisor started
		kill    func(h *hosted, s *supervisor, log int)
	}{
		{"the old one between swap and exec", "exec", spoil.EndsAtOnce, "5m", `ended 2 times`, "[signal: killed exit status 3 exit status 3]", func(h *hosted, s *supervisor, log int) {
			// tampered with before the run
		}},
		{"the old one while the new one starts beside it", "hand-over", spoil.Hangs, "3s", `did not come to serve within 3s`, "", func(h *hosted, s *supervisor, log int) {
			h.await(log, "spoilt:")
			killed(h.t, h.pid)
		}},
		{"the new one before it is confirmed", "exec", spoil.NeverReady, "5m", `ended 2 times`, "[signal: killed signal: killed]", func(h *hosted, s *supervisor, log int) {
			for range 2 {
				log = h.next(log, "serving:")
				s.signal(os.Kill)
			}
		}},
		{"the new one beside the old one", "hand-over", spoil.NeverReady, "5m", `came to nothing: .*killed`, "", func(h *hosted, s *supervisor, log int) {
			killed(h.t, h.pidIn(h.await(log, "serving:")))
		}},
		{"the guard before it says so", "exec", spoil.Hangs, "4s", `did not come to serve within 4s`, "[signal: killed]", func(h *hosted, s *supervisor, log int) {
			h.await(log, "spoilt:")
			h.tamper(rename, h.beside(".kvd.upgrade.json"))
		}},
		{"the guard at the rename", "exec", spoil.Hangs, "4s", `did not come to serve within 4s`, "[signal: killed]", func(h *hosted, s *supervisor, log int) {
			h.await(log, "spoilt:")
			h.tamper(rename, h.program)
		}},
		{"the guard between the rename and the exec", "exec", spoil.Hangs, "4s", `did not come to serve within 4s`, "[signal: killed]", func(h *hosted, s *supervisor, log int) {
			h.await(log, "spoilt:")
			h.tamper("execve:signal=KILL", h.program)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := install(t, t.TempDir(), 0, 0)
			h.env = h.marked()
			h.args = []string{"--restart", c.method, "--start-limit", "2", "--confirm-timeout", c.confirm, "--listen", freeAddress(t)}
			var s *supervisor
			if c.method == "hand-over" {
				h.serve()
			} else {
				h.args = append(h.args, "--supervised")
				s = h.supervise(0)
			}
			before := h.states()
			h.put("color", "blue")
			if strings.Contains(c.name, "swap and exec") {
				h.tamper("execve:signal=KILL", h.program)
			}
			log := h.begin(c.spoilt)
			c.kill(h, s, log)
			h.failed(log, c.why)
			h.back(before)
			if got := h.info().Version + " " + h.get("color"); got != "1.0.0 blue" {
				t.Errorf("in the end: %s", got)
			}
			if s != nil {
				if got := fmt.Sprint(s.ended()); got != c.ends {
					t.Errorf("the processes ended with %s, want %s", got, c.ends)
				}
			}
		})
	}
}

// next awaits a line of the log from number from on, and returns the number after
// it.
func (h *hosted) next(from int, text string) int {
	h.t.Helper()
	line := h.await(from, text)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, l := range h.lines[from:] {
		if l == line {
			return from + i + 1
		}
	}
	return from
}

// TestRetry: a good version whose starts were ended from outside is put back; the
// operator tries it again, and once it is confirmed it stays, whatever kills it.
func TestRetry(t *testing.T) {
	t.Parallel()
	h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
	h.args = []string{"--supervised", "--start-limit", "1", "--min-healthy", "10s", "--confirm-timeout", "5m", "--listen", freeAddress(t)}
	s := h.supervise(0)
	log := h.begin(spoil.Good)
	h.await(log, "serving:")
	s.signal(os.Kill)
	h.failed(log, `1.1.0 ended 1 times within`)
	if got := h.operate(upgradecmd.CodeRefused, "retry"); !strings.Contains(got, "failed-before") {
		t.Errorf("retry is refused with %s", got)
	}
	h.operate(upgradecmd.CodeOK, "retry", "--skip-check", "failed-before")
	h.finished()
	for range 2 {
		log = h.logged()
		s.signal(os.Kill)
		h.await(log, "serving:")
	}
	if got := h.info().Version; got != "1.1.0" {
		t.Errorf("%s serves", got)
	}
	h.finished()
	h.tidy()
}

// TestSupervisorGivesUp: a supervisor that gives up before the guard would act
// leaves the count where it was; the next start by hand puts the old one back.
func TestSupervisorGivesUp(t *testing.T) {
	t.Parallel()
	h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
	h.args = []string{"--supervised", "--start-limit", "2", "--confirm-timeout", "5m", "--listen", freeAddress(t)}
	s := h.supervise(1)
	h.begin(spoil.EndsAtOnce)
	h.awaitClosed(s.gaveUp)
	h.serve()
	h.failed(0, `ended 2 times within`)
	h.holds("1.0.0")
	h.tidy()
}
