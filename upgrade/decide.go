package upgrade

import (
	"fmt"
	"slices"
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
	members []cluster.Member
	local   local
	rev     tracking.Revision // of run
}

// local is what only this process knows.
type local struct {
	program string                   // digest of what runs
	version string                   // of what runs
	addr    string                   // of this member's API
	holds   string                   // sums of the release that was verified here and is held
	litter  bool                     // the archive store may hold what the record does not name
	trouble string                   // why a restart of this run was given up here
	untidy  bool                     // something of a turn is left on this machine
	drained bool                     // clients have left, nobody new is let in
	nonce   string                   // of the restart question that this process asked
	stale   bool                     // the lease of that question is over
	grace   time.Duration            // left before a restart without Drain
	spent   map[string]time.Duration // of the budget of each turn, since its last rewrite
	steady  map[string]time.Duration // for which the evidence of each rejoining member was good
	rejoin  *tracking.Rejoin         // own evidence, as just observed; nil outside rejoining
}

// What a member can do besides swapping the run.
type action string

const (
	actNothing action = ""
	actSwap    action = "swap"    // step.run is the next value of the run
	actReport  action = "report"  // write our report
	actHold    action = "hold"    // get and verify the release
	actCheck   action = "check"   // prerequisites and probe, into our report
	actPrepare action = "prepare" // journal, then Replacer.Prepare
	actAsk     action = "ask"     // make clients leave, then ask for the restart
	actLeave   action = "leave"   // Stop, Commit, Restart
	actTidy    action = "tidy"    // undo Drain, Discard, close the journal
	actSweep   action = "sweep"   // delete from the store what the record does not name
)

// A step is what decide wants done next.
type step struct {
	do   action
	run  tracking.Run  // for actSwap
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
		}
		return step{} // silence
	}
	if s := v.member(); s.do != actNothing || s.wait != 0 && !v.leads() {
		return s
	} else if c := v.coordinate(); c.do != actNothing {
		return c
	} else {
		return step{wait: soonest(s.wait, c.wait)}
	}
}

func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// leads reports whether the local member is the one that coordinates.
func (v view) leads() bool {
	return slices.ContainsFunc(v.members, func(m cluster.Member) bool { return m.Leader && string(m.ID) == v.self })
}

// alone reports whether this is a cluster of one.
func (v view) alone() bool { return len(v.members) == 1 }

func (v view) addr(member string) string {
	for _, m := range v.members {
		if string(m.ID) == member {
			return m.Addr
		}
	}
	return ""
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
		version := v.reports[string(m.ID)].Version
		if string(m.ID) == v.self {
			version = v.local.version
		}
		if version == "" {
			version = "?"
		}
		s += string(m.ID) + " " + version
	}
	return s
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
