package upgrade

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/tracking"
)

// from returns how v looks at another member.
func (v view) from(id string) view {
	v.self, v.boot = id, strings.Replace(id, "m", "b", 1)
	r := v.reports[id]
	v.local.program, v.local.version, v.local.addr = r.Program, r.Version, r.Addr
	return v
}

func (v view) statusMembers() []StatusMember {
	var all []StatusMember
	for _, m := range v.members {
		all = append(all, v.statusMember(m))
	}
	return all
}

// What members say of each other is the same, whoever is asked.
func TestStatusFromAnyMember(t *testing.T) {
	v := three()
	v.done("m2")
	v.report("m2", func(r *tracking.Report) { r.Version, r.Previous = "2", "1" })
	v.run.Turns = []tracking.Turn{{Member: "m3", Attempt: 1, State: tracking.Prepared, Since: v.now, Began: v.now.Add(-time.Minute),
		Budget: time.Hour - time.Minute, Digest: "new", OldBoot: "b3", Text: "prepared 1 -> 2"}}
	v.members[1].Healthy = false
	v.run.Waiting = &tracking.Waiting{Gate: "B", Reason: "QuorumAtRisk", Member: "m3", Because: []string{"m2"}, Message: "m2 is down", Since: v.now.Add(-5 * time.Second)}
	want := v.from("m1").statusMembers()
	for _, id := range []string{"m2", "m3"} {
		if got := v.from(id).statusMembers(); !cmp.Equal(want, got) {
			t.Errorf("from %s:\n%s", id, cmp.Diff(want, got))
		}
	}
	for _, c := range []struct{ id, state, reason, role, version, previous string }{
		{"m1", "pending", "LeaderGoesLast", "leader", "1", ""},
		{"m2", "done", "", "voter", "2", "1"},
		{"m3", "prepared", "QuorumAtRisk", "voter", "1", ""},
	} {
		i := slices.IndexFunc(want, func(s StatusMember) bool { return s.ID == c.id })
		s := want[i]
		if s.State != c.state || deref(s.Reason) != c.reason || s.Role != c.role || s.Version != c.version || deref(s.Previous) != c.previous || !s.Holds {
			t.Errorf("%+v, want %+v", s, c)
		}
		if (s.Ill != nil) != (c.id == "m2") || s.Ill != nil && !s.Ill.Equal(v.run.Waiting.Since) {
			t.Errorf("%s is not well since %v", c.id, s.Ill)
		}
		if (s.Until != nil) != (c.id == "m3") || s.Until != nil && !s.Until.Equal(v.now.Add(59*time.Minute)) {
			t.Errorf("%s has until %v", c.id, s.Until)
		}
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestStatusOfPending(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*view)
		want string // state and reason of m1, m2, m3
	}{
		"staged":        {func(v *view) { v.run.Status = tracking.Staged }, "pending LeaderGoesLast, pending, pending"},
		"one in flight": {func(v *view) { v.turnOf2(tracking.Claimed, nil) }, "pending LeaderGoesLast, claimed, pending OtherInFlight"},
		"paused":        {func(v *view) { v.run.Wish = tracking.Pause }, "pending LeaderGoesLast, pending Paused, pending Paused"},
		"cancelling":    {func(v *view) { v.run.Wish = tracking.Cancel }, "pending CancelPending, pending CancelPending, pending CancelPending"},
		"gate A": {func(v *view) {
			v.run.Waiting = &tracking.Waiting{Gate: "A", Reason: "MemberUnhealthy", Member: "m2", Message: "m3 is down"}
		}, "pending LeaderGoesLast, pending MemberUnhealthy, pending"},
		"ran it already": {func(v *view) {
			v.report("m3", func(r *tracking.Report) { r.Program = "new" })
		}, "pending LeaderGoesLast, pending, skipped"},
		"forgotten": {func(v *view) { v.run.Forgotten = []string{"m3"} }, "pending LeaderGoesLast, pending, skipped Forgotten"},
		"failed": {func(v *view) {
			v.done("m2")
			v.run.Status, v.run.FailedMember, v.run.Reason = tracking.Failed, "m3", "BootFailed"
		}, "pending, done, failed BootFailed"},
		"gone": {func(v *view) { v.run = tracking.Run{} }, "pending, pending, pending"},
	} {
		t.Run(name, func(t *testing.T) {
			v := three()
			c.edit(&v)
			var got []string
			for _, s := range v.statusMembers() {
				got = append(got, strings.TrimSpace(s.State+" "+deref(s.Reason)))
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("%s, want %s", s, c.want)
			}
		})
	}
}

