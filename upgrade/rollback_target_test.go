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
)

// goingBack is a machine that was upgraded to 1.1.0, and whose rollback has just
// put 1.0.0 in place.
func goingBack(t *testing.T) *machine {
	t.Helper()
	m := swapped(t)
	p := m.boot()
	if r, err := p.endOfRun(); err != nil || r.Status != tracking.Finished {
		t.Fatalf("%v: %s", err, r.FinalState)
	}
	if _, err := p.Rollback(t.Context(), RollbackOptions{}); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if m.installed() != "1.0.0" {
		t.Fatalf("installed %s:\n%s", m.installed(), m.transcript())
	}
	return m
}

// diesAtEachStart has the program at the path use up its starts: it is put back.
func (m *machine) diesAtEachStart() {
	m.t.Helper()
	for range 3 {
		s, err := m.start()
		if err != nil {
			m.t.Fatal(err)
		}
		s.trial.end() // dead
	}
	if _, err := m.start(); !errors.Is(err, errKilled) {
		m.t.Fatal(err)
	}
}

// The target of a rollback that is put back is still there to go back to, however
// it was put back: it is refused as one that failed, and taken if somebody means it.
func TestRollbackKeepsItsTarget(t *testing.T) {
	for name, spoilt := range map[string]func(m *machine){
		"dies": (*machine).diesAtEachStart,
		"hangs": func(m *machine) {
			s, err := m.start()
			if err != nil {
				m.t.Fatal(err)
			}
			defer s.trial.end()
			time.Sleep(31 * time.Minute)
			synctest.Wait()
		},
		"killed while it is put back": func(m *machine) {
			program, err := ProgramAt(m.path)
			if err != nil {
				m.t.Fatal(err)
			}
			j, err := loadJournal(program)
			if err != nil {
				m.t.Fatal(err)
			}
			j.Phase, j.Why = phaseReturning, "had no licence"
			if err := j.save(program); err != nil {
				m.t.Fatal(err)
			}
			s, err := j.executable(program).swap("restore")
			if err == nil {
				err = errors.Join(s.setAside(m.t.Context()), s.putAllBack(m.t.Context(), true))
			}
			if err != nil {
				m.t.Fatal(err)
			}
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			m := goingBack(t)
			spoilt(m)
			if m.installed() != "1.1.0" {
				t.Fatalf("installed %s", m.installed())
			}
			p := m.boot()
			if s := p.c.Started; s.PutBackFrom != "1.0.0" {
				t.Errorf("put back from %q: %q", s.PutBackFrom, s.PutBackWhy)
			}
			wantTarget(t, m, p)
			if r := m.live(); r.Status != tracking.Finished || m.installed() != "1.0.0" {
				t.Errorf("installed %s: %s\n%s", m.installed(), r.FinalState, m.transcript())
			}
		})
	}
}

// wantTarget fails unless the rollback has failed on p, and can be done again; then
// it has begun.
func wantTarget(t *testing.T, m *machine, p *process) {
	t.Helper()
	r, err := p.endOfRun()
	if err != nil || r.Status != tracking.Failed || r.Reason != "PutBack" || r.Kind != tracking.KindRollback {
		t.Fatalf("%v: %s %s %s", err, r.Status, r.Reason, r.FinalState)
	}
	synctest.Wait()
	if left := m.leftovers(); len(left) > 0 {
		t.Errorf("left beside the program: %v", left)
	}
	if s, err := p.Status(t.Context()); err != nil || s.Members[0].Previous == nil || *s.Members[0].Previous != "1.0.0" {
		t.Errorf("the status knows of no way back: %+v, %v", s.Members, err)
	}
	refusedFor(t, p.Commit(t.Context(), CommitOptions{}), "NotFinished")
	for name, again := range map[string]func() (string, error){
		"rollback": func() (string, error) { return p.Rollback(t.Context(), RollbackOptions{}) },
		"retry":    func() (string, error) { return p.Retry(t.Context(), RetryOptions{}) },
	} {
		if _, err := again(); !strings.Contains(fmt.Sprint(err), "put back here before") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.Retry(t.Context(), RetryOptions{Skip: []string{"failed-before"}}); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if m.installed() != "1.0.0" {
		t.Errorf("installed %s", m.installed())
	}
}

// It may also fail again, and be given up at last: once the run is gone a commit
// removes it.
func TestRollbackTargetGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := goingBack(t)
		m.diesAtEachStart()
		wantTarget(t, m, m.boot())
		m.diesAtEachStart()
		p := m.boot()
		defer p.dies()
		if r, err := p.endOfRun(); err != nil || r.Reason != "PutBack" {
			t.Fatalf("%v: %s", err, r.FinalState)
		}
		synctest.Wait()
		if err := p.Unstage(t.Context(), UnstageOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := p.Commit(t.Context(), CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, err := p.Rollback(t.Context(), RollbackOptions{Skip: []string{"failed-before"}})
		if no := new(Refusal); !errors.As(err, &no) || no.Reason != "Committed" && no.Reason != "NoPrevious" {
			t.Errorf("after the commit: %v", err)
		}
		if _, err := p.previous(t.Context()); err == nil || p.previousVersion() != "" {
			t.Errorf("%q is kept after the commit: %v", p.previousVersion(), err)
		}
	})
}

// Where there is no target any more the journal says so: the next start does not
// promise what is not there.
func TestRollbackTargetLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := goingBack(t)
		m.diesAtEachStart()
		m.spoil(".kvd.previous", "")
		p := m.boot()
		defer p.dies()
		if r, err := p.endOfRun(); err != nil || r.Reason != "PutBack" {
			t.Fatalf("%v: %s", err, r.FinalState)
		}
		synctest.Wait()
		if _, err := p.Rollback(t.Context(), RollbackOptions{Skip: []string{"failed-before"}}); err == nil || p.previousVersion() != "" {
			t.Errorf("%q is said to be kept: %v", p.previousVersion(), err)
		}
	})
}

// The process of the program from before, where that serves on, keeps the target too.
func TestTakeBackKeepsTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		if r := m.live(); r.Status != tracking.Finished {
			t.Fatal(r.FinalState)
		}
		bad := true
		m.edit = func(c *Config) {
			if c.Restart.Overlaps = bad; bad {
				c.Restart.Restart = func(context.Context, string) error { return errors.New("exit status 2") }
			}
		}
		p := m.boot()
		defer p.end()
		if _, err := p.Rollback(t.Context(), RollbackOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := p.endOfRun()
		if err != nil || r.Reason != "PutBack" || m.installed() != "1.1.0" {
			t.Fatalf("%v: %s, installed %s", err, r.FinalState, m.installed())
		}
		p.dies()
		bad = false
		wantTarget(t, m, m.boot())
	})
}
