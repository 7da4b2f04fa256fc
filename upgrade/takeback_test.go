package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A handed is a server that starts its next program while it serves on.
type handed struct {
	*machine
	next  func(*Config)  // of the successor
	after func(*process) // it runs; returns when it is to be seen dead
	fails error          // Restart returns it beside the end of the successor
	heard int            // words of the successor that it is confirmed
	hooks int            // calls of Drain and Stop of the old program
	over  string         // what was started in place of the old process
	left  bool           // the successor put something back by itself
}

// overlapping starts the upgrade of h to 1.1.0 and returns its old process.
func overlapping(t *testing.T, h *handed) *process {
	t.Helper()
	h.machine = newMachine(t)
	h.edit = func(c *Config) {
		c.Restart.Overlaps = true
		if c.Started.Identity.Version == "1.1.0" {
			c.Restart.Confirm = func() { h.heard++ }
			start := c.Started.process.Start
			c.Started.process.Start = func(path string) error { h.left = true; return start(path) }
			if h.next != nil {
				h.next(c)
			}
			return
		}
		c.Started.process.Start = func(path string) error { h.over = path; return errKilled }
		c.Drain = func(context.Context) (func(), error) { h.hooks++; return func() {}, nil }
		c.Stop = func(context.Context) error { h.hooks++; return nil }
		c.Restart.Restart = func(ctx context.Context, path string) error {
			if h.after == nil {
				return errors.New("exit status 2")
			}
			q := h.boot()
			h.after(q)
			q.dies()
			return errors.Join(errors.New("the successor ended"), h.fails)
		}
	}
	p := h.boot()
	stage(t, p, "1.1.0")
	if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// A successor that comes to nothing leaves the old process serving, without a
// restart, and the old program at the path; the record and the journal say why.
func TestTakeBack(t *testing.T) {
	unready := func(c *Config) { c.Ready = func(context.Context) error { return errors.New("no licence") } }
	for name, c := range map[string]struct {
		h   handed
		why string
	}{
		"does not start": {handed{}, "exit status 2"},
		"dies on trial":  {handed{after: func(*process) { time.Sleep(3 * time.Second) }}, "the successor ended"},
		"is never ready": {handed{next: unready, after: func(q *process) { <-q.ended }}, "no licence, 30m0s after its start"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := c.h
				p := overlapping(t, &h)
				defer p.end()
				r, err := p.endOfRun()
				if err != nil || r.Status != tracking.Failed || r.Reason != "PutBack" || !strings.Contains(r.FinalState, c.why) {
					t.Fatalf("%v: %s %s %s", err, r.Status, r.Reason, r.FinalState)
				}
				synctest.Wait()
				j := p.journal()
				if h.installed() != "1.0.0" || len(j.Failed) != 1 || j.Phase != phaseNone || h.execs != 0 {
					t.Errorf("installed %s, journal %+v, %d restarts", h.installed(), j, h.execs)
				}
				if s, err := h.start(); err != nil || s.PutBackFrom != "" {
					t.Errorf("%v: a host that served on is told to restore what %q left", err, s.PutBackFrom)
				}
				if h.left {
					t.Error("the successor put the old program back while somebody waited to do it")
				}
				if h.hooks > 0 {
					t.Errorf("%d calls of Drain and Stop of a server that serves on", h.hooks)
				}
				if left := h.leftovers(); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
				if _, err := p.Retry(t.Context(), RetryOptions{}); err == nil || !strings.Contains(err.Error(), "put back") {
					t.Errorf("the same program is tried again: %v", err)
				}
			})
		})
	}
}

// A successor that is accepted tells the process that waits for it.
func TestTakeBackNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r tracking.Run
		h := handed{after: func(q *process) { r, _ = q.endOfRun(); synctest.Wait() }}
		p := overlapping(t, &h)
		<-p.ended // the successor died after it, and has to be started again
		if r.Status != tracking.Finished || h.heard != 1 {
			t.Errorf("%s, confirmed %d times", r.FinalState, h.heard)
		}
		if h.installed() != "1.1.0" || h.over != h.path || p.err == nil {
			t.Errorf("installed %s, started over %q: %v", h.installed(), h.over, p.err)
		}
	})
}

// Where the old process cannot serve on, what lies at the path is started in its
// place: the new program if that closed the way back, and otherwise the old one,
// which tells what has happened.
func TestTakeBackAnew(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprint("no way back ", closed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := handed{fails: restart.ErrNotReacquired, after: func(q *process) {
					if closed {
						if err := q.c.Started.NoWayBack(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}}
				p := overlapping(t, &h)
				<-p.ended
				want := map[bool]string{true: "1.1.0", false: "1.0.0"}[closed]
				if h.installed() != want || h.over != h.path || p.err == nil || h.hooks != 1 {
					t.Fatalf("installed %s, started over %q, %d hooks: %v", h.installed(), h.over, h.hooks, p.err)
				}
				s, err := h.start()
				if err != nil || closed == (s.PutBackFrom != "") || closed == (s.UpgradedFrom == "") {
					t.Errorf("%v: %+v", err, s)
				}
				s.trial.end()
			})
		})
	}
}
