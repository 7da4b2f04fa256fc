package upgrade

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

func TestUpgradeCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		begin := time.Now()
		f.start("m2", StartOptions{By: "jane"})
		r := f.ends()
		t.Logf("\n%s", f.machines["m1"].transcript())
		if r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		if got := fmt.Sprint(f.out); got != "[m2 m3 m1]" {
			t.Errorf("went away in the order %s, want the leader last", got)
		}
		if got := f.versions(); got != "m1 1.1.0, m2 1.1.0, m3 1.1.0" {
			t.Error(got)
		}
		if took := time.Since(begin); took > 35*time.Second {
			t.Errorf("took %v: three times MinHealthy and a second away, and nothing else takes time", took)
		}
	})
}

func TestClusterLeaderCannotLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		f.fixed = true
		f.sim.RefuseTransfers(errors.ErrUnsupported)
		f.start("m2", StartOptions{})
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s\n%s", r.Status, r.FinalState, f.machines["m1"].transcript())
		}
		if got := fmt.Sprint(f.out); got != "[m2 m3 m1]" {
			t.Errorf("went away in the order %s", got)
		}
		f.transcriptHas("member.restarting", "cannot be handed over")
	})
}

// A leader that dies is replaced, and the run goes on, whatever the state it was in.
func TestClusterLeaderDies(t *testing.T) {
	for _, state := range []tracking.State{tracking.Granted, tracking.Claimed, tracking.Prepared, tracking.Restarting, tracking.Rejoining, tracking.Accepted} {
		for _, member := range []string{"m2", "m1"} {
			t.Run(member+" "+string(state), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, "m1", "m2", "m3")
					f.once(inState(member, state), func() { f.at(f.leader()).kill(errKilled) })
					f.start("m3", StartOptions{})
					if r := f.ends(); r.Status != tracking.Finished {
						t.Fatalf("ended %s: %s\n%s", r.Status, r.FinalState, f.machines["m1"].transcript())
					}
					if got := f.versions(); got != "m1 1.1.0, m2 1.1.0, m3 1.1.0" {
						t.Error(got)
					}
				})
			})
		}
	}
}

func TestClusterNewcomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		f.once(inState("m2", tracking.Rejoining), func() {
			f.sim.Add(cluster.Member{ID: "m4", Addr: "http://m4", Voter: true})
			f.add("m4")
		})
		f.start("m1", StartOptions{})
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		if got := f.versions(); got != "m1 1.1.0, m2 1.1.0, m3 1.1.0, m4 1.1.0" {
			t.Error(got)
		}
		if got := f.out[len(f.out)-1]; got != "m1" {
			t.Errorf("%s went last, want the leader", got)
		}
		f.transcriptHas("member.joined", "m4")
	})
}

func TestClusterRefusesToStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		stage(t, f.at("m1"), "1.1.0")
		f.sim.SetHealthy("m3", false)
		var no *Refusal
		if _, err := f.at("m1").Start(t.Context(), StartOptions{}); !errors.As(err, &no) || no.Reason != "MemberUnhealthy" || no.Member != "m3" {
			t.Errorf("a member is down: %v", err)
		}
		f.sim.SetHealthy("m3", true)
		f.sim.Remove("m3")
		if _, err := f.at("m1").Start(t.Context(), StartOptions{}); !errors.As(err, &no) || no.Reason != "TwoVoters" {
			t.Errorf("two voters: %v", err)
		}
		if _, err := f.at("m1").Start(t.Context(), StartOptions{AllowOutage: true}); err != nil {
			t.Fatal(err)
		}
		f.out = nil
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
	})
}
