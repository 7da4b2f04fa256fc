package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// The recovery is total: every cell is here, and none does what it must not.
func TestRecoveryTable(t *testing.T) {
	table, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]recovery{}
	for _, phase := range []phase{phaseNone, phaseClaimed, phaseReplacing, phaseRunning, phaseReturning} {
		for _, runs := range []whose{olds, news, others} {
			for i := range 32 {
				for _, previous := range []whose{olds, news, others, nobodys} {
					f := found{runs: runs, phase: phase, confirmed: i&1 > 0, spent: i&2 > 0, noWayBack: i&4 > 0, unfit: i&8 > 0, beside: i&16 > 0, previous: previous}
					r := f.recovery()
					row := fmt.Sprintf("| %s | %s |", cmp.Or(string(phase), "(none)"), runs)
					if !slices.Contains(rows[row], r) {
						rows[row] = append(rows[row], r)
					}
					switch {
					case f.beside && (r == startPutsBack || r == startOnTrial || r == startStuck):
						t.Errorf("%+v: judges the program of another process", f)
					case r == startBeside && (!f.beside || f.runs != news):
						t.Errorf("%+v: stays out of nothing", f)
					case r == startPutsBack && (f.previous != olds || f.noWayBack || f.runs != news):
						t.Errorf("%+v: puts back what is not the program from before, or is over", f)
					case r == startPutsBack && f.phase != phaseReturning && (f.confirmed || !f.spent && !f.unfit):
						t.Errorf("%+v: puts a program back that is confirmed, or has starts left and is fit", f)
					case r == startOnTrial && (f.confirmed || f.unfit || f.runs != news):
						t.Errorf("%+v: counts a start of a program that is not on trial, or is no good", f)
					case f.phase == phaseReturning && f.runs == olds && r != startReturned:
						t.Errorf("%+v: nobody is told", f)
					}
				}
			}
		}
	}
	for row, all := range rows {
		var words []string
		for _, r := range all {
			words = append(words, string(r))
		}
		slices.Sort(words)
		if line := row + " " + strings.Join(words, "; ") + " |"; !strings.Contains(string(table), line) {
			t.Errorf("DESIGN.md has no line %q", line)
		}
	}
}

// dies is the end of a process that nobody asked for.
func (p *process) dies() {
	p.c.Started.trial.end()
	p.kill(errKilled)
	<-p.ended
}

// swapped is a machine whose new program has been put in place, and whose process
// is gone.
func swapped(t *testing.T) *machine {
	m := newMachine(t)
	p := m.boot()
	stage(t, p, "1.1.0")
	if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if m.installed() != "1.1.0" {
		t.Fatal("nothing was replaced")
	}
	return m
}

// start is Boot and nothing else.
func (m *machine) start() (*Started, error) {
	m.t.Helper()
	s := newStarted(Identity{Product: "kvd", Version: m.installed()})
	s.process.Start = func(string) error { return errKilled }
	p, err := ProgramAt(m.path)
	if err != nil {
		m.t.Fatal(err)
	}
	return s, s.bootAs(p)
}

// A program that dies at each start is put back at the one after the third, and
// the cluster is told by the old one.
func TestPutBackAfterDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		for range 3 {
			s, err := m.start()
			if err != nil || s.UpgradedFrom != "1.0.0" {
				t.Fatalf("%+v, %v", s, err)
			}
			s.trial.end() // dead
		}
		started := ""
		s := newStarted(Identity{Product: "kvd", Version: "1.1.0"})
		s.process.Start = func(p string) error { started = p; return errKilled }
		p, err := ProgramAt(m.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.bootAs(p); !errors.Is(err, errKilled) || !strings.Contains(err.Error(), "ended 3 times within 1m0s") {
			t.Error(err)
		}
		if started != m.path || m.installed() != "1.0.0" {
			t.Errorf("started %q, installed %s", started, m.installed())
		}
		wantPutBack(t, m, "ended 3 times within 1m0s of its start")
	})
}

