package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/cluster"
)

// clusterChecks judge what stands in the way in the cluster as a whole, as far as
// it can be seen from here. Alone there is nothing to judge. They have no Member:
// they are the same from any.
func (o *Orchestrator) clusterChecks(ctx context.Context, v view, opt CheckOptions) []Check {
	if v.alone() {
		return nil
	}
	checks := []Check{v.membersHealthy(), v.leaderKnown()}
	checks = append(checks, v.sparable(opt.AllowOutage)...)
	checks = append(checks, o.leaderCanHandOver(ctx, v), v.ownChecks())
	for i := range checks {
		checks[i].At = v.now
	}
	return checks
}

func (v view) membersHealthy() Check {
	k := Check{ID: "members-healthy", Severity: Blocker, Result: Pass, Title: "All members answer.",
		Why: "a run begins only when every member does: one more that is down could be one too many"}
	if ill := v.ill(v.self); len(ill) > 0 {
		k.Result, k.Title, k.Seen = Fail, strings.Join(ill, " ")+" does not answer.", "no answer within the last second"
		if len(ill) > 1 {
			k.Title = strings.Join(ill, " ") + " do not answer."
		}
		k.Fix = Fix{Text: "bring it back, or remove it from the cluster if it is gone for good"}
	}
	return k
}

func (v view) leaderKnown() Check {
	k := Check{ID: "leader-known", Severity: Blocker, Result: Pass, Why: "only who leads lets members restart, and whoever leads goes last"}
	if leader := v.leader(); leader != "" {
		k.Title = leader + " leads."
		return k
	}
	k.Result, k.Title = Fail, "It is not known who leads."
	k.Fix = Fix{Text: "wait until the election is over, and check again; if it does not end, see that enough voters are up"}
	return k
}

func (v view) leader() string {
	for _, m := range v.members {
		if m.Leader {
			return string(m.ID)
		}
	}
	return ""
}

// sparable judges whether the cluster can do without each of its members in turn,
// supposing that the others are up: whether they are is another check.
func (v view) sparable(allowed bool) []Check {
	voters, needed := v.voters()
	k := Check{ID: "quorum-without-one", Severity: Blocker, Result: Pass,
		Title: fmt.Sprintf("%d of %d voters are needed; each can be spared while it restarts.", needed, voters),
		Why:   "without a quorum nobody can write"}
	risk := v.unsparable()
	if risk == nil {
		return []Check{k}
	}
	k.Title = fmt.Sprintf("Nobody can write while %s restarts.", strings.Join(risk, " or "))
	k.Seen = fmt.Sprintf("%s, and %d of them are needed", count(voters, "voter"), needed)
	k.Fix = Fix{Text: "add a voter; or allow the outage (--allow-outage) if your clients can wait until each of them is back"}
	if voters == 2 {
		k.ID = "two-voters"
	}
	k.Result = Fail
	if allowed {
		k.Result = Skipped
	}
	return []Check{k}
}

// unsparable returns the members without which there would be no quorum.
func (v view) unsparable() []string {
	members := slices.Clone(v.members)
	for i := range members {
		members[i].Healthy = true
	}
	var risk []string
	for _, m := range members {
		if cluster.SafeToStop(members, m.ID) != nil {
			risk = append(risk, string(m.ID))
		}
	}
	return risk
}

func (v view) voters() (all, needed int) {
	for _, m := range v.members {
		if m.Voter {
			all++
		}
	}
	return all, cluster.Quorum(all)
}

func (o *Orchestrator) leaderCanHandOver(ctx context.Context, v view) Check {
	k := Check{ID: "leader-can-hand-over", Severity: Warning, Result: Pass, Title: "Leadership can be handed over.",
		Why: "the leader hands over before it restarts, so that nobody has to wait for an election"}
	switch err := o.canHandOver(ctx, v); {
	case err == nil:
	case errors.Is(err, errors.ErrUnsupported):
		k.Result, k.Title = Fail, "Leadership cannot be handed over here: who leads restarts while it leads, last."
		k.Seen = err.Error()
		k.Fix = Fix{Text: "expect that nobody can write from its exit until another member leads, or it is back"}
	default:
		k.Result, k.Title, k.Seen = NotRun, "Whether leadership can be handed over could not be told.", err.Error()
	}
	return k
}

// canHandOver asks whether leadership can be let go of: to hand it to oneself
// changes nothing.
func (o *Orchestrator) canHandOver(ctx context.Context, v view) error {
	if v.unvoted() {
		return fmt.Errorf("there is no other voter: %w", errors.ErrUnsupported)
	}
	ask, cancel := context.WithTimeoutCause(ctx, prereqLimit, errors.New("no answer in time"))
	defer cancel()
	return o.c.Cluster.TransferLeadership(ask, cluster.MemberID(o.self))
}

// unvoted reports whether there is nobody whom leadership could go to.
func (v view) unvoted() bool {
	voters, _ := v.voters()
	return voters < 2
}

// ownChecks says what is not judged here.
func (v view) ownChecks() Check {
	var others []string
	for _, m := range v.members {
		if string(m.ID) != v.self {
			others = append(others, string(m.ID))
		}
	}
	return Check{ID: "members-own", Severity: Blocker, Result: NotRun,
		Title: strings.Join(others, " ") + ": checked on each member before any is touched (at start)",
		Seen:  "only " + v.self + " was asked about its own machine"}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
