package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// A view is everything a decision rests on, as one member sees it.
type view struct {
	now     time.Time
	self    string
	boot    string // of this process
	run     tracking.Run
	plan    tracking.Plan
	reports map[string]tracking.Report
	members []cluster.Member // sorted by ID, as Membership has them
	local   local
	rev     tracking.Revision // of run

	asPlanned bool               // plannedMembers, where that is known already
	codec     *tracking.RunCodec // that has decoded run; nil if none did
}

// local is what only this process knows.
type local struct {
	program  string                   // digest of what runs
	version  string                   // of what runs
	previous string                   // of what is kept beside it; "" if nothing is known to be
	addr     string                   // of this member's API
	holds    string                   // sums of the release that was verified here and is held
	lost     bool                     // it was not in the store when it was last looked for, or is not taken
	lacks    *tracking.Lack           // what keeps it from being held
	pulling  bool                     // it is on its way
	litter   bool                     // the archive store may hold what the record does not name
	forgot   bool                     // the way back that the record says is given up was given up here
	trouble  string                   // why a restart of this run was given up here
	putBack  string                   // why the program of this run was put back here
	stuck    string                   // why the program that runs should be put back, and cannot be
	untidy   bool                     // something of a turn is left on this machine
	drained  bool                     // clients have left, nobody new is let in
	nonce    string                   // of the restart question that this process asked
	stale    bool                     // the lease of that question is over
	grace    time.Duration            // left before a restart without Drain
	spent    map[string]time.Duration // of the budget of each turn, since its last rewrite
	steady   map[string]time.Duration // for which the evidence of each rejoining member was good
	back     map[string]time.Duration // for which each member in its turn has been back with another program than that of the turn
	rejoin   *tracking.Rejoin         // own evidence, as just observed; nil outside rejoining

	// Of the leadership that this member has to hand over before its restart.
	fixed     bool          // the backend says that it cannot be
	handovers int           // tries so far, in this process
	refused   string        // why the last one came to nothing
	retry     time.Duration // until the next
}

// What a member can do besides swapping the run.
type action string

const (
	actNothing  action = ""
	actSwap     action = "swap"      // step.run is the next value of the run
	actReport   action = "report"    // write our report
	actHold     action = "hold"      // get and verify the release
	actCheck    action = "check"     // prerequisites and probe, into our report
	actFreeze   action = "freeze"    // write the plan of the run that was started
	actPrepare  action = "prepare"   // journal, then Replacer.Prepare
	actAsk      action = "ask"       // make clients leave, then ask for the restart
	actLetIn    action = "let-in"    // undo Drain: the restart was refused for now
	actHandOver action = "hand-over" // of leadership to step.to
	actLeave    action = "leave"     // Stop, Commit, Restart
	actTidy     action = "tidy"      // undo Drain, Discard, close the journal
	actSweep    action = "sweep"     // delete from the store what the record does not name
	actForget   action = "forget"    // remove the program from before, and tell the host
)

// A step is what decide wants done next.
type step struct {
	do   action
	run  tracking.Run  // for actSwap
	to   string        // for actHandOver
	wait time.Duration // look again after that, even if nothing changed; 0: no need
}

func commit(r tracking.Run) step { return step{do: actSwap, run: r} }

// decide is the state machine. It reads no clock and does no I/O: the same view
// gives the same step. The member's own part comes first, so that nothing that
// is already permitted waits for a new permission.
func decide(v view) step {
	if v.run.Status == tracking.None {
		switch {
		case v.local.untidy:
			return step{do: actTidy}
		case v.local.litter:
			return step{do: actSweep}
		case v.givesUp():
			return step{do: actForget}
		}
		return step{} // silence
	}
	if _, found := v.memberOf(v.self); !found {
		// Not a member yet, or no more: it has no say and no part.
		if v.local.untidy {
			return step{do: actTidy}
		}
		return step{wait: v.pace()}
	}
	s := v.member()
	if s.do == actNothing && (s.wait == 0 || v.leads()) {
		c := v.coordinate()
		c.wait = soonest(s.wait, c.wait)
		s = c
	}
	if s.do == actNothing {
		s.wait = soonest(s.wait, v.pace())
	}
	return s
}

// pace is how often to look at what no change of the record announces: who leads
// and who is well. It is slower in large clusters, where that costs more.
func (v view) pace() time.Duration {
	switch v.run.Status {
	case tracking.Staging, tracking.Working:
	default:
		return 0
	}
	if v.alone() && v.leads() {
		return 0
	}
	for _, t := range v.run.Turns {
		if t.To == v.self && t.State == tracking.Prepared {
			return 20 * time.Millisecond // leadership is coming here
		}
	}
	return max(500*time.Millisecond, time.Duration(len(v.members))*50*time.Millisecond)
}

