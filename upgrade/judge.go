package upgrade

import (
	"context"
	"fmt"
	"slices"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// Check judges the prerequisites of this member and those of the cluster, against
// the archive of opt or what is staged. The other members judge theirs before any
// of them is touched.
func (o *Orchestrator) Check(ctx context.Context, opt CheckOptions) (CheckReport, error) {
	v, err := o.observe(ctx)
	if err != nil {
		return CheckReport{}, unavailable(err)
	}
	o.askOthers(ctx, v)
	if err := validateSkip(opt.Skip); err != nil {
		return CheckReport{}, err
	}
	c := CheckReport{
		Product: o.c.Started.Identity.Product, Version: v.local.version, Program: o.c.Started.Program.Base(),
		Platform: o.c.Started.Platform(), Members: []MemberBrief{},
	}
	for _, m := range v.members {
		s := v.statusMember(m)
		c.Members = append(c.Members, MemberBrief{ID: s.ID, Role: s.Role, Version: s.Version, Healthy: s.Healthy})
	}
	rel, trust, err := o.candidate(ctx, v, opt)
	if err != nil {
		return CheckReport{}, err
	}
	c.Archive = rel
	p := o.prereqs(rel, opt.Skip)
	p.Staged = rel != nil && opt.Head == nil
	c.Checks = append(trust, o.judge(ctx, p)...)
	c.Checks = append(c.Checks, o.clusterChecks(ctx, v, opt)...)
	c.Checks = append(c.Checks, o.checkIdle(v, opt, rel))
	c.Ready = !slices.ContainsFunc(c.Checks, func(k Check) bool { return k.Result == Fail && k.Severity == Blocker })
	return c, nil
}

// candidate is the release that a Check is about, and whether this machine would
// take it.
func (o *Orchestrator) candidate(ctx context.Context, v view, opt CheckOptions) (*archive.Release, []Check, error) {
	k := Check{ID: "archive-signature", Member: o.self, Severity: Blocker, Result: Pass, At: v.now}
	var rel archive.Release
	var err error
	switch {
	case opt.Head != nil:
		rel, err = o.policy().CheckHead(*opt.Head)
	case v.run.Status == tracking.None, v.run.Status == tracking.Finished, v.run.Kind == tracking.KindRollback:
		return nil, nil, nil
	default:
		var got archive.Verified
		if got, err = o.release(ctx, v); err == nil {
			rel = got.Release()
		}
	}
	if err != nil {
		no := refuseArchive(err).(*Refusal)
		if no.Kind == Unavailable || no.Kind == Short {
			return nil, nil, no
		}
		k.ID = archiveCheck(no)
		k.Result, k.Title, k.Seen = Fail, "This server does not take the archive.", fmt.Sprintf("%s (%s)", no.Message, no.Reason)
		k.Fix = Fix{Text: no.Remedy, Where: o.self}
		if k.Fix.Text == "" {
			k.Fix.Text = "make the archive again with upgrade pack, and sign it"
		}
		return nil, []Check{k}, nil
	}
	k.Title = "signed by"
	for _, id := range rel.SignedBy {
		k.Title += " " + id
	}
	if rel.Unsigned {
		k.Severity, k.Result = Warning, Fail
		k.Title = "Nobody signed this archive; this server takes it all the same."
		k.Fix = Fix{Text: "sign it, and configure the key in place of AllowUnsigned"}
	}
	return &rel, []Check{k}, nil
}

// archiveCheck is the id of the check that an archive has failed.
func archiveCheck(no *Refusal) string {
	switch {
	case no.Reason == archive.RolledBack:
		return "archive-counter"
	case no.Reason == archive.Expired, no.Reason == archive.NotYetValid:
		return "archive-expiry"
	case no.Kind == Untrusted:
		return "archive-signature"
	}
	return "archive-contents"
}

// checkIdle says whether a run is in the way.
func (o *Orchestrator) checkIdle(v view, opt CheckOptions, rel *archive.Release) Check {
	k := Check{ID: "run-in-progress", Member: o.self, Severity: Blocker, Result: Pass, Title: "no run is in the way", At: v.now}
	if rel != nil && string(rel.Sums) == v.run.Archive.Sums && v.run.Status == tracking.Staged {
		k.Title = "it is staged already"
		return k
	}
	if v.run.Status == tracking.Working || opt.Head != nil && (v.run.Status == tracking.Staged || v.run.Status == tracking.Staging) {
		k.Result, k.Title = Fail, fmt.Sprintf("%s %s is %s.", v.run.Archive.Product, v.run.Archive.Version, v.run.Status)
		switch v.run.Status {
		case tracking.Staged:
			k.Fix = Fix{Text: "start it, or remove it with unstage"}
		case tracking.Staging:
			k.Fix = Fix{Text: "wait until it is staged, or remove it with unstage"}
		default:
			k.Fix = Fix{Text: "wait until it has ended, or cancel it with unstage"}
		}
	}
	return k
}
