package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

func TestClusterPauseResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		f.once(inState("m2", tracking.Claimed), func() {
			if err := f.at("m3").Pause(t.Context(), PauseOptions{By: "jane"}); err != nil {
				t.Error(err)
			}
		})
		f.start("m3", StartOptions{})
		time.Sleep(time.Hour)
		if got := f.versions(); got != "m1 1.0.0, m2 1.1.0, m3 1.0.0" {
			t.Fatalf("paused with %s\n%s", got, f.machines["m1"].transcript())
		}
		if err := f.at("m1").Resume(t.Context(), PauseOptions{By: "jane"}); err != nil {
			t.Fatal(err)
		}
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
	})
}

// A cancellation in any state leaves each member on one whole program, says
// which, and cleans up everywhere.
func TestClusterCancel(t *testing.T) {
	for _, member := range []string{"m2", "m1"} {
		for _, state := range []tracking.State{tracking.Granted, tracking.Claimed, tracking.Prepared, tracking.Restarting, tracking.Rejoining, tracking.Accepted} {
			t.Run(member+" "+string(state), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, "m1", "m2", "m3")
					removed := make(chan error, 1)
					f.once(inState(member, state), func() {
						go func() { removed <- f.at("m3").Unstage(t.Context(), UnstageOptions{By: "jane"}) }()
						synctest.Wait() // it is on record
					})
					f.start("m3", StartOptions{})
					if err := <-removed; err != nil {
						t.Fatal(err)
					}
					f.gone()
					time.Sleep(time.Minute)
					log := f.machines["m1"].transcript()
					if got := "Now: " + f.versions(); !strings.Contains(log, got) {
						t.Errorf("it is %s, and the transcript says\n%s", got, log)
					}
					for id, m := range f.machines {
						if left := m.leftovers(); len(left) > 0 {
							t.Errorf("left over at %s: %v", id, left)
						}
					}
				})
			})
		}
	}
}

// A member that never gets well puts its old program back, and fails the run; once
// it is mended, a retry goes on with those that still need it.
func TestClusterFailsAndRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		var mended atomic.Bool
		f.machines["m3"].edit = func(c *Config) {
			c.Ready = func(context.Context) error {
				if c.Started.UpgradedFrom != "" && !mended.Load() {
					return errors.New("the port is taken")
				}
				return nil
			}
		}
		f.start("m1", StartOptions{})
		r := f.ends()
		if r.Status != tracking.Failed || r.FailedMember != "m3" || r.Reason != "PutBack" || !strings.Contains(r.FinalState, "the port is taken") {
			t.Fatalf("ended %s at %s for %s: %s", r.Status, r.FailedMember, r.Reason, r.FinalState)
		}
		if got := fmt.Sprint(f.out); got != "[m2 m3]" {
			t.Errorf("%s went away", got)
		}
		mended.Store(true)
		if _, err := f.at("m2").Retry(t.Context(), RetryOptions{By: "jane", Forget: []string{"m2"}}); err == nil || !strings.Contains(err.Error(), "NotGone") {
			t.Errorf("forgetting a member that answers: %v", err)
		}
		if _, err := f.at("m3").Retry(t.Context(), RetryOptions{By: "jane"}); err == nil || !strings.Contains(err.Error(), "failed-before") {
			t.Errorf("the program that was put back here is tried again: %v", err)
		}
		id, err := f.at("m2").Retry(t.Context(), RetryOptions{By: "jane", Skip: []string{"failed-before"}})
		if err != nil || id == r.ID {
			t.Fatalf("Retry = %q, %v", id, err)
		}
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		if got := fmt.Sprint(f.out); got != "[m2 m3 m3 m1]" {
			t.Errorf("%s went away", got)
		}
		if failed := f.at("m3").journal().Failed; len(failed) > 0 {
			t.Errorf("m3 runs what was accepted, and still refuses %+v", failed)
		}
	})
}