// healthyPace is how often a member that is well looks whether it still is.
func (v view) healthyPace() time.Duration {
	if len(v.members) > crowd {
		return time.Second
	}
	return time.Second / 2
}

func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// leads reports whether the local member is the one that coordinates.
func (v view) leads() bool { return v.isLeader(v.self) }

// alone reports whether this is a cluster of one.
func (v view) alone() bool { return len(v.members) == 1 }

func (v view) memberOf(id string) (cluster.Member, bool) {
	i, found := slices.BinarySearchFunc(v.members, id, func(m cluster.Member, id string) int { return strings.Compare(string(m.ID), id) })
	if !found {
		return cluster.Member{}, false
	}
	return v.members[i], true
}

func (v view) addr(member string) string {
	m, _ := v.memberOf(member)
	return m.Addr
}

// next returns a copy of the run that a step may change.
func (v view) next() tracking.Run {
	r := v.run
	r.Turns = slices.Clone(r.Turns)
	r.Log = slices.Clone(r.Log)
	r.Waiting = nil
	return r
}

// turnStep returns the swap that moves the turn of member to state, with a line
// of transcript.
func (v view) turnStep(member string, state tracking.State, text string, edit func(*tracking.Turn)) step {
	r := v.next()
	t := r.Turn(member)
	t.State, t.Since, t.Text, t.Reason = state, v.now, text, ""
	if edit != nil {
		edit(t)
	}
	r.LastMember, r.LastAddr, r.LastState = member, t.Addr, text
	r.Add(v.now, member, "member."+string(state), text)
	return commit(r)
}

// dropTurn returns the swap that ends the turn of member with a line.
func (v view) dropTurn(member, typ, text string) step {
	r := v.next()
	r.Turns = slices.DeleteFunc(r.Turns, func(t tracking.Turn) bool { return t.Member == member })
	r.LastState = text
	r.Add(v.now, member, typ, text)
	return commit(r)
}

// failTurn gives up the turn of the local member.
func (v view) failTurn(t tracking.Turn, reason, text string) step {
	return v.turnStep(t.Member, tracking.TurnFailed, text, func(n *tracking.Turn) { n.Reason = reason })
}

// failRun ends the run.
func (v view) failRun(r tracking.Run, member, reason, text string) step {
	r.Status, r.Phase, r.Reason, r.FailedMember, r.Ended = tracking.Failed, "", reason, member, v.now
	r.Turns, r.Waiting = nil, nil
	r.FinalState = fmt.Sprintf("failed: %s. Now: %s.", text, v.versions())
	if next := v.nextAfter(member, reason); next != "" {
		r.FinalState += " Next: " + next + "."
	}
	r.LastState = text
	r.Add(v.now, member, "run.failed", r.FinalState)
	return commit(r)
}

// versions says which member runs what, from the members' own reports.
func (v view) versions() string {
	var s string
	for i, m := range v.members {
		if i > 0 {
			s += ", "
		}
		s += string(m.ID) + " " + v.versionOf(string(m.ID))
	}
	return s
}

func (v view) versionOf(id string) string {
	r := v.reports[id]
	switch {
	case id == v.self:
		return v.local.version
	case r.Version == "":
		return "?"
	case v.saidPutBack(id) && r.Previous != "":
		return r.Previous
	case !v.healthy(id):
		return r.Version + " (when it was heard from last; it does not answer)"
	case r.HoldsFor != v.run.ID && v.lastWord(id) == nil && v.checked(id) == nil:
		return r.Version + " (when it was heard from last)"
	}
	return r.Version
}

// saidPutBack reports whether member has put its program back by the word of its
// turn, and its report is still that of the program which is gone.
func (v view) saidPutBack(member string) bool {
	t := v.run.Turn(member)
	return t != nil && t.State == tracking.TurnFailed && t.Reason == "PutBack" && v.reports[member].Program == t.Digest
}

// lastWord returns how member ended its turn in this run, nil if it did not.
func (v view) lastWord(member string) *tracking.LastWord {
	w := v.reports[member].Last
	if w == nil || w.Run != v.run.ID {
		return nil
	}
	return w
}

// checked returns what member found before anybody was touched.
func (v view) checked(member string) *tracking.Checked {
	c := v.reports[member].Checked
	if c == nil || c.Run != v.run.ID {
		return nil
	}
	return c
}
