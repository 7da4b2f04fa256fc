package upgrade

import (
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// budgetRewrite is how often the time that a turn has left is written down, so
// that the next coordinator knows it.
const budgetRewrite = time.Minute

// coordinate decides what the leader does. Only it grants, answers, accepts and
// ends; whoever leads may do so, from the record alone.
func (v view) coordinate() step {
	if !v.leads() {
		return step{}
	}
	switch v.run.Status {
	case tracking.Staging, tracking.Working:
	case tracking.Failed:
		if v.run.Wish == tracking.Cancel {
			return v.tombstone(v.run.CancelledBy) // the last thing that a cancellation wants
		}
		return step{}
	default:
		return step{}
	}
	if v.run.Boot != v.boot {
		r := v.next()
		r.Takeover++
		r.Leader, r.Boot = v.self, v.boot
		return commit(r)
	}
	if v.run.Status == tracking.Staging {
		return v.staging()
	}
	for _, t := range v.run.Turns {
		if s := v.turnOf(t); s.do != actNothing {
			return s
		}
	}
	if v.run.Wish == tracking.Cancel && len(v.run.Turns) == 0 {
		r := v.next()
		return v.failRun(r, "", "Cancelled", "cancelled"+by(r.CancelledBy))
	}
	if len(v.run.Turns) < max(1, v.plan.Rules.MaxUnavailable) {
		return v.grant()
	}
	return step{wait: v.look()}
}

// look is when the coordinator has to look again at the turn in flight.
func (v view) look() time.Duration {
	var d time.Duration
	for _, t := range v.run.Turns {
		spent := v.local.spent[t.Member]
		d = soonest(d, max(min(t.Budget-spent, budgetRewrite-spent), time.Millisecond))
		if t.State == tracking.Rejoining {
			d = soonest(d, max(v.plan.Rules.MinHealthy-v.local.steady[t.Member], time.Millisecond))
		}
	}
	return d
}

// staging waits until every member holds the release.
func (v view) staging() step {
	for _, m := range v.members {
		if v.reports[string(m.ID)].Holds != v.run.Archive.Sums {
			return step{}
		}
	}
	r := v.next()
	r.Status, r.Phase, r.Staged = tracking.Staged, "", v.now
	r.Add(v.now, "", "run.staged", fmt.Sprintf("staged %s %s on %s; %s", r.Archive.Product, r.Archive.Version, names(v.members), signedBy(r.Archive)))
	return commit(r)
}

// turnOf judges one turn in flight.
func (v view) turnOf(t tracking.Turn) step {
	spent := v.local.spent[t.Member]
	switch {
	case t.State == tracking.TurnFailed:
		return v.failRun(v.next(), t.Member, t.Reason, t.Member+" "+t.Text)
	case t.Budget <= spent:
		return v.failRun(v.next(), t.Member, "MemberTimeout",
			fmt.Sprintf("%s was %s when its time of %v was up%s", t.Member, t.State, v.plan.Rules.MemberTimeout, because(v.run.Waiting)))
	case spent >= budgetRewrite:
		r := v.next()
		r.Waiting = v.run.Waiting
		r.Turn(t.Member).Budget -= spent
		return commit(r)
	}
	switch t.State {
	case tracking.Granted:
		if v.run.Wish == tracking.Cancel {
			return v.dropTurn(t.Member, "member.revoked", "grant taken back")
		}
	case tracking.Prepared:
		if t.Asked != "" && t.Asked != t.Answer {
			return v.gateB(t)
		}
	case tracking.Rejoining:
		if e := v.reports[t.Member].Rejoin; v.run.Wish == tracking.Cancel && v.evidence(t) && e.Trouble != "" {
			// Nothing is gained by waiting for what may never get well.
			return v.dropTurn(t.Member, "member.abandoned", fmt.Sprintf("runs %s, and %s; no longer waited for", v.run.Archive.Version, e.Trouble))
		}
		return v.gateC(t)
	case tracking.Accepted:
		w := v.lastWord(t.Member)
		if w == nil || w.Attempt != t.Attempt {
			return step{}
		}
		text := fmt.Sprintf("%s in %s", w.Version, seconds(w.Took))
		if w.Away > 0 {
			text += ", not reachable for " + seconds(w.Away)
		}
		return v.dropTurn(t.Member, "member.done", text)
	}
	return step{}
}

// grant gives the next member its turn, or ends the run.
func (v view) grant() step {
	next, last, done := "", "", 0
	for _, id := range v.plan.Members {
		switch c := v.checked(id); {
		case v.lastWord(id) != nil:
			done++
		case c == nil:
			return step{} // not looked at yet: nobody is touched before all are
		case c.Text != "":
			return v.failRun(v.next(), id, c.Reason, id+" is not ready: "+c.Text+"; nobody was touched")
		case c.Target == v.reports[id].Program:
			done++ // it runs the target already
		case v.isLeader(id):
			last = id
		case next == "":
			next = id
		}
	}
	if next == "" {
		next = last // the leader goes last
	}
	if next == "" {
		return v.finish()
	}
	if w := v.gateA(next); w != nil {
		return v.waiting(w)
	}
	r := v.next()
	r.Turns = append(r.Turns, tracking.Turn{
		Member: next, Addr: v.addr(next), Attempt: 1, State: tracking.Granted, Since: v.now, Began: v.now,
		Budget: v.plan.Rules.MemberTimeout, Digest: v.checked(next).Target, From: v.reports[next].Version,
	})
	text := fmt.Sprintf("granted (%d of %d)", done+1, len(v.plan.Members))
	r.LastMember, r.LastAddr, r.LastState = next, v.addr(next), text
	r.Add(v.now, next, "member.granted", text)
	return commit(r)
}

func (v view) isLeader(id string) bool {
	for _, m := range v.members {
		if string(m.ID) == id {
			return m.Leader
		}
	}
	return false
}

func (v view) finish() step {
	r := v.next()
	r.Status, r.Phase, r.Ended = tracking.Finished, "", v.now
	r.FinalState = fmt.Sprintf("finished: %s %s on %s in %s", r.Archive.Product, r.Archive.Version, names(v.members), seconds(v.now.Sub(r.Started)))
	r.LastState = "done"
	if len(v.run.Turns) == 0 && r.LastMember == "" {
		r.FinalState += "; it ran there already, nothing was replaced"
	}
	r.Add(v.now, "", "run.finished", r.FinalState)
	return commit(r)
}

// waiting writes down why nothing moves, once per reason.
func (v view) waiting(w *tracking.Waiting) step {
	if old := v.run.Waiting; old != nil && old.Gate == w.Gate && old.Reason == w.Reason && old.Member == w.Member && old.Message == w.Message {
		return step{wait: v.look()}
	}
	r := v.next()
	w.Since = v.now
	if t := v.run.Turn(w.Member); t != nil && w.Until.IsZero() {
		w.Until, w.Owner = v.now.Add(t.Budget-v.local.spent[w.Member]), "the run's limit for "+w.Member
	}
	if old := v.run.Waiting; old != nil && old.Gate == w.Gate && old.Reason == w.Reason {
		w.Since = old.Since
	}
	r.Waiting = w
	return commit(r)
}

func names(members []cluster.Member) string {
	s := ""
	for i, m := range members {
		if i > 0 {
			s += " "
		}
		s += string(m.ID)
	}
	return s
}

func signedBy(a tracking.Archive) string {
	if a.Unsigned {
		return "NOT signed, accepted because unsigned archives are allowed here"
	}
	s := "signed by"
	for _, id := range a.SignedBy {
		s += " " + id
	}
	return s
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

func because(w *tracking.Waiting) string {
	if w == nil {
		return ""
	}
	return "; it waited because " + w.Message
}

func seconds(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
