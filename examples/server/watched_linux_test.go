package main

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
)

// unsupervised is the environment of a server that was started from a shell.
func unsupervised(env []string) []string {
	return slices.DeleteFunc(env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{"INVOCATION_ID", "NOTIFY_SOCKET", "KUBERNETES_SERVICE_HOST", "SUPERVISOR_ENABLED", "XPC_SERVICE_NAME"}, name)
	})
}

// alone installs a server that nobody starts again, and starts it: one that meets
// this way. started is what that took.
func alone(t *testing.T, next spoil.Way, args ...string) (h *hosted, started time.Duration) {
	h = dressed(t, next)
	h.env = unsupervised(h.marked())
	h.args = append(args, "--listen", freeAddress(t))
	began := time.Now()
	h.serve()
	return h, time.Since(began)
}

// TestWatched: a new version that is no good, with nobody to start anything again,
// ends with the old one serving and on disk.
func TestWatched(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a version for each way, and waits for each")
	}
	t.Parallel()
	needsRoot(t, "setcap")
	inBatches(t, 4, func(run func(name string, f func(t *testing.T))) {
		for _, c := range []struct {
			spoilt spoil.Way
			flags  []string
			why    string
			inside bool // it is put back from within: the process goes on
		}{
			{spoilt: spoil.EndsBeforeBoot, why: `died before it came to serve \(exit status 3\)`},
			{spoilt: spoil.EndsAtOnce, why: `died before it was confirmed \(exit status 3\)`},
			{spoilt: spoil.Start, why: `died before it was confirmed \(exit status 1\)`},
			{spoilt: spoil.EndsLate, why: `died before it was confirmed \(exit status 3\)`, flags: []string{"--min-healthy", "10s"}},
			{spoilt: spoil.Hangs, why: late, flags: []string{"--confirm-timeout", "2s"}, inside: true},
			{spoilt: spoil.OtherVersion, why: lies, inside: true},
			{spoilt: spoil.NoCapabilities, why: poor, inside: true},
			{spoilt: spoil.NeverReady, why: never, flags: []string{"--confirm-timeout", "4s"}, inside: true},
		} {
			run(string(c.spoilt), func(t *testing.T) {
				h, started := alone(t, c.spoilt, append([]string{"--confirm-timeout", "5m"}, c.flags...)...)
				before, pid := h.states(), h.pid
				h.put("color", "blue")
				clients := h.knock()
				log := h.begin(c.spoilt)
				if !c.inside {
					h.await(log, "spoilt")
					died := time.Now()
					h.next(log, "this program was put back")
					h.next(log, "serving:")
					t.Logf("served %v after the new version said that it ends; the first start took %v", time.Since(died), started)
				}
				h.failed(log, c.why)
				counted := clients()
				t.Logf("clients: %v", counted)
				if c.inside && counted.failed > 0 {
					t.Errorf("clients: %v", counted)
				}
				h.until("one process is left, the server", func() bool { return len(h.alive()) == 1 })
				h.back(before)
				if got := h.info(); got.Version != "1.0.0" || (got.PID == pid) != c.inside {
					t.Errorf("%+v serves; pid was %d", got, pid)
				}
				if got := h.get("color"); got != "blue" {
					t.Errorf("color is %q", got)
				}
			})
		}
	})
}

// TestWatchedEnds: once a version is confirmed nobody watches it, and its death is
// its own; nor does anybody act when it is asked to end before.
func TestWatchedEnds(t *testing.T) {
	t.Parallel()
	needsRoot(t, "setcap")
	t.Run("confirmed", func(t *testing.T) {
		t.Parallel()
		h, _ := alone(t, spoil.Good)
		h.begin(spoil.Good)
		h.finished()
		h.until("one process is left, the server", func() bool { return len(h.alive()) == 1 })
		if got := h.info(); got.Version != "1.1.0" || got.PID != h.pid {
			t.Errorf("%+v serves; pid was %d", got, h.pid)
		}
		h.kill()
		if got := h.alive(); len(got) != 0 {
			t.Errorf("processes: %v", got)
		}
		h.holds("1.1.0")
	})
	t.Run("started again beside it", func(t *testing.T) {
		t.Parallel()
		h, _ := alone(t, spoil.Good, "--min-healthy", "5s", "--start-limit", "2")
		log := h.begin(spoil.Good)
		h.await(log, "serving:")
		for range 3 {
			out, err := h.command().CombinedOutput()
			if err == nil || !strings.Contains(string(out), "another process of kvd 1.1.0 is on trial; this one was started beside it") {
				t.Errorf("a second start: %v\n%s", err, out)
			}
		}
		h.finished()
		h.holds("1.1.0")
		if got := h.info(); got.Version != "1.1.0" || got.PID != h.pid {
			t.Errorf("%+v serves; pid was %d", got, h.pid)
		}
	})
	t.Run("asked to end", func(t *testing.T) {
		t.Parallel()
		h, _ := alone(t, spoil.Good, "--min-healthy", "1m", "--confirm-timeout", "5m")
		log := h.begin(spoil.Good)
		h.await(log, "serving:")
		if got := h.alive(); len(got) != 2 {
			t.Errorf("processes: %v", got)
		}
		h.cmd.Process.Signal(os.Interrupt)
		h.gone()
		h.holds("1.1.0")
	})
	t.Run("its watcher is killed", func(t *testing.T) {
		t.Parallel()
		h, _ := alone(t, spoil.Good, "--min-healthy", "3s")
		log := h.begin(spoil.Good)
		h.await(log, "serving:")
		for pid := range h.alive() {
			if pid != h.pid {
				killed(t, pid)
			}
		}
		h.finished()
		h.holds("1.1.0")
		h.do(http.MethodGet, "info", nil).ok(t, http.StatusOK)
	})
}
