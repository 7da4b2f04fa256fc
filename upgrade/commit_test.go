package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// keeps reports whether a previous program lies beside that of m.
func (m *machine) keeps() bool {
	_, err := os.Lstat(filepath.Join(filepath.Dir(m.path), ".kvd.previous"))
	return err == nil
}

// A commit gives the way back up on every member, on one that is down once it is
// back, and tells each host until it has heard.
func TestClusterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		var told, deaf atomic.Int64
		for _, m := range f.machines {
			m.edit = func(c *Config) {
				c.Committed = func(context.Context) error {
					if m.keeps() {
						t.Errorf("%s is told, and its previous program is still there", m.id)
					}
					if m.id == "m2" && deaf.Add(1) == 1 {
						return errors.New("busy")
					}
					told.Add(1)
					return nil
				}
			}
			f.at(m.id).kill(errKilled) // so that it takes the new configuration
		}
		time.Sleep(5 * time.Second)
		f.start("m1", StartOptions{})
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		synctest.Wait()
		down := f.machines["m3"]
		f.away = time.Hour
		f.at("m3").kill(errKilled)
		synctest.Wait()
		if err := f.at("m1").Commit(t.Context(), CommitOptions{By: "jane"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if f.machines["m1"].keeps() || f.machines["m2"].keeps() || !down.keeps() || told.Load() != 2 || deaf.Load() != 2 {
			t.Errorf("told %d, m2 asked %d times; m1 keeps: %v", told.Load(), deaf.Load(), f.machines["m1"].keeps())
		}
		time.Sleep(2 * time.Hour)
		if down.keeps() || told.Load() != 3 {
			t.Errorf("m3 is back, and keeps: %v; told %d", down.keeps(), told.Load())
		}
		f.transcriptHas("run.committed", "committed by jane: 1.1.0 stays, no member keeps 1.0.0 any more")
		s, err := f.at("m2").Status(t.Context())
		if err != nil || s.Run.CommittedAt == nil || s.Run.CommittedBy != "jane" || strings.Join(s.Actions, " ") != "unstage" {
			t.Errorf("%+v, %v", s.Run, err)
		}
		for _, m := range s.Members {
			if m.Previous != nil {
				t.Errorf("%s says that it keeps %s", m.ID, *m.Previous)
			}
		}
		if err := f.at("m2").Commit(t.Context(), CommitOptions{}); err != nil {
			t.Errorf("again: %v", err)
		}
		_, err = f.at("m2").Rollback(t.Context(), RollbackOptions{})
		refusedFor(t, err, "Committed")
		if err := f.at("m1").Unstage(t.Context(), UnstageOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, err = f.at("m2").Rollback(t.Context(), RollbackOptions{})
		refusedFor(t, err, "Committed")
		if err := f.at("m2").Commit(t.Context(), CommitOptions{}); err != nil {
			t.Errorf("again, after it was removed: %v", err)
		}
		// The next upgrade has a way back of its own.
		synctest.Wait()
		f.away = time.Second
		stage(t, f.at("m1"), "1.2.0")
		if _, err := f.at("m1").Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := f.ends(); r.Status != tracking.Finished || !r.Committed.IsZero() || !down.keeps() {
			t.Errorf("%s, committed %v, m3 keeps: %v", r.Status, r.Committed, down.keeps())
		}
	})
}

func TestClusterCommitRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		refusedFor(t, f.at("m1").Commit(t.Context(), CommitOptions{}), "NothingToCommit")
		stage(t, f.at("m1"), "1.1.0")
		refusedFor(t, f.at("m1").Commit(t.Context(), CommitOptions{}), "NotFinished")
		if _, err := f.at("m1").Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		refusedFor(t, f.at("m1").Commit(t.Context(), CommitOptions{}), "NotFinished")
		f.ends()
		// One that joined since, with the program from before.
		f.sim.Add(cluster.Member{ID: "m4", Addr: "http://m4", Voter: true})
		f.add("m4")
		time.Sleep(time.Minute)
		if no := refusedFor(t, f.at("m1").Commit(t.Context(), CommitOptions{}), "NotFinished"); no.Member != "m4" {
			t.Errorf("%+v", no)
		}
		f.sim.Remove("m4")
		// The record may be gone; then all have to answer.
		if err := f.at("m1").Unstage(t.Context(), UnstageOptions{}); err != nil {
			t.Fatal(err)
		}
		f.sim.SetHealthy("m3", false)
		if no := refusedFor(t, f.at("m1").Commit(t.Context(), CommitOptions{}), "NotFinished"); no.Member != "m3" {
			t.Errorf("%+v", no)
		}
		f.sim.SetHealthy("m3", true)
		if err := f.at("m2").Commit(t.Context(), CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for id, m := range f.machines {
			if id != "m4" && m.keeps() {
				t.Errorf("%s keeps the program from before", id)
			}
		}
	})
}

// A process that dies anywhere in a commit leaves the rest to the next one.
func TestCommitKilledAnywhere(t *testing.T) {
	for _, broken := range []string{"forget", "journal", "hook"} {
		t.Run(broken, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := upgraded(t, "m1")
				m := f.machines["m1"]
				p := f.at("m1")
				var told, died atomic.Int64
				m.edit = func(c *Config) {
					c.Committed = func(context.Context) error { told.Add(1); return nil }
				}
				dies := func() { died.Add(1); p.kill(errKilled) }
				if broken != "hook" {
					p.c.Replacer = dying{p.c.Replacer, dies, broken == "forget"}
				}
				p.c.Committed = func(context.Context) error { dies(); return errKilled }
				if err := p.Commit(t.Context(), CommitOptions{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if m.keeps() || told.Load() != 1 || died.Load() != 1 {
					t.Errorf("keeps: %v, told %d times, died %d times", m.keeps(), told.Load(), died.Load())
				}
				if got := f.at("m1").previousVersion(); got != "" {
					t.Errorf("the journal says that it keeps %s", got)
				}
			})
		})
	}
}

// dying ends the process at Forget, before it happens or after.
type dying struct {
	Replacer
	dies   func()
	before bool
}

func (d dying) Forget(ctx context.Context) error {
	if d.before {
		d.dies()
		return errKilled
	}
	err := d.Replacer.Forget(ctx)
	d.dies()
	return errors.Join(err, errKilled)
}
