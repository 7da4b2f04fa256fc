package upgrade

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// gateA says what keeps member from being granted its turn; nil if nothing.
func (v view) gateA(member string) *tracking.Waiting {
	if ill := v.ill(member); len(ill) > 0 {
		return &tracking.Waiting{
			Gate: "A", Reason: "MemberUnhealthy", Member: member, Because: ill,
			Message: fmt.Sprintf("%s gets no turn while %s does not answer", member, strings.Join(ill, " ")),
			Do:      "bring it back; the upgrade then goes on by itself",
		}
	}
	return v.quorumWithout("A", member)
}

// ill returns the members beside member that do not answer.
func (v view) ill(member string) []string {
	var ill []string
	for _, m := range v.participants() {
		if !m.Healthy && string(m.ID) != member {
			ill = append(ill, string(m.ID))
		}
	}
	return ill
}

// quorumWithout says whether the cluster can spare member now. A cluster of one
// cannot, and is restarted all the same: that outage was announced. So is one
// that the operator allowed, but then nobody else may be down.
func (v view) quorumWithout(gate, member string) *tracking.Waiting {
	if v.alone() {
		return nil
	}
	err := cluster.SafeToStop(v.members, cluster.MemberID(member))
	if err == nil || v.plan.Rules.AllowOutage && len(v.ill(member)) == 0 {
		return nil
	}
	return &tracking.Waiting{
		Gate: gate, Reason: "QuorumAtRisk", Member: member, Message: err.Error(), Because: v.ill(member),
		Do: "bring the other members back; the upgrade then goes on by itself",
	}
}

// gateB answers the question of a member that is about to restart, from what is
// so at this moment.
func (v view) gateB(t tracking.Turn) step {
	if v.run.Wish == tracking.Cancel {
		return step{} // the member gives its turn back by itself
	}
	text := "restarting into " + v.into(t.Member)
	if v.isLeader(t.Member) && !v.alone() {
		if !v.mayLeadAway(t) {
			return v.waiting(&tracking.Waiting{
				Gate: "B", Reason: "LeaderGoesLast", Member: t.Member,
				Message: t.Member + " leads; it restarts once another member does",
				Do:      "nothing; it hands over by itself",
			})
		}
		text += " while it leads: leadership cannot be handed over here"
	}
	if w := v.quorumWithout("B", t.Member); w != nil {
		return v.waiting(w)
	}
	return v.turnStep(t.Member, tracking.Restarting, text, func(n *tracking.Turn) {
		n.Answer, n.To = n.Asked, ""
	})
}

// mayLeadAway reports whether the member of t, which leads, may restart all the
// same: where leadership cannot be handed over, because the backend does not let
// go or nobody else has a vote, it goes last. It is the only one who can know.
func (v view) mayLeadAway(t tracking.Turn) bool {
	nobody := !slices.ContainsFunc(v.members, func(m cluster.Member) bool { return m.Voter && string(m.ID) != t.Member })
	return t.Member == v.self && (v.local.fixed || nobody) && v.othersDone(t.Member)
}

// gateC accepts a member that came back, from the evidence of its new process,
// once that has been good for MinHealthy without a break.
func (v view) gateC(t tracking.Turn) step {
	e := v.reports[t.Member].Rejoin
	switch {
	case !v.evidence(t):
		return step{wait: v.look()}
	case !v.healthy(t.Member):
		return v.waiting(&tracking.Waiting{
			Gate: "C", Reason: "NotBackYet", Member: t.Member, Message: t.Member + " was back, and does not answer any more",
			Do: "look at the log of " + t.Member,
		})
	case e.Boot == t.OldBoot || e.Program != t.Digest:
		return v.failRun(v.next(), t.Member, "WrongDigest",
			fmt.Sprintf("%s came back, but its process does not run the program of this run", t.Member))
	case e.Trouble != "":
		return v.waiting(&tracking.Waiting{
			Gate: "C", Reason: e.Reason, Member: t.Member, Message: t.Member + " " + e.Trouble,
			Do: "look at the log of " + t.Member,
		})
	case v.local.steady[t.Member] < v.plan.Rules.MinHealthy:
		return v.waiting(&tracking.Waiting{
			Gate: "C", Reason: "Soaking", Member: t.Member,
			Message: fmt.Sprintf("%s is well; it has to stay so for %s", t.Member, seconds(v.plan.Rules.MinHealthy)),
			Until:   v.now.Add(v.plan.Rules.MinHealthy - v.local.steady[t.Member]), Owner: "the run's time to be well",
			Do: "nothing",
		})
	}
	return v.turnStep(t.Member, tracking.Accepted, "accepted, was well for "+seconds(v.plan.Rules.MinHealthy), nil)
}

func (v view) healthy(id string) bool {
	m, found := v.memberOf(id)
	return found && (m.Healthy || id == v.self)
}

// evidence reports whether the member of t has shown how its new process is.
func (v view) evidence(t tracking.Turn) bool {
	e := v.reports[t.Member].Rejoin
	return e != nil && e.Run == v.run.ID && e.Attempt == t.Attempt && e.Boot == t.NewBoot
}
