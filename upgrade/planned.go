package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// Plan says what a run would do. It changes nothing.
func (o *Orchestrator) Plan(ctx context.Context, opt CheckOptions) (PlanReport, error) {
	c, err := o.Check(ctx, opt)
	if err != nil {
		return PlanReport{}, err
	}
	v, err := o.observe(ctx)
	if err != nil {
		return PlanReport{}, unavailable(err)
	}
	o.askOthers(ctx, v)
	if c.Archive == nil && opt.Head == nil && (v.run.Status == tracking.None || v.run.Status == tracking.Finished || v.run.Kind == tracking.KindRollback) {
		return PlanReport{}, &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "stage an archive, or name one"}
	}
	p := PlanReport{
		Product: c.Product, From: c.Version, To: v.run.Archive.Version, Ready: c.Ready, Archive: c.Archive,
		Limits:  PlanLimits{Member: o.c.MemberTimeout, MinHealthy: o.c.MinHealthy},
		WayBack: fmt.Sprintf("%s is kept beside the program, as %s", c.Version, o.c.Started.Program.PreviousPath()),
	}
	if c.Archive != nil {
		p.To = c.Archive.Manifest.Version
		p.ID = o.plan(v, *c.Archive).ID
	}
	p.Voters, p.Quorum = v.voters()
	fixed := errors.Is(o.canHandOver(ctx, v), errors.ErrUnsupported)
	for _, m := range v.order() {
		s := v.statusMember(m)
		step := PlanStep{Member: s.ID, Addr: s.URL, From: s.Version, To: p.To, Now: s.Program, Then: c.targetOf(v.reports[s.ID]), Because: v.because(m, len(p.Steps) == 0, fixed)}
		if w := v.reports[s.ID].Last; w != nil {
			step.Last = w.Took
		}
		if s.Program != "" && s.Program == step.Then {
			step.Because = "runs it already: nothing to do"
		}
		p.Steps = append(p.Steps, step)
	}
	busy := slices.DeleteFunc(slices.Clone(p.Steps), func(s PlanStep) bool { return s.Now != "" && s.Now == s.Then })
	switch {
	case len(busy) == 0:
		p.Cost, p.WayBack = []string{"none: every member runs it already"}, "as it is now"
	case v.alone():
		p.Cost = o.costAlone()
	default:
		p.Cost = v.cost(busy, o.c.Restart.Name, fixed)
		p.WayBack = c.Version + " is kept beside the program on every member"
	}
	for _, k := range c.Checks {
		if k.Result == Fail {
			p.Problems = append(p.Problems, k)
		}
	}
	return p, nil
}

// targetOf is the digest of what the member of r is to run, "" if that is not
// known. It is taken to be of the platform of the member asked unless it says
// otherwise.
func (c CheckReport) targetOf(r tracking.Report) string {
	if c.Archive == nil {
		return ""
	}
	p := c.Platform
	if r.Platform != "" {
		p = archive.Platform{}
		p.OS, p.Arch, _ = strings.Cut(r.Platform, "/")
		p.Arch, p.Variant, _ = strings.Cut(p.Arch, "/")
	}
	return string(c.Archive.For(p)[c.Program].Digest)
}

// order is that of the turns: members without a vote first, who leads now last.
func (v view) order() []cluster.Member {
	rank := func(m cluster.Member) int {
		switch {
		case m.Leader:
			return 2
		case m.Voter:
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(v.members), func(a, b cluster.Member) int { return rank(a) - rank(b) })
}

// because says why a member has its place in the order.
func (v view) because(m cluster.Member, first, fixed bool) string {
	voters, needed := v.voters()
	switch {
	case v.alone():
		return "it is alone"
	case m.Leader && fixed:
		return "leads, cannot hand over: restarts last"
	case m.Leader:
		return "leads now, so it goes last"
	case !m.Voter:
		return "has no vote, so it goes first"
	case first && voters > needed:
		return fmt.Sprintf("not leading; needs %d voters, has %d", needed, voters)
	}
	return "not leading"
}

// costAlone says what the clients of a server alone will notice.
func (o *Orchestrator) costAlone() []string {
	cost := "the server restarts once (" + o.c.Restart.Name + "); "
	if o.c.Drain == nil {
		return []string{cost + "connections that are open then are closed"}
	}
	return []string{cost + "new connections wait meanwhile, requests in flight are finished first"}
}

// cost says what the clients of a cluster will notice, of the members that have a
// turn.
func (v view) cost(turns []PlanStep, method string, fixed bool) []string {
	var ids []string
	var away time.Duration
	for _, s := range turns {
		ids = append(ids, s.Member)
		if w := v.reports[s.Member].Last; w != nil {
			away = max(away, w.Away)
		}
	}
	first := strings.Join(ids, " ") + ", one after the other: that member's API is away while it restarts (" + method + ")"
	if away > 0 {
		first += ", " + seconds(away) + " at most last time"
	}
	costs := []string{first}
	lost := slices.DeleteFunc(v.unsparable(), func(id string) bool { return !slices.Contains(ids, id) })
	for _, id := range lost {
		text := "no writes from " + id + "'s exit to its return"
		if w := v.reports[id].Last; w != nil && w.Away > 0 {
			text += ", " + seconds(w.Away) + " last time"
		}
		costs = append(costs, text)
	}
	leader := v.leader()
	switch {
	case len(lost) > 0:
		return append(costs, "that has to be allowed: --allow-outage")
	case !slices.Contains(ids, leader):
	case fixed:
		costs = append(costs, leader+" cannot hand leadership over: no writes from its exit until another member leads, or it is back")
	default:
		costs = append(costs, "writes wait once, when "+leader+" hands leadership over")
	}
	if !slices.ContainsFunc(v.members, func(m cluster.Member) bool { return m.Voter && slices.Contains(ids, string(m.ID)) }) {
		return costs
	}
	voters, needed := v.voters()
	spare := voters - needed
	text := fmt.Sprintf("tolerance %d -> %d while a voter restarts", spare, spare-1)
	if spare == 1 {
		text += ": if another one fails in those seconds, writes stop until one of the two is back"
	}
	return append(costs, text)
}
