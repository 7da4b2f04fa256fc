package upgrade

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// three is a cluster of three, led by m1, in which a run has been started and all
// members are ready for it; it is seen by m1.
func three() view {
	v := view{
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), self: "m1", boot: "b1",
		run: tracking.Run{
			ID: "R", Status: tracking.Working, Leader: "m1", Boot: "b1", Started: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
			Archive: tracking.Archive{Product: "kvd", Version: "2", Sums: "sums"},
		},
		plan: tracking.Plan{Run: "R", Members: []string{"m1", "m2", "m3"}, Rules: tracking.Rules{
			MaxUnavailable: 1, MemberTimeout: time.Hour, RestartLease: 30 * time.Second, MinHealthy: 10 * time.Second,
		}},
		reports: map[string]tracking.Report{},
		local:   local{program: "old", version: "1", addr: "http://m1", holds: "sums"},
	}
	for _, id := range v.plan.Members {
		v.members = append(v.members, cluster.Member{ID: cluster.MemberID(id), Addr: "http://" + id, Voter: true, Leader: id == "m1", Healthy: true})
		v.reports[id] = tracking.Report{
			Member: id, Addr: "http://" + id, Boot: strings.Replace(id, "m", "b", 1), Version: "1", Program: "old", Holds: "sums", HoldsFor: "R",
			Checked: &tracking.Checked{Run: "R", Target: "new"},
		}
	}
	return v
}

func (v *view) report(id string, edit func(*tracking.Report)) {
	r := v.reports[id]
	edit(&r)
	v.reports[id] = r
}

func (v *view) done(id string) {
	v.report(id, func(r *tracking.Report) {
		r.Last = &tracking.LastWord{Run: "R", Attempt: 1, State: tracking.Done}
		r.Program = "new"
	})
}

func (v *view) lead(id string) {
	for i := range v.members {
		v.members[i].Leader = string(v.members[i].ID) == id
	}
}

func (v *view) turnOf2(state tracking.State, edit func(*tracking.Turn)) {
	t := tracking.Turn{Member: "m2", Attempt: 1, State: state, Budget: time.Hour, Digest: "new", OldBoot: "b2"}
	if edit != nil {
		edit(&t)
	}
	v.run.Turns = []tracking.Turn{t}
}

// outcome is what a step does to the run, as far as the tests below look.
type outcome struct {
	Do      action
	Status  tracking.Status
	Turns   string // "m2:granted"
	Waiting string // "A MemberUnhealthy m2"
	Reason  string
}

func outcomeOf(v view) outcome {
	s := decide(v)
	o := outcome{Do: s.do}
	if s.do != actSwap {
		return o
	}
	o.Status, o.Reason = s.run.Status, s.run.Reason
	for _, t := range s.run.Turns {
		o.Turns += " " + t.Member + ":" + string(t.State)
		if t.To != "" {
			o.Turns += " to " + t.To
		}
	}
	o.Turns = strings.TrimSpace(o.Turns)
	if w := s.run.Waiting; w != nil {
		o.Waiting = w.Gate + " " + w.Reason + " " + w.Member
	}
	return o
}

