package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// holdings are the descriptors and children of a process, and what its
// environment has of ours, in an order in which two of them can be compared.
func (h *hosted) holdings(pid int) []string {
	h.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	var all []string
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		all = append(all, regexp.MustCompile(`\[\d+\]|\.previous| \(deleted\)`).ReplaceAllString(to, ""))
	}
	threads, err := os.ReadDir(filepath.Join(proc, "task"))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, thread := range threads {
		children, _ := os.ReadFile(filepath.Join(proc, "task", thread.Name(), "children"))
		for range strings.Fields(string(children)) {
			all = append(all, "a child")
		}
	}
	env, err := os.ReadFile(filepath.Join(proc, "environ"))
	if err != nil {
		h.t.Fatal(err)
	}
	for kv := range strings.SplitSeq(string(env), "\x00") {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "LEADERLAST_") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// more is what is in now and not in before.
func more(now, before []string) (more []string) {
	before = slices.Clone(before)
	for _, what := range now {
		if i := slices.Index(before, what); i >= 0 {
			before = slices.Delete(before, i, i+1)
		} else {
			more = append(more, what)
		}
	}
	return more
}

// TestLineage: what a process holds does not grow, however often its program is
// replaced, put back by itself, rolled back, or another that it has started comes
// to nothing.
func TestLineage(t *testing.T) {
	if testing.Short() {
		t.Skip("upgrades a server again and again")
	}
	t.Parallel()
	for _, c := range []struct {
		name   string
		args   []string
		spoilt spoil.Way
		why    string
		rounds int
	}{
		{"exec, watched", []string{"--confirm-timeout", "1s"}, spoil.Hangs, `did not come to serve within 1s`, 4},
		{"hand-over", []string{"--confirm-timeout", "5m", "--restart", "hand-over"}, spoil.EndsAtOnce, `exited with status 3`, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
			h.env = unsupervised(h.marked())
			h.args = append(c.args, "--listen", freeAddress(t))
			h.serve()
			pid := h.pid
			var before []string
			for round := range c.rounds {
				if c.spoilt == spoil.Hangs { // there and back: the process stays the same
					h.upgradeTo(build{version: "1.1.0"}, 2)
					h.operate(upgradecmd.CodeOK, "rollback", "--yes")
					if s := h.outcome(); s.Status != "finished" {
						t.Fatalf("the rollback ended as %s", said(s))
					}
				}
				h.upload("system/upgrade/stage", packedAs(t, build{version: "1.1.0", spoilt: c.spoilt}, 2, h.key, nil)).ok(t, http.StatusCreated)
				log := h.logged()
				h.operate(upgradecmd.CodeOK, "start", "--skip-check", "failed-before")
				h.failed(log, c.why)
				h.tidy()
				if got := h.info(); got.PID != pid || got.Version != "1.0.0" {
					t.Fatalf("round %d: %+v serves; pid was %d", round, got, pid)
				}
				if round == 0 {
					h.until("nothing is held that is over", func() bool { return !slices.Contains(h.holdings(pid), "a child") })
					before = h.holdings(pid)
				}
			}
			var grown []string
			defer func() {
				if t.Failed() {
					t.Logf("it held %q, and now also %q", before, grown)
				}
			}()
			h.until("it holds what it held after the first round", func() bool {
				grown = more(h.holdings(pid), before)
				return len(grown) == 0
			})
			t.Logf("after %d rounds: %q", c.rounds, h.holdings(pid))
		})
	}
}
