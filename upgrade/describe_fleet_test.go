package upgrade

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// same fails unless all members give the same status, and returns it.
func (f *fleet) same() Status {
	f.t.Helper()
	var first Status
	for i, id := range []string{"m1", "m2", "m3"} {
		s, err := f.at(id).Status(f.ctx)
		if err != nil {
			f.t.Fatalf("%s: %v", id, err)
		}
		if s.ObservedBy != id {
			f.t.Errorf("%s says that it is %s", id, s.ObservedBy)
		}
		s.ObservedAt, s.ObservedBy, s.Restart = time.Time{}, "", nil
		if i == 0 {
			first = s
		} else if diff := cmp.Diff(first, s); diff != "" {
			f.t.Errorf("m1 and %s say different things:\n%s", id, diff)
		}
	}
	return first
}

func (s Status) states() string {
	var all []string
	for _, m := range s.Members {
		all = append(all, m.ID+" "+m.Version+" "+m.State)
	}
	return strings.Join(all, ", ")
}

// Before, in the middle and after: whoever is asked says the same.
func TestClusterStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		// Nothing is on record, so each member is asked for what it runs.
		s := f.same()
		if got := s.states(); s.Status != "none" || got != "m1 1.0.0 pending, m2 1.0.0 pending, m3 1.0.0 pending" || s.Versions["1.0.0"] != 3 || len(s.Versions) != 1 {
			t.Errorf("at first: %s, %s, %v", s.Status, got, s.Versions)
		}
		if data, _, _ := f.record.Load(t.Context(), tracking.KeyMember+"m2"); data != nil {
			t.Errorf("something was written: %s", data)
		}
		looked := false
		f.once(inState("m3", tracking.Prepared), func() {
			looked = true
			s := f.same()
			if got := s.states(); got != "m1 1.0.0 pending, m2 1.1.0 done, m3 1.0.0 prepared" {
				t.Error(got)
			}
			if p := s.Progress; p != (Progress{Done: 1, Total: 3}) {
				t.Errorf("%+v", p)
			}
			if got := deref(s.Members[0].Reason) + " " + deref(s.Members[1].Previous); got != "LeaderGoesLast 1.0.0" {
				t.Error(got)
			}
			if got := strings.Join(s.Actions, " "); got != "pause unstage" {
				t.Error(got)
			}
			if u := s.Members[2].Until; u == nil || time.Until(*u) > time.Hour || time.Until(*u) < 59*time.Minute {
				t.Errorf("m3 has until %v", u)
			}
		})
		f.start("m2", StartOptions{By: "jane"})
		if r := f.ends(); r.Status != tracking.Finished {
			t.Fatalf("ended %s: %s", r.Status, r.FinalState)
		}
		if !looked {
			t.Error("nobody looked")
		}
		time.Sleep(time.Minute) // the last one is back and has said so
		s = f.same()
		if got := s.states(); s.Status != "finished" || got != "m1 1.1.0 done, m2 1.1.0 done, m3 1.1.0 done" || s.Progress != (Progress{Done: 3, Total: 3}) {
			t.Errorf("at last: %s, %s, %+v", s.Status, got, s.Progress)
		}
		for _, m := range s.Members {
			if deref(m.Previous) != "1.0.0" || !m.NewBoot || m.Took == 0 {
				t.Errorf("%s: %s is kept, new boot %v, took %v", m.ID, deref(m.Previous), m.NewBoot, m.Took)
			}
		}
	})
}

// What a plan says of an archive that is not here yet is what is started once it
// is.
func TestClusterPlanBeforeStaging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		data := packed(t, "1.1.0")
		head, err := archive.ReadHead(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := f.at("m3").Plan(f.ctx, CheckOptions{Head: &head})
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, s := range plan.Steps {
			order = append(order, s.Member+" "+s.From+" "+s.To)
		}
		if got := strings.Join(order, ", "); got != "m2 1.0.0 1.1.0, m3 1.0.0 1.1.0, m1 1.0.0 1.1.0" {
			t.Error(got)
		}
		f.start("m2", StartOptions{Plan: plan.ID})
		if r := f.ends(); r.Status != tracking.Finished || r.Plan != plan.ID {
			t.Errorf("plan %s ended %s: %s", r.Plan, r.Status, r.FinalState)
		}
		if got := strings.Join(f.out, " "); got != "m2 m3 m1" {
			t.Errorf("went away in the order %s, and the plan said otherwise", got)
		}
	})
}

// The reply to a retry may be lost, and the run over before it is asked for again.
func TestRetryRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		for _, c := range []struct {
			run    tracking.Run
			reason string
		}{
			{tracking.Run{ID: "R2", Status: tracking.Finished, RetryOf: "R1"}, ""},
			{tracking.Run{ID: "R2", Status: tracking.Finished}, "NotFailed"},
		} {
			_, rev, err := m.record.Load(t.Context(), tracking.KeyRun)
			if err != nil {
				t.Fatal(err)
			}
			data, err := c.run.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.record.Swap(t.Context(), tracking.KeyRun, rev, data); err != nil {
				t.Fatal(err)
			}
			p := m.boot()
			synctest.Wait()
			id, err := p.Retry(t.Context(), RetryOptions{})
			var no *Refusal
			if errors.As(err, &no); c.reason == "" && (err != nil || id != "R2") || c.reason != "" && (no == nil || no.Reason != c.reason) {
				t.Errorf("%s, retry of %q: %s, %v", c.run.Status, c.run.RetryOf, id, err)
			}
			p.end()
		}
	})
}

// Paused, resumed, and the words for it.
func TestClusterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "m1", "m2", "m3")
		f.once(inState("m2", tracking.Rejoining), func() {
			if err := f.at("m3").Pause(f.ctx, PauseOptions{By: "jane"}); err != nil {
				t.Error(err)
			}
		})
		f.start("m1", StartOptions{})
		time.Sleep(5 * time.Minute)
		s := f.same()
		if got := s.states(); s.Status != "working" || deref(s.Phase) != "paused" || got != "m1 1.0.0 pending, m2 1.1.0 done, m3 1.0.0 pending" {
			t.Fatalf("%s %s: %s", s.Status, deref(s.Phase), got)
		}
		if s.Paused == nil || s.Paused.By != "jane" || time.Since(s.Paused.Since) < 4*time.Minute || !slices.Equal(s.Actions, []string{"resume", "unstage"}) {
			t.Errorf("%+v, %v", s.Paused, s.Actions)
		}
		if err := f.at("m2").Resume(f.ctx, PauseOptions{By: "joe"}); err != nil {
			t.Fatal(err)
		}
		if r := f.ends(); r.Status != tracking.Finished {
			t.Errorf("ended %s: %s", r.Status, r.FinalState)
		}
		f.transcriptHas("run.paused", "paused by jane; no member starts, m2 is in flight and will be completed")
		f.transcriptHas("run.resumed", "resumed by joe")
		f.transcriptHas("leader.hands-over", "hands over leadership to m2")
	})
}
