package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// meddled is what somebody does beside a program on trial, and what is said of a
// program that is left in place because of it.
var meddled = map[string]struct {
	does func(t *testing.T, m *machine)
	why  string
	runs string // lies at the path in the end
}{
	"another program is installed": {func(t *testing.T, m *machine) { lay(t, m.path, script("1.2.0")) }, "was replaced by somebody else, and stays", "1.2.0"},
	"the kept program is cut short": {func(t *testing.T, m *machine) {
		lay(t, previousOf(m), script("1.0.0")[:5])
	}, "is not the program from before", "1.1.0"},
	"the kept program is another": {func(t *testing.T, m *machine) { lay(t, previousOf(m), script("1.2.0")) }, "is not the program from before", "1.1.0"},
	"the kept program is gone": {func(t *testing.T, m *machine) {
		if err := os.Remove(previousOf(m)); err != nil {
			t.Fatal(err)
		}
	}, "no program is kept to put back", "1.1.0"},
}

func previousOf(m *machine) string { return Program{Path: m.path}.PreviousPath() }

// lay puts a program at path as a package manager does.
func lay(t *testing.T, path, text string) {
	t.Helper()
	next := filepath.Join(t.TempDir(), "next")
	if err := os.WriteFile(next, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// What was put at the path by hand stays, and what is not whole is not put there:
// a program on trial that is no good is left in place then, and its member fails
// by name.
func TestPutBackLooksAgain(t *testing.T) {
	for name, c := range meddled {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := swapped(t)
				m.edit = func(c *Config) { c.Ready = func(context.Context) error { return errors.New("no licence") } }
				p := m.boot()
				defer p.end()
				time.Sleep(time.Minute)
				c.does(t, m)
				r, err := p.endOfRun()
				if err != nil || r.Status != tracking.Failed || r.Reason != "NoWayBack" ||
					!strings.Contains(r.FinalState, "no licence, 30m0s after its start, and is left in place") || !strings.Contains(r.FinalState, c.why) {
					t.Errorf("%v: the run is %s %s: %s", err, r.Status, r.Reason, r.FinalState)
				}
				if got := m.installed(); got != c.runs {
					t.Errorf("%s lies at the path, want %s", got, c.runs)
				}
			})
		})
	}
}

// A program that has not come to serve by then is put back once it can be.
func TestPutBackLooksUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		s, err := m.start()
		if err != nil {
			t.Fatal(err)
		}
		defer s.trial.end()
		lay(t, previousOf(m), "oops")
		time.Sleep(40 * time.Minute)
		synctest.Wait()
		if got := m.installed(); got != "1.1.0" {
			t.Fatalf("%s lies at the path", got)
		}
		lay(t, previousOf(m), script("1.0.0"))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		wantPutBack(t, m, "did not come to serve within 30m0s")
	})
}

// Nor does a process that serves on put anything else back after a hand-over.
func TestTakeBackLooksAgain(t *testing.T) {
	for name, c := range meddled {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := handed{}
				h.after = func(*process) { c.does(t, h.machine) }
				p := overlapping(t, &h)
				defer p.end()
				r, err := p.endOfRun()
				if err != nil || r.Status != tracking.Failed || r.Reason != "RestartFailed" || !strings.Contains(r.FinalState, c.why) {
					t.Errorf("%v: the run is %s %s: %s", err, r.Status, r.Reason, r.FinalState)
				}
				if got := h.installed(); got != c.runs || h.over != "" {
					t.Errorf("%s lies at the path, want %s; started over: %q", got, c.runs, h.over)
				}
			})
		})
	}
}