// wantPutBack boots the old program and expects it to tell.
func wantPutBack(t *testing.T, m *machine, why string) {
	t.Helper()
	p := m.boot()
	defer p.end()
	if s := p.c.Started; s.PutBackFrom != "1.1.0" || !strings.Contains(s.PutBackWhy, why) || s.Identity.Version != "1.0.0" {
		t.Errorf("runs %s, put back from %q: %q; want %q", s.Identity.Version, s.PutBackFrom, s.PutBackWhy, why)
	}
	r, err := p.endOfRun()
	if err != nil || r.Status != tracking.Failed || r.Reason != "PutBack" || r.FailedMember != "m1" || !strings.Contains(r.FinalState, why) {
		t.Errorf("%v: the run is %s %s: %s", err, r.Status, r.Reason, r.FinalState)
	}
	if left := m.leftovers(); len(left) > 0 {
		t.Errorf("left beside the program: %v", left)
	}
	// It is remembered, and refused unless somebody means it.
	if err := p.Unstage(t.Context(), UnstageOptions{}); err != nil {
		t.Fatal(err)
	}
	stage(t, p, "1.1.0")
	_, err = p.Start(t.Context(), StartOptions{})
	if no := wantRefusal(t, err, NotReady, "PrerequisiteFailed"); !strings.Contains(no.Message, "put back here before") {
		t.Error(no.Message)
	}
	if _, err := p.Start(t.Context(), StartOptions{Skip: []string{"failed-before"}}); err != nil {
		t.Error(err)
	}
}

// A start that lasts, or that ends because it was asked to, does not count.
func TestStartsThatLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		for i := range 10 {
			s, err := m.start()
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				time.Sleep(time.Minute)
				synctest.Wait()
				s.trial.end()
			} else {
				s.AskedToEnd()
			}
		}
		if m.installed() != "1.1.0" {
			t.Errorf("installed %s", m.installed())
		}
	})
}

// What hangs before it serves is put back when its time is up.
func TestPutBackHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		s, err := m.start()
		if err != nil {
			t.Fatal(err)
		}
		defer s.trial.end()
		time.Sleep(30*time.Minute - time.Second)
		synctest.Wait()
		if m.installed() != "1.1.0" {
			t.Fatal("put back too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if m.installed() != "1.0.0" {
			t.Fatalf("installed %s", m.installed())
		}
		wantPutBack(t, m, "did not come to serve within 30m0s")
	})
}

// What serves and is never ready, or not for long, is put back too.
func TestPutBackNeverWell(t *testing.T) {
	for name, ready := range map[string]func(age time.Duration) error{
		"never ready": func(time.Duration) error { return errors.New("no licence") },
		"flaps": func(age time.Duration) error {
			if age/(5*time.Second)%2 == 0 {
				return nil
			}
			return errors.New("no licence")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.edit = func(c *Config) {
					if started := c.Started; started.Identity.Version == "1.1.0" {
						begin := time.Now()
						c.Ready = func(context.Context) error { return ready(time.Since(begin)) }
					}
				}
				p := m.boot()
				stage(t, p, "1.1.0")
				if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
					t.Fatal(err)
				}
				<-p.ended
				q := m.boot()
				time.Sleep(30*time.Minute + time.Second)
				synctest.Wait()
				if m.installed() != "1.0.0" {
					t.Fatalf("installed %s after its time:\n%s", m.installed(), m.transcript())
				}
				q.dies()
				wantPutBack(t, m, "")
			})
		})
	}
}

// The host of a program that was put back is told until a start of it has come to
// Run: one that dies before may not have restored its data. Nothing is written
// before that, and what was done lasts then.
func TestPutBackToldUntilRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		for range 3 {
			s, err := m.start()
			if err != nil {
				t.Fatal(err)
			}
			s.trial.end() // dead
		}
		if _, err := m.start(); !errors.Is(err, errKilled) || m.installed() != "1.0.0" {
			t.Fatalf("installed %s: %v", m.installed(), err)
		}
		for i := range 3 {
			s, err := m.start()
			if err != nil || s.PutBackFrom != "1.1.0" || !strings.Contains(s.PutBackWhy, "ended 3 times") {
				t.Fatalf("start %d: %+v, %v", i, s, err)
			}
			if i == 1 { // something else is noted meanwhile
				if err := s.ledger.edit(func(j *journal) { j.Floor++ }); err != nil {
					t.Fatal(err)
				}
			}
		}
		wantPutBack(t, m, "ended 3 times")
		if s, err := m.start(); err != nil || s.PutBackFrom != "" {
			t.Errorf("told again after Run: %+v, %v", s, err)
		}
	})
}
