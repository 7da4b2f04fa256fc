package upgrade

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// participants are the members that the run is about: all that belong to the
// cluster now, but those that an operator has given up.
func (v view) participants() []cluster.Member {
	if len(v.plan.Forgotten) == 0 {
		return v.members
	}
	return slices.DeleteFunc(slices.Clone(v.members), func(m cluster.Member) bool {
		return slices.Contains(v.plan.Forgotten, string(m.ID))
	})
}

// membership puts on record who came and who left since the plan was frozen. A
// member that left before its turn is passed over; one that left in the middle
// of it ends the run, because nobody knows whether it is coming back.
func (v view) membership() step {
	for _, t := range v.run.Turns {
		_, found := v.memberOf(t.Member)
		if !found && t.State == tracking.Granted {
			return v.dropTurn(t.Member, "member.revoked", "grant taken back: it was removed from the cluster")
		}
		if !found {
			return v.failRun(v.next(), t.Member, "RemovedByTheCluster", fmt.Sprintf("%s was %s when it was removed from the cluster", t.Member, t.State))
		}
	}
	if v.asPlanned || v.plannedMembers() {
		return step{} // as it was; a large cluster is looked through once
	}
	known := append(slices.Clone(v.plan.Members), v.run.Joined...)
	for _, m := range v.members {
		if id := string(m.ID); !slices.Contains(known, id) {
			r := v.next()
			r.Joined = append(slices.Clone(r.Joined), id)
			r.Add(v.now, id, "member.joined", "joined the cluster; it gets its turn as well")
			return commit(r)
		}
	}
	for _, id := range known {
		_, found := v.memberOf(id)
		if found || slices.Contains(v.run.Left, id) || slices.Contains(v.plan.Forgotten, id) {
			continue
		}
		r := v.next()
		r.Left = append(slices.Clone(r.Left), id)
		r.Add(v.now, id, "member.left", "left the cluster; it gets no turn")
		return commit(r)
	}
	return step{}
}

// plannedMembers reports whether the members are those of the plan.
func (v view) plannedMembers() bool {
	return slices.EqualFunc(v.plan.Members, v.members, func(id string, m cluster.Member) bool { return id == string(m.ID) })
}

// finished reports whether member is done with this run: it had its turn, or
// runs the target already.
func (v view) finished(member string) bool {
	return v.isFinished(v.reports[member])
}

// isFinished is finished of the member whose report is r.
func (v view) isFinished(r tracking.Report) bool {
	if w := r.Last; w != nil && w.Run == v.run.ID {
		return true
	}
	c := r.Checked
	return c != nil && c.Run == v.run.ID && c.Text == "" && c.Target == r.Program
}

// othersDone reports whether every member but this one is done.
func (v view) othersDone(member string) bool {
	return !slices.ContainsFunc(v.participants(), func(m cluster.Member) bool {
		return string(m.ID) != member && !v.finished(string(m.ID))
	})
}

// grant gives the next member its turn, or ends the run. Members without a vote
// come first, whoever leads now comes last.
func (v view) grant() step {
	var next, last string
	done, all := 0, v.participants()
	for _, voters := range []bool{false, true} {
		for _, m := range all {
			id := string(m.ID)
			if m.Voter != voters {
				continue
			}
			r := v.reports[id]
			switch c := r.Checked; {
			case v.isFinished(r):
				done++
			case c == nil || c.Run != v.run.ID:
				return v.unchecked(m) // nobody is touched before all are looked at
			case c.Text != "":
				text := id + " is not ready: " + c.Text
				if done == 0 {
					text += "; nobody was touched"
				}
				return v.failRun(v.next(), id, c.Reason, text)
			case m.Leader:
				last = id
			case next == "":
				next = id
			}
		}
	}
	if next == "" {
		next = last
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
	text := fmt.Sprintf("granted (%d of %d)", done+1, len(all))
	r.LastMember, r.LastAddr, r.LastState = next, v.addr(next), text
	r.Add(v.now, next, "member.granted", text)
	return commit(r)
}

// unchecked waits for a member that has not said yet whether it is ready.
func (v view) unchecked(m cluster.Member) step {
	id := string(m.ID)
	left := v.plan.Rules.MemberTimeout - v.now.Sub(v.run.Started)
	switch {
	case left <= 0:
		return v.failRun(v.next(), id, "PrerequisiteFailed", fmt.Sprintf("%s has not said within %v whether it is ready", id, v.plan.Rules.MemberTimeout))
	case !v.healthy(id):
		return v.waiting(&tracking.Waiting{
			Gate: "A", Reason: "MemberUnhealthy", Member: id, Because: []string{id},
			Message: id + " does not answer, and has not been looked at",
			Until:   v.now.Add(left), Owner: "the run's limit for " + id,
			Do: "bring it back; the upgrade then goes on by itself",
		})
	}
	return step{wait: left}
}

func (v view) finish() step {
	r := v.next()
	r.Status, r.Phase, r.Ended = tracking.Finished, "", v.now
	r.FinalState = fmt.Sprintf("finished: %s %s on %s in %s", r.Archive.Product, r.Archive.Version, names(v.participants()), seconds(v.now.Sub(r.Started)))
	if r.Kind == tracking.KindRollback {
		r.FinalState += fmt.Sprintf(" (rolled back from %s)", r.From)
	}
	if len(v.plan.Forgotten) > 0 {
		r.FinalState += ", without " + strings.Join(v.plan.Forgotten, " ")
	}
	r.LastState = "done"
	if len(v.run.Turns) == 0 && r.LastMember == "" {
		r.FinalState += "; it ran there already, nothing was replaced"
	}
	r.Add(v.now, "", "run.finished", r.FinalState)
	return commit(r)
}