func TestPhaseAndActions(t *testing.T) {
	for _, c := range []struct {
		run   tracking.Run
		phase string
		verbs string
	}{
		{tracking.Run{}, "", "stage"},
		{tracking.Run{Status: tracking.Staging}, "replicating", "unstage"},
		{tracking.Run{Status: tracking.Staged}, "", "start unstage"},
		{tracking.Run{Status: tracking.Working}, "", "pause unstage"},
		{tracking.Run{Status: tracking.Working, Turns: []tracking.Turn{{Member: "m1", To: "m2"}}}, "handing-off", "pause unstage"},
		{tracking.Run{Status: tracking.Working, Wish: tracking.Pause, Turns: []tracking.Turn{{Member: "m1", To: "m2"}}}, "paused", "resume unstage"},
		{tracking.Run{Status: tracking.Working, Wish: tracking.Cancel}, "cancelling", ""},
		{tracking.Run{Status: tracking.Failed, Wish: tracking.Cancel}, "cancelling", ""},
		{tracking.Run{Status: tracking.Failed, Wish: tracking.Pause}, "", "retry unstage"},
		{tracking.Run{Status: tracking.Failed}, "", "retry unstage"},
		{tracking.Run{Status: tracking.Finished}, "", "unstage"},
	} {
		if got := phaseOf(c.run); got != c.phase {
			t.Errorf("%s, wish %q: phase %q, want %q", c.run.Status, c.run.Wish, got, c.phase)
		}
		if got := strings.Join(actions(c.run, false), " "); got != c.verbs {
			t.Errorf("%s, wish %q: %q, want %q", c.run.Status, c.run.Wish, got, c.verbs)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		run   tracking.Run
		verbs string
	}{
		{tracking.Run{}, "stage rollback commit"},
		{tracking.Run{Committed: at}, "stage"},
		{tracking.Run{Status: tracking.Staged}, "start unstage"},
		{tracking.Run{Status: tracking.Failed}, "retry rollback unstage"},
		{tracking.Run{Status: tracking.Failed, Kind: tracking.KindRollback}, "retry unstage"},
		{tracking.Run{Status: tracking.Finished}, "rollback commit unstage"},
		{tracking.Run{Status: tracking.Finished, Kind: tracking.KindRollback}, "commit unstage"},
		{tracking.Run{Status: tracking.Finished, Committed: at}, "unstage"},
	} {
		if got := strings.Join(actions(c.run, true), " "); got != c.verbs {
			t.Errorf("%s %q, with a program to go back to: %q, want %q", c.run.Status, c.run.Kind, got, c.verbs)
		}
	}
	r := tracking.Run{Status: tracking.Working, Wish: tracking.Pause, PausedBy: "jane", PausedAt: at}
	if got := paused(r); got == nil || got.By != "jane" || !got.Since.Equal(at) {
		t.Errorf("paused: %+v", got)
	}
	r.Status = tracking.Failed
	if got := paused(r); got != nil {
		t.Errorf("a run that failed is paused: %+v", got)
	}
}

// Members that do not count know a limit to a minute at worst, however often it
// was rewritten.
func TestUntil(t *testing.T) {
	v := three()
	at := func(d time.Duration) time.Time { return v.now.Add(d) }
	for _, c := range []struct {
		name                string
		began, budget, want time.Duration // from now; spent is 20s
		leads               bool
	}{
		{"the coordinator counts", -time.Minute, 59*time.Minute + 20*time.Second, 59 * time.Minute, true},
		{"nothing was lost", -time.Minute, 59*time.Minute + 20*time.Second, 59 * time.Minute, false},
		{"the record was away for long", -40 * time.Minute, 50 * time.Minute, 49*time.Minute - time.Second, false},
		{"more than there was", 0, 30 * time.Minute, 30 * time.Minute, false},
	} {
		v := three()
		v.local.spent = map[string]time.Duration{"m3": 20 * time.Second}
		if !c.leads {
			v = v.from("m2")
		}
		if got := v.until(tracking.Turn{Member: "m3", Began: at(c.began), Budget: c.budget}); !got.Equal(at(c.want)) {
			t.Errorf("%s: in %v, want %v", c.name, got.Sub(v.now), c.want)
		}
	}
}
