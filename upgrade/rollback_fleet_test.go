package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// upgraded is a fleet that has finished an upgrade to 1.1.0.
func upgraded(t *testing.T, ids ...string) *fleet {
	t.Helper()
	f := newFleet(t, ids...)
	f.start(ids[len(ids)-1], StartOptions{By: "jane"})
	if r := f.ends(); r.Status != tracking.Finished {
		t.Fatalf("ended %s: %s", r.Status, r.FinalState)
	}
	synctest.Wait()
	f.out = nil
	return f
}

// refusedFor fails unless err is a refusal for that reason.
func refusedFor(t *testing.T, err error, reason string) *Refusal {
	t.Helper()
	var no *Refusal
	if !errors.As(err, &no) || no.Reason != reason {
		t.Fatalf("%v, want a refusal for %s", err, reason)
	}
	if no.Message == "" || no.Remedy == "" {
		t.Errorf("it does not say what happened, or what to do: %+v", no)
	}
	return no
}

func TestClusterRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := upgraded(t, "m1", "m2", "m3")
		up := f.machines["m1"].run()
		leader := f.leader()
		id, err := f.at("m2").Rollback(t.Context(), RollbackOptions{By: "jane"})
		if err != nil {
			t.Fatal(err)
		}
		r := f.ends()
		t.Logf("\n%s", f.machines["m1"].transcript())
		if r.Status != tracking.Finished || r.ID != id || r.Kind != tracking.KindRollback || r.RollbackOf != up.ID || r.From != "1.1.0" {
			t.Fatalf("%+v", r)
		}
		if want := "finished: kvd 1.0.0 on m1 m2 m3 in "; !strings.HasPrefix(r.FinalState, want) || !strings.HasSuffix(r.FinalState, "(rolled back from 1.1.0)") {
			t.Errorf("final state %q", r.FinalState)
		}
		if got := f.versions(); got != "m1 1.0.0, m2 1.0.0, m3 1.0.0" {
			t.Error(got)
		}
		if f.out[2] != leader {
			t.Errorf("went away in the order %s, and %s led", f.out, leader)
		}
		if again, err := f.at("m3").Rollback(t.Context(), RollbackOptions{}); again != id || err != nil {
			t.Errorf("again: %s, %v", again, err)
		}
		s, err := f.at("m1").Status(t.Context())
		if err != nil || s.Run.Kind != "rollback" || *s.Run.RollbackOf != up.ID || s.Run.From != "1.1.0" || s.Run.To != "1.0.0" || strings.Join(s.Actions, " ") != "commit unstage" {
			t.Errorf("%+v %v, %v", s.Run, s.Actions, err)
		}
		for _, m := range s.Members {
			if m.Previous == nil || *m.Previous != "1.1.0" || m.State != "done" {
				t.Errorf("%+v", m)
			}
		}
		for id, m := range f.machines {
			if left := m.leftovers(); len(left) > 0 {
				t.Errorf("left over at %s: %v", id, left)
			}
		}
	})
}

// After the record was removed it is undone as well; and so is the rollback.
func TestClusterRollbackOfWhatWasRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := upgraded(t, "m1", "m2", "m3")
		up := f.machines["m1"].run()
		for _, want := range []string{"1.0.0", "1.1.0"} {
			if err := f.at("m1").Unstage(t.Context(), UnstageOptions{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if _, err := f.at("m3").Rollback(t.Context(), RollbackOptions{}); err != nil {
				t.Fatal(err)
			}
			r := f.ends()
			if got := f.versions(); r.Status != tracking.Finished || got != fmt.Sprintf("m1 %s, m2 %[1]s, m3 %[1]s", want) {
				t.Fatalf("%s, %s: %s", got, r.Status, r.FinalState)
			}
			if want == "1.0.0" && r.RollbackOf != up.ID {
				t.Errorf("undoes %q, not %q", r.RollbackOf, up.ID)
			}
		}
	})
}

// An archive that was staged and removed in between changes nothing.
func TestClusterRollbackPastWhatNeverBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := upgraded(t, "m1", "m2", "m3")
		stage(t, f.at("m1"), "1.2.0")
		_, err := f.at("m1").Rollback(t.Context(), RollbackOptions{})
		refusedFor(t, err, "AlreadyStaged")
		if err := f.at("m1").Unstage(t.Context(), UnstageOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := f.at("m1").Rollback(t.Context(), RollbackOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := f.ends(); r.Status != tracking.Finished || f.versions() != "m1 1.0.0, m2 1.0.0, m3 1.0.0" {
			t.Errorf("%s, %s: %s", f.versions(), r.Status, r.FinalState)
		}
	})
}

// badOn3 makes 1.2.0 a program that never gets well on m3.
func badOn3(f *fleet) {
	f.machines["m3"].edit = func(c *Config) {
		c.Ready = func(context.Context) error {
			if c.Started.Identity.Version == "1.2.0" {
				return errors.New("the port is taken")
			}
			return nil
		}
	}
}

