package upgrade

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// Status returns how far it is, as one document.
func (o *Orchestrator) Status(ctx context.Context) (Status, error) {
	v, err := o.observe(ctx)
	if err != nil {
		return Status{}, unavailable(err)
	}
	r := v.run
	s := Status{
		Schema: StatusSchema, ObservedAt: v.now, ObservedBy: o.self, Revision: r.Rev,
		Product: o.c.Started.Identity.Product, Status: string(r.Status),
		Phase: some(r.Phase), FinalState: some(r.FinalState), Waiting: r.Waiting, Versions: map[string]int{},
		Members: []StatusMember{}, Actions: actions(r),
		Transcript: StatusTranscript{Total: r.Lines, Lines: append([]tracking.Line{}, r.Log...)},
	}
	if r.Status == tracking.None {
		s.Status = "none"
	}
	o.remember(func(m *memory) { s.Unsigned = o.c.AllowUnsigned && !m.journal.Signed })
	if r.ID != "" {
		s.Run = v.statusRun()
	}
	if r.Leader != "" {
		s.Leader = &StatusLeader{Member: r.Leader, Takeover: r.Takeover}
	}
	for _, m := range v.members {
		sm := v.statusMember(m)
		if string(m.ID) == o.self {
			sm.Previous = o.previousVersion()
		}
		s.Members = append(s.Members, sm)
		s.Versions[sm.Version]++
		if r.Status == tracking.Working || r.Status == tracking.Finished {
			s.Progress.Total++
			switch tracking.State(sm.State) {
			case tracking.Done:
				s.Progress.Done++
			case tracking.Skipped:
				s.Progress.Skipped++
			}
		}
	}
	if w := v.lastWord(o.self); o.c.Restart.Last != nil && w != nil && v.reports[o.self].Boot == v.boot {
		if last := o.c.Restart.Last(); last != (restart.Report{}) {
			s.Restart = &RestartReport{Waited: last.Waited, Away: last.Paused, Cut: last.Cut, Retired: last.Retired}
		}
	}
	return s, nil
}

func (o *Orchestrator) previousVersion() (version *string) {
	o.remember(func(m *memory) {
		if m.journal.Phase == phaseRunning && m.journal.Confirmed && m.journal.OldVersion != "" {
			version = some(m.journal.OldVersion)
		}
	})
	return version
}

func (v view) statusRun() *StatusRun {
	r := v.run
	s := &StatusRun{
		ID: r.ID, Kind: r.Kind, Plan: v.plan.ID, From: r.From, To: r.Archive.Version,
		Archive: r.Archive.Digest, ArchiveSize: r.Archive.Size, SignedBy: append([]string{}, r.Archive.SignedBy...),
		Unsigned: r.Archive.Unsigned, Overrides: append([]string{}, r.Overrides...), StartedBy: r.By,
		StartedAt: someTime(r.Started), FinishedAt: someTime(r.Ended),
		Reason: some(r.Reason), FailedMember: some(r.FailedMember),
	}
	switch {
	case r.Reason == "Cancelled":
		s.Result = some("cancelled")
	case r.Status == tracking.Finished, r.Status == tracking.None && !r.Ended.IsZero() && r.Reason == "":
		s.Result = some("finished")
	case r.Status == tracking.Failed, r.Reason != "":
		s.Result = some("failed")
	}
	return s
}

func (v view) statusMember(m cluster.Member) StatusMember {
	id := string(m.ID)
	rep := v.reports[id]
	s := StatusMember{
		ID: id, URL: m.Addr, Role: roleOf(m, len(v.members)), Healthy: m.Healthy,
		Version: rep.Version, Program: rep.Program, Boot: rep.Boot, State: string(tracking.Pending),
	}
	if id == v.self {
		s.Version, s.Program, s.Boot = v.local.version, v.local.program, v.boot
	}
	if t := v.run.Turn(id); t != nil {
		s.State, s.Since, s.Attempt = string(t.State), someTime(t.Since), t.Attempt
		s.Reason, s.Message = some(t.Reason), some(t.Text)
		s.NewBoot = t.OldBoot != "" && s.Boot != t.OldBoot
		until := v.now.Add(t.Budget - v.local.spent[id])
		s.Until = &until
		if t.State == tracking.Accepted {
			s.State = string(tracking.Rejoining)
		}
		return s
	}
	if w := v.lastWord(id); w != nil {
		s.State, s.Attempt, s.Reason, s.Message = string(w.State), w.Attempt, some(w.Reason), some(w.Text)
		s.Took, s.Away, s.NewBoot = w.Took.Seconds(), w.Away.Seconds(), true
	} else if c := v.checked(id); c != nil && c.Target == s.Program && v.run.Status == tracking.Finished {
		s.State = string(tracking.Skipped)
	}
	if v.run.Status == tracking.Failed && v.run.FailedMember == id {
		s.State, s.Reason, s.Message = string(tracking.TurnFailed), some(v.run.Reason), some(v.run.LastState)
	}
	return s
}

