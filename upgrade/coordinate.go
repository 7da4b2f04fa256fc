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

// notBackAfter is how long a member may be away before the record says so.
const notBackAfter = 3 * time.Second

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
	if v.plan.Run == "" {
		return step{do: actFreeze}
	}
	if s := v.membership(); s.do != actNothing {
		return s
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
	if v.run.Wish == tracking.Go && len(v.run.Turns) < max(1, v.plan.Rules.MaxUnavailable) {
		return v.grant()
	}
	return step{wait: v.look()}
}

// backWithin is how long a member that is back with another program than that of
// its turn has for its own word on that, for only it knows why, and until it is
// heard of: the run is not to end with a word of it as one that does not answer.
const backWithin = 3 * time.Second

// justBack is how long the coordinator waits for the member of t, 0 if not at all.
func (v view) justBack(t tracking.Turn) time.Duration {
	since, back := v.local.back[t.Member]
	if !back {
		return 0
	}
	return max(0, backWithin-since)
}

// missing says that the member of t does not answer in the middle of its turn;
// nil if it does, or has been away for a moment only, as while it restarts, or
// if the grant can be taken back.
func (v view) missing(t tracking.Turn) *tracking.Waiting {
	cancelled := v.run.Wish == tracking.Cancel && t.State == tracking.Granted
	if v.healthy(t.Member) || v.evidence(t) || cancelled || v.now.Sub(t.Since) <= notBackAfter {
		return nil
	}
	return &tracking.Waiting{
		Reason: "NotBackYet", Member: t.Member, Message: fmt.Sprintf("%s is %s, and does not answer", t.Member, t.State),
		Do: "look at the log of " + t.Member,
	}
}

// mayStillLeave reports whether the member of t may hold a permission to restart
// that is still fresh.
func (v view) mayStillLeave(t tracking.Turn) bool {
	return t.State == tracking.Restarting && v.now.Sub(t.Since) < v.plan.Rules.RestartLease
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
	for _, m := range v.participants() {
		r := v.reports[string(m.ID)]
		if l := r.Lacks; l != nil && l.Run == v.run.ID && l.Refused {
			return v.failRun(v.next(), string(m.ID), l.Reason, string(m.ID)+" "+l.Text)
		}
	}
	holding := 0
	for _, m := range v.participants() {
		if v.holds(v.reports[string(m.ID)]) {
			holding++
		}
	}
	switch from := v.uploader(); {
	case holding == len(v.participants()):
	case holding == 0 && v.lostAt(from):
		return v.failRun(v.next(), from, "ArchiveLost", "nobody holds the archive any more: "+from+", which took it, has lost it or left the cluster")
	default:
		return step{}
	}
	r := v.next()
	r.Status, r.Phase, r.Staged = tracking.Staged, "", v.now
	r.Add(v.now, "", "run.staged", fmt.Sprintf("staged %s %s on %s; %s", r.Archive.Product, r.Archive.Version, names(v.members), signedBy(r.Archive)))
	return commit(r)
}

// uploader is the member that took the archive in, "" if that is not known.
func (v view) uploader() string {
	for _, l := range v.run.Log {
		if l.Type == "archive.verified" {
			return l.Member
		}
	}
	return ""
}

// lostAt reports whether the member that took the archive in cannot give it to
// anybody any more.
func (v view) lostAt(uploader string) bool {
	_, found := v.memberOf(uploader)
	l := v.reports[uploader].Lacks
	return uploader != "" && (!found || l != nil && l.Run == v.run.ID)
}

// turnOf judges one turn in flight.
func (v view) turnOf(t tracking.Turn) step {
	spent := v.local.spent[t.Member]
	switch {
	case t.State == tracking.TurnFailed && !v.healthy(t.Member) && v.justBack(t) > 0:
		return step{wait: v.justBack(t)}
	case t.State == tracking.TurnFailed:
		return v.failRun(v.next(), t.Member, t.Reason, t.Member+" "+t.Text)
	case t.Budget <= spent && v.mayStillLeave(t):
		// Whoever is told that the run has failed must not restart after it.
		return step{wait: v.plan.Rules.RestartLease}
	case t.Budget <= spent && v.justBack(t) > 0:
		return step{wait: v.justBack(t)}
	case t.Budget <= spent:
		return v.failRun(v.next(), t.Member, "MemberTimeout",
			fmt.Sprintf("%s was %s when its time of %v was up%s", t.Member, t.State, v.plan.Rules.MemberTimeout, because(v.run.Waiting)))
	case spent >= budgetRewrite:
		r := v.next()
		r.Waiting = v.run.Waiting
		r.Turn(t.Member).Budget -= spent
		return commit(r)
	}
	if w := v.missing(t); w != nil {
		return v.waiting(w)
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
			return v.dropTurn(t.Member, "member.abandoned", fmt.Sprintf("runs %s, and %s; no longer waited for", v.into(t.Member), e.Trouble))
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

func (v view) isLeader(id string) bool {
	m, _ := v.memberOf(id)
	return m.Leader
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