// failed12 has the upgrade of an upgraded fleet to 1.2.0 fail at m3: m2 runs it, m3
// was put back, m1 was not touched and keeps 1.0.0 from before.
func failed12(t *testing.T) *fleet {
	t.Helper()
	f := upgraded(t, "m1", "m2", "m3")
	f.sim.Lead("m1")
	badOn3(f)
	f.at("m3").kill(errKilled) // so that it takes the new configuration
	time.Sleep(5 * time.Second)
	stage(t, f.at("m1"), "1.2.0")
	if _, err := f.at("m1").Start(t.Context(), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	r := f.ends()
	if got := f.versions(); r.Status != tracking.Failed || got != "m1 1.1.0, m2 1.2.0, m3 1.1.0" {
		t.Fatalf("%s, %s: %s", got, r.Status, r.FinalState)
	}
	synctest.Wait()
	return f
}

// After a run that failed only those go back that it brought forward: nobody goes
// to what it keeps from a run before.
func TestClusterRollbackAfterFailed(t *testing.T) {
	for _, at := range []string{"m1", "m2", "m3"} {
		t.Run("asked at "+at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := failed12(t)
				f.out = nil
				if _, err := f.at(at).Rollback(t.Context(), RollbackOptions{}); err != nil {
					t.Fatal(err)
				}
				r := f.ends()
				if got := f.versions(); r.Status != tracking.Finished || got != "m1 1.1.0, m2 1.1.0, m3 1.1.0" {
					t.Fatalf("%s, %s: %s", got, r.Status, r.FinalState)
				}
				if fmt.Sprint(f.out) != "[m2]" {
					t.Errorf("%s went away", f.out)
				}
				if r.Archive.Version != "1.1.0" || r.From != "1.2.0" {
					t.Errorf("from %s to %s", r.From, r.Archive.Version)
				}
			})
		})
	}
	t.Run("cancelled and removed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := failed12(t)
			if err := f.at("m1").Unstage(t.Context(), UnstageOptions{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if _, err := f.at("m1").Rollback(t.Context(), RollbackOptions{}); err != nil {
				t.Fatal(err)
			}
			if r := f.ends(); r.Status != tracking.Finished || f.versions() != "m1 1.1.0, m2 1.1.0, m3 1.1.0" {
				t.Fatalf("%s, %s: %s", f.versions(), r.Status, r.FinalState)
			}
		})
	})
}

// A rollback that fails is tried again, and undoes the same.
func TestClusterRollbackFailsAndRetries(t *testing.T) {
	for _, again := range []string{"retry", "rollback"} {
		t.Run(again, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := upgraded(t, "m1", "m2", "m3")
				up := f.machines["m1"].run()
				var once sync.Once
				refuse := errors.New("no such device")
				m3 := f.at("m3")
				restart := m3.c.Restart.Restart
				m3.c.Restart.Restart = func(ctx context.Context, path string) (err error) {
					once.Do(func() { err = refuse })
					if err == nil {
						err = restart(ctx, path)
					}
					return err
				}
				f.sim.Lead("m1")
				if _, err := f.at("m1").Rollback(t.Context(), RollbackOptions{}); err != nil {
					t.Fatal(err)
				}
				r := f.ends()
				if got := f.versions(); r.Status != tracking.Failed || r.Reason != "RestartFailed" || got != "m1 1.1.0, m2 1.0.0, m3 1.1.0" {
					t.Fatalf("%s, %s %s: %s", got, r.Status, r.Reason, r.FinalState)
				}
				_, err := f.at("m2").Start(t.Context(), StartOptions{})
				refusedFor(t, err, "RunFailed")
				var id string
				if again == "retry" {
					id, err = f.at("m2").Retry(t.Context(), RetryOptions{})
				} else {
					id, err = f.at("m2").Rollback(t.Context(), RollbackOptions{})
				}
				if err != nil {
					t.Fatal(err)
				}
				now := f.ends()
				if got := f.versions(); now.Status != tracking.Finished || got != "m1 1.0.0, m2 1.0.0, m3 1.0.0" {
					t.Fatalf("%s, %s: %s", got, now.Status, now.FinalState)
				}
				if now.ID != id || now.RetryOf != r.ID || now.RollbackOf != up.ID || now.From != "1.1.0" || now.Kind != tracking.KindRollback {
					t.Errorf("%+v", now)
				}
			})
		})
	}
}

// The old program is on trial when it comes back: if it is no good, the one that it
// took the place of is put back.
func TestRollbackOnTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := upgraded(t, "m1")
		var spoilt atomic.Bool
		f.machines["m1"].edit = func(c *Config) {
			c.Ready = func(context.Context) error {
				if spoilt.Load() && c.Started.Identity.Version == "1.0.0" {
					return errors.New("cannot open its database")
				}
				return nil
			}
		}
		spoilt.Store(true)
		if _, err := f.at("m1").Rollback(t.Context(), RollbackOptions{}); err != nil {
			t.Fatal(err)
		}
		r := f.ends()
		if r.Status != tracking.Failed || r.Reason != "PutBack" || f.versions() != "m1 1.1.0" || !strings.Contains(r.FinalState, "cannot open its database") {
			t.Errorf("%s, %s %s: %s", f.versions(), r.Status, r.Reason, r.FinalState)
		}
	})
}
