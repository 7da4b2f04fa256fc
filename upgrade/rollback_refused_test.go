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

// A run that brought nothing leaves nothing to undo.
func TestRollbackOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1")
		_, err := f.at("m1").Rollback(t.Context(), RollbackOptions{})
		refusedFor(t, err, "NoPrevious")
		f.machines["m1"].edit = func(c *Config) {
			c.Ready = func(context.Context) error {
				if c.Started.Identity.Version != "1.0.0" {
					return errors.New("the port is taken")
				}
				return nil
			}
		}
		f.start("m1", StartOptions{})
		if r := f.ends(); r.Status != tracking.Failed {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		synctest.Wait()
		_, err = f.at("m1").Rollback(t.Context(), RollbackOptions{})
		refusedFor(t, err, "PreviousIsRunning") // it was put back
	})
}

// A rollback that was committed is not begun again, nor said to have been.
func TestRollbackAfterItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := upgraded(t, "m1", "m2", "m3")
		id, err := f.at("m1").Rollback(t.Context(), RollbackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		synctest.Wait()
		if again, err := f.at("m2").Rollback(t.Context(), RollbackOptions{}); err != nil || again != id {
			t.Errorf("repeated: %s, %v; want %s", again, err, id)
		}
		if err := f.at("m2").Commit(t.Context(), CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err = f.at("m1").Rollback(t.Context(), RollbackOptions{})
		refusedFor(t, err, "Committed")
	})
}

// Where everybody was put back there is nothing to commit, and one version runs.
func TestCommitAfterPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		for _, m := range f.machines {
			m.edit = func(c *Config) {
				c.Ready = func(context.Context) error {
					if c.Started.Identity.Version != "1.0.0" {
						return errors.New("the port is taken")
					}
					return nil
				}
			}
			f.at(m.id).kill(errKilled) // so that it takes the new configuration
		}
		time.Sleep(5 * time.Second)
		f.start("m1", StartOptions{})
		if r := f.ends(); r.Status != tracking.Failed || r.Reason != "PutBack" {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		synctest.Wait()
		no := refusedFor(t, f.at("m1").Commit(t.Context(), CommitOptions{}), "NotFinished")
		if !strings.HasSuffix(no.Message, "failed, and all members run 1.0.0; there is nothing of it to commit") || !strings.Contains(no.Remedy, "unstage") {
			t.Errorf("%s; %s", no.Message, no.Remedy)
		}
		f.sim.SetHealthy("m2", false)
		if no := refusedFor(t, f.at("m1").Commit(t.Context(), CommitOptions{}), "NotFinished"); strings.Contains(no.Message, "all members run 1.0.0") {
			t.Errorf("m2 does not answer: %s", no.Message)
		}
	})
}

// What keeps a member from going back is found before anybody is touched: at the
// member asked before anything is written.
func TestClusterRollbackRefused(t *testing.T) {
	for _, c := range []struct {
		reason string
		spoil  func(f *fleet, m *machine)
		cause  string // of the host
	}{
		{"NoPrevious", func(f *fleet, m *machine) { m.spoil(".kvd.previous", "") }, ""},
		{"PreviousIsRunning", func(f *fleet, m *machine) { m.spoil(".kvd.previous", script("1.1.0")) }, ""},
		{"PreviousChanged", func(f *fleet, m *machine) { m.spoil(".kvd.previous", script("1.3.0")) }, ""},
		{"DataNotReadable", func(f *fleet, m *machine) {
			if err := f.at(m.id).c.Started.NoWayBack(f.ctx); err != nil {
				f.t.Fatal(err)
			}
		}, ""},
		{"DataNotReadable", func(f *fleet, m *machine) {
			f.at(m.id).c.Readable = func(_ context.Context, version string) error {
				return fmt.Errorf("%s knows nothing of tables", version)
			}
		}, "1.0.0 knows nothing of tables"},
	} {
		for _, at := range []string{"m2", "m3"} {
			t.Run(c.reason+" at "+at, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := upgraded(t, "m1", "m2", "m3")
					before := f.machines["m1"].run()
					c.spoil(f, f.machines["m3"])
					_, err := f.at(at).Rollback(t.Context(), RollbackOptions{})
					if at == "m3" {
						no := refusedFor(t, err, c.reason)
						if no.Kind != NotReady || no.Member != "m3" || c.cause != "" && strings.Count(no.Error(), c.cause) != 1 {
							t.Errorf("%+v", no)
						}
						if r := f.machines["m1"].run(); r.Rev != before.Rev {
							t.Errorf("something was written: %s", f.machines["m1"].transcript())
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					r := f.ends()
					if r.Status != tracking.Failed || r.Reason != c.reason || r.FailedMember != "m3" || !strings.Contains(r.FinalState, "nobody was touched") ||
						c.cause != "" && strings.Count(r.FinalState, c.cause) != 1 {
						t.Errorf("%s %s at %s: %s", r.Status, r.Reason, r.FailedMember, r.FinalState)
					}
					if f.versions() != "m1 1.1.0, m2 1.1.0, m3 1.1.0" {
						t.Error(f.versions())
					}
				})
			})
		}
	}
}

func TestClusterRollbackPausedAndCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := upgraded(t, "m1", "m2", "m3")
		f.sim.Lead("m1")
		f.once(inState("m2", tracking.Claimed), func() {
			if err := f.at("m3").Pause(t.Context(), PauseOptions{}); err != nil {
				t.Error(err)
			}
		})
		if _, err := f.at("m3").Rollback(t.Context(), RollbackOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		_, err := f.at("m1").Start(t.Context(), StartOptions{})
		refusedFor(t, err, "RunInProgress")
		err = f.at("m1").Commit(t.Context(), CommitOptions{})
		refusedFor(t, err, "NotFinished")
		if _, err := f.at("m1").Stage(t.Context(), strings.NewReader(string(packed(t, "1.2.0"))), StageOptions{Size: -1}); err == nil || !strings.Contains(err.Error(), "rolling back to") {
			t.Errorf("stage: %v", err)
		}
		if err := f.at("m1").Unstage(t.Context(), UnstageOptions{}); err != nil {
			t.Fatal(err)
		}
		f.gone()
		if got := f.versions(); got != "m1 1.1.0, m2 1.0.0, m3 1.1.0" {
			t.Fatal(got)
		}
		// Two versions: nothing is given up. What was cancelled is undone by another
		// rollback, which takes the one that went back forward again.
		err = f.at("m1").Commit(t.Context(), CommitOptions{})
		refusedFor(t, err, "NotFinished")
		if _, err := f.at("m2").Rollback(t.Context(), RollbackOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := f.ends(); r.Status != tracking.Finished || f.versions() != "m1 1.1.0, m2 1.1.0, m3 1.1.0" {
			t.Errorf("%s, %s: %s", f.versions(), r.Status, r.FinalState)
		}
	})
}