func TestDecide(t *testing.T) {
	working := func(turns string) outcome { return outcome{Do: actSwap, Status: tracking.Working, Turns: turns} }
	waits := func(turns, what string) outcome {
		return outcome{Do: actSwap, Status: tracking.Working, Turns: turns, Waiting: what}
	}
	failed := func(reason string) outcome { return outcome{Do: actSwap, Status: tracking.Failed, Reason: reason} }
	for name, c := range map[string]struct {
		edit func(*view)
		want outcome
	}{
		"nothing staged":                             {func(v *view) { v.run = tracking.Run{} }, outcome{}},
		"nothing staged, things left behind":         {func(v *view) { v.run, v.local.untidy = tracking.Run{}, true }, outcome{Do: actTidy}},
		"first grant goes to one that does not lead": {func(v *view) {}, working("m2:granted")},
		"the leader last":                            {func(v *view) { v.done("m2"); v.done("m3") }, working("m1:granted")},
		"whoever leads at that moment": {func(v *view) {
			v.lead("m2")
			v.self, v.boot, v.run.Boot = "m2", "b2", "b2"
			v.local.addr = "http://m2"
			v.done("m3")
		}, working("m1:granted")},
		"nobody is touched before all are looked at": {func(v *view) { v.report("m3", func(r *tracking.Report) { r.Checked = nil }) }, outcome{}},
		"one member is not ready": {func(v *view) {
			v.report("m3", func(r *tracking.Report) { r.Checked.Text, r.Checked.Reason = "no room", "PrerequisiteFailed" })
		}, failed("PrerequisiteFailed")},
		"gate A, another is ill":     {func(v *view) { v.members[2].Healthy = false }, waits("", "A MemberUnhealthy m2")},
		"one that runs it is passed": {func(v *view) { v.report("m2", func(r *tracking.Report) { r.Program = "new" }) }, working("m3:granted")},
		"one in flight":              {func(v *view) { v.turnOf2(tracking.Claimed, nil) }, outcome{}},
		"all done": {func(v *view) { v.done("m1"); v.done("m2"); v.done("m3") },
			outcome{Do: actSwap, Status: tracking.Finished}},
		"a new leader takes over first": {func(v *view) { v.run.Boot, v.run.Leader = "b3", "m3" }, working("")},
		"gate B, granted": {func(v *view) { v.turnOf2(tracking.Prepared, func(t *tracking.Turn) { t.Asked = "n" }) },
			working("m2:restarting")},
		"gate B, the quorum is gone": {func(v *view) {
			v.turnOf2(tracking.Prepared, func(t *tracking.Turn) { t.Asked = "n" })
			v.members[2].Healthy = false
		}, waits("m2:prepared", "B QuorumAtRisk m2")},
		"gate B, it leads": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1", Asked: "n"}}
		}, working("m1:prepared to m2")},
		"it leads since its clients have left": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1", Asked: "n"}}
			v.local.drained, v.local.nonce = true, "n"
		}, outcome{Do: actLetIn}},
		"gate B, it leads, and another asks": {func(v *view) {
			v.turnOf2(tracking.Prepared, func(t *tracking.Turn) { t.Asked = "n" })
			v.lead("m2")
			v.self, v.boot, v.run.Boot, v.local.addr = "m1", "b1", "b1", "http://m1"
		}, outcome{}},
		"its successor is asked to lead": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1", To: "m2"}}
		}, outcome{Do: actHandOver}},
		"one that is done is the better successor": {func(v *view) {
			v.done("m3")
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1"}}
		}, working("m1:prepared to m3")},
		"nobody to hand over to": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1"}}
			v.members[1].Healthy, v.members[2].Healthy = false, false
		}, waits("m1:prepared", " HandOverRefused m1")},
		"it let go, and nobody has taken over": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1", To: "m2"}}
			v.lead("m2")
		}, outcome{}},
		"it let go, and another has taken over": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1", To: "m2"}}
			v.lead("m2")
			v.run.Boot, v.run.Leader = "b2", "m2"
		}, outcome{Do: actAsk}},
		"leadership cannot be handed over: it asks last, while it leads": {func(v *view) {
			v.done("m2")
			v.done("m3")
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1"}}
			v.local.fixed = true
		}, outcome{Do: actAsk}},
		"leadership cannot be handed over: gate B": {func(v *view) {
			v.done("m2")
			v.done("m3")
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1", Asked: "n"}}
			v.local.fixed, v.local.drained, v.local.nonce = true, true, "n"
		}, working("m1:restarting")},
		"leadership cannot be handed over, and others are not done": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1"}}
			v.local.fixed = true
		}, working("")},
		"permission given, and then it leads": {func(v *view) {
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Restarting, Budget: time.Hour, Digest: "new", OldBoot: "b1", Asked: "n", Answer: "n"}}
			v.local.drained, v.local.nonce = true, "n"
		}, working("m1:prepared")},
		"members without a vote come first": {func(v *view) {
			v.members[2].Voter = false
			v.members[0].Leader, v.members[1].Leader = false, true
			v.self, v.boot, v.run.Boot, v.local.addr = "m2", "b2", "b2", "http://m2"
		}, working("m3:granted")},
		"paused":     {func(v *view) { v.run.Wish = tracking.Pause }, outcome{}},
		"one joined": {func(v *view) { v.members = append(v.members, cluster.Member{ID: "m4", Voter: true, Healthy: true}) }, working("")},
		"the newcomer has to be looked at": {func(v *view) {
			v.members = append(v.members, cluster.Member{ID: "m4", Voter: true, Healthy: true})
			v.run.Joined = []string{"m4"}
		}, outcome{}},
		"one left":              {func(v *view) { v.members = v.members[:2] }, working("")},
		"one left in its turn":  {func(v *view) { v.turnOf2(tracking.Claimed, nil); v.members = slices.Delete(v.members, 1, 2) }, failed("RemovedByTheCluster")},
		"one left with a grant": {func(v *view) { v.turnOf2(tracking.Granted, nil); v.members = slices.Delete(v.members, 1, 2) }, working("")},
		"nobody else has a vote: the leader asks while it leads": {func(v *view) {
			v.done("m2")
			v.done("m3")
			v.members[1].Voter, v.members[2].Voter = false, false
			v.run.Turns = []tracking.Turn{{Member: "m1", Attempt: 1, State: tracking.Prepared, Budget: time.Hour, Digest: "new", OldBoot: "b1"}}
		}, outcome{Do: actAsk}},
		"one is forgotten": {func(v *view) {
			v.plan.Forgotten, v.plan.Rules.AllowOutage = []string{"m3"}, true
			v.members[2].Healthy = false
			v.report("m3", func(r *tracking.Report) { r.Checked = nil })
		}, working("m2:granted")},
		"one that is not looked at is down": {func(v *view) {
			v.report("m3", func(r *tracking.Report) { r.Checked = nil })
			v.members[2].Healthy = false
		}, waits("", "A MemberUnhealthy m3")},
		"two voters, allowed": {func(v *view) {
			v.members = v.members[:2]
			v.plan.Members = v.plan.Members[:2]
			v.plan.Rules.AllowOutage = true
		}, working("m2:granted")},
		"two voters":               {func(v *view) { v.members = v.members[:2]; v.plan.Members = v.plan.Members[:2] }, waits("", "A QuorumAtRisk m2")},
		"the plan is frozen first": {func(v *view) { v.plan = tracking.Plan{} }, outcome{Do: actFreeze}},
		"gate B, cancelled": {func(v *view) {
			v.turnOf2(tracking.Prepared, func(t *tracking.Turn) { t.Asked = "n" })
			v.run.Wish = tracking.Cancel
		}, outcome{}},
		"gate C, no evidence": {func(v *view) { v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b9" }) }, outcome{}},
		"gate C, evidence of another boot": {func(v *view) {
			v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b9" })
			v.report("m2", func(r *tracking.Report) {
				r.Rejoin = &tracking.Rejoin{Run: "R", Attempt: 1, Boot: "b8", Program: "new"}
			})
		}, outcome{}},
		"gate C, the same process": {func(v *view) {
			v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b2" })
			v.report("m2", func(r *tracking.Report) {
				r.Rejoin = &tracking.Rejoin{Run: "R", Attempt: 1, Boot: "b2", Program: "new"}
			})
		}, failed("WrongDigest")},
		"gate C, another program": {func(v *view) {
			v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b9" })
			v.report("m2", func(r *tracking.Report) {
				r.Rejoin = &tracking.Rejoin{Run: "R", Attempt: 1, Boot: "b9", Program: "other"}
			})
		}, failed("WrongDigest")},
		"gate C, not ready": {func(v *view) {
			v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b9" })
			v.report("m2", func(r *tracking.Report) {
				r.Rejoin = &tracking.Rejoin{Run: "R", Attempt: 1, Boot: "b9", Program: "new", Reason: "ReadyHookNotReady", Trouble: "is not ready"}
			})
		}, waits("m2:rejoining", "C ReadyHookNotReady m2")},
		"gate C, soaking": {func(v *view) {
			v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b9" })
			v.report("m2", func(r *tracking.Report) {
				r.Rejoin = &tracking.Rejoin{Run: "R", Attempt: 1, Boot: "b9", Program: "new"}
			})
		}, waits("m2:rejoining", "C Soaking m2")},
		"gate C, held": {func(v *view) {
			v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b9" })
			v.report("m2", func(r *tracking.Report) {
				r.Rejoin = &tracking.Rejoin{Run: "R", Attempt: 1, Boot: "b9", Program: "new"}
			})
			v.local.steady = map[string]time.Duration{"m2": 10 * time.Second}
		}, working("m2:accepted")},
		"accepted, no last word yet": {func(v *view) { v.turnOf2(tracking.Accepted, nil) }, outcome{}},
		"accepted, last word": {func(v *view) { v.turnOf2(tracking.Accepted, nil); v.done("m2") },
			working("")},
		"its time is up": {func(v *view) {
			v.turnOf2(tracking.Claimed, nil)
			v.local.spent = map[string]time.Duration{"m2": time.Hour}
		}, failed("MemberTimeout")},
		"its time is up, and it is back with the old program: its own word is awaited": {func(v *view) {
			v.turnOf2(tracking.Restarting, nil)
			v.local.spent, v.local.back = map[string]time.Duration{"m2": time.Hour}, map[string]time.Duration{"m2": time.Second}
		}, outcome{}},
		"its time is up, and it is back with the old program, and says nothing": {func(v *view) {
			v.turnOf2(tracking.Restarting, nil)
			v.now = v.now.Add(time.Minute)
			v.local.spent, v.local.back = map[string]time.Duration{"m2": time.Hour}, map[string]time.Duration{"m2": backWithin}
		}, failed("MemberTimeout")},
		"time left is written down": {func(v *view) {
			v.turnOf2(tracking.Claimed, nil)
			v.local.spent = map[string]time.Duration{"m2": time.Minute}
		}, working("m2:claimed")},
		"a failed turn ends the run": {func(v *view) {
			v.turnOf2(tracking.TurnFailed, func(t *tracking.Turn) { t.Reason = "NoSpace" })
		}, failed("NoSpace")},
		"a failed turn of one that is back, and not heard of yet": {func(v *view) {
			v.turnOf2(tracking.TurnFailed, func(t *tracking.Turn) { t.Reason = "PutBack" })
			v.members[1].Healthy, v.local.back = false, map[string]time.Duration{"m2": time.Second}
		}, outcome{}},
		"cancel takes a grant back": {func(v *view) { v.turnOf2(tracking.Granted, nil); v.run.Wish = tracking.Cancel }, working("")},
		"cancel lets a restart complete": {func(v *view) {
			v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.Asked, t.Answer = "n", "n" })
			v.run.Wish = tracking.Cancel
		}, outcome{}},
		"cancelled, nobody in flight": {func(v *view) { v.run.Wish = tracking.Cancel }, failed("Cancelled")},
		"cancelled and told": {func(v *view) { v.run.Wish, v.run.Status = tracking.Cancel, tracking.Failed },
			outcome{Do: actSwap}},
		"a follower does not coordinate": {func(v *view) { v.lead("m3") }, outcome{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := three()
			c.edit(&v)
			if diff := cmp.Diff(c.want, outcomeOf(v)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