func roleOf(m cluster.Member, of int) string {
	switch {
	case of == 1:
		return "single"
	case m.Leader:
		return "leader"
	case m.Voter:
		return "voter"
	}
	return "non-voter"
}

// actions are the verbs that make sense in the state of r.
func actions(r tracking.Run) []string {
	switch r.Status {
	case tracking.Staged:
		return []string{"start", "unstage"}
	case tracking.Staging, tracking.Working, tracking.Finished, tracking.Failed:
		return []string{"unstage"}
	}
	return []string{"stage"}
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Check judges all prerequisites, against the archive of opt or what is staged.
func (o *Orchestrator) Check(ctx context.Context, opt CheckOptions) (CheckReport, error) {
	v, err := o.observe(ctx)
	if err != nil {
		return CheckReport{}, unavailable(err)
	}
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
	case v.run.Status == tracking.None, v.run.Status == tracking.Finished:
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
		k.Result, k.Title, k.Seen = Fail, "This server does not take the archive.", no.Reason
		k.Why, k.Fix = no.Message, Fix{Text: no.Remedy, Where: o.self}
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
		k.Fix = Fix{Text: "wait until it has ended, start it, or remove it with unstage"}
	}
	return k
}

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
	if c.Archive == nil && opt.Head == nil && (v.run.Status == tracking.None || v.run.Status == tracking.Finished) {
		return PlanReport{}, &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "stage an archive, or name one"}
	}
	p := PlanReport{
		Product: c.Product, From: c.Version, To: v.run.Archive.Version, Ready: c.Ready, Archive: c.Archive,
		Limits:  PlanLimits{Member: o.c.MemberTimeout, MinHealthy: o.c.MinHealthy},
		WayBack: fmt.Sprintf("%s is kept beside the program, as %s", c.Version, o.c.Started.Program.PreviousPath()),
	}
	var target archive.Digest
	if c.Archive != nil {
		p.To = c.Archive.Manifest.Version
		p.ID = o.plan(v, *c.Archive).ID
		target = c.Archive.For(c.Platform)[c.Program].Digest
	}
	for _, m := range v.members {
		s := v.statusMember(m)
		if m.Voter {
			p.Voters++
		}
		step := PlanStep{Member: s.ID, Addr: s.URL, From: s.Version, To: p.To, Now: s.Program, Then: string(target), Because: "it is alone"}
		if w := v.reports[s.ID].Last; w != nil {
			step.Last = w.Took
		}
		if s.Program == step.Then {
			step.Because = "runs it already: nothing to do"
		}
		p.Steps = append(p.Steps, step)
	}
	p.Quorum = cluster.Quorum(p.Voters)
	p.Cost = o.cost(v)
	if !slices.ContainsFunc(p.Steps, func(s PlanStep) bool { return s.Now != s.Then }) {
		p.Cost, p.WayBack = []string{"none: every member runs it already"}, "as it is now"
	}
	for _, k := range c.Checks {
		if k.Result == Fail {
			p.Problems = append(p.Problems, k)
		}
	}
	return p, nil
}

// cost says what clients will notice.
func (o *Orchestrator) cost(v view) []string {
	if !v.alone() {
		return nil
	}
	cost := "the server restarts once (" + o.c.Restart.Name + "); "
	if o.c.Drain == nil {
		return []string{cost + "connections that are open then are closed"}
	}
	return []string{cost + "new connections wait meanwhile, requests in flight are finished first"}
}
