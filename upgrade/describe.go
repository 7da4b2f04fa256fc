package upgrade

import (
	"context"
	"slices"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// Status returns how far it is, as one document. It is the same from every member,
// but for ObservedAt, ObservedBy and Restart, and for Until, which is not written
// down and may differ by some seconds.
func (o *Orchestrator) Status(ctx context.Context) (Status, error) {
	v, err := o.observe(ctx)
	if err != nil {
		return Status{}, unavailable(err)
	}
	o.askOthers(ctx, v)
	r := v.run
	s := Status{
		Schema: StatusSchema, ObservedAt: v.now, ObservedBy: o.self, Revision: r.Rev,
		Product: o.c.Started.Identity.Product, Status: string(r.Status),
		Phase: some(phaseOf(r)), FinalState: some(r.FinalState), Waiting: r.Waiting, Versions: map[string]int{},
		Members:    []StatusMember{},
		Paused:     paused(r),
		Transcript: StatusTranscript{Total: r.Lines, Lines: append([]tracking.Line{}, r.Log...)},
	}
	if r.Status == tracking.None {
		s.Status = "none"
	}
	s.Unsigned = o.c.AllowUnsigned && !o.journal().Signed
	if r.ID != "" {
		s.Run = v.statusRun()
	}
	if r.Leader != "" {
		s.Leader = &StatusLeader{Member: r.Leader, Takeover: r.Takeover}
	}
	for _, m := range v.members {
		sm := v.statusMember(m)
		if string(m.ID) == o.self {
			sm.Previous = some(o.previousVersion())
		}
		s.Members = append(s.Members, sm)
		if sm.Version != "" {
			s.Versions[sm.Version]++
		}
		if r.Status == tracking.Working || r.Status == tracking.Finished || r.Status == tracking.Failed {
			s.Progress.Total++
			switch tracking.State(sm.State) {
			case tracking.Done:
				s.Progress.Done++
			case tracking.Skipped:
				s.Progress.Skipped++
			}
		}
	}
	s.Actions = actions(r, slices.ContainsFunc(s.Members, func(m StatusMember) bool { return m.Previous != nil }))
	if w := v.lastWord(o.self); o.c.Restart.Last != nil && w != nil && v.reports[o.self].Boot == v.boot {
		if last := o.c.Restart.Last(); last != (restart.Report{}) {
			s.Restart = &RestartReport{Waited: last.Waited, Away: last.Paused, Cut: last.Cut, Retired: last.Retired}
		}
	}
	return s, nil
}

// previousVersion is the version of the program that is kept beside the running
// one, "" if it is not known that there is one.
func (o *Orchestrator) previousVersion() (version string) {
	if w := o.journal().way(); w != nil {
		version = w.OldVersion
	}
	return version
}

// phaseOf says what Status alone does not.
func phaseOf(r tracking.Run) string {
	switch {
	case r.Wish == tracking.Cancel && (r.Status == tracking.Working || r.Status == tracking.Failed):
		return "cancelling"
	case r.Wish == tracking.Pause && r.Status == tracking.Working:
		return "paused"
	case slices.ContainsFunc(r.Turns, func(t tracking.Turn) bool { return t.To != "" }):
		return "handing-off"
	case r.Status == tracking.Staging && r.Phase == "":
		return "replicating"
	}
	return r.Phase
}

func paused(r tracking.Run) *StatusPaused {
	if r.Wish != tracking.Pause || r.Status != tracking.Working {
		return nil
	}
	return &StatusPaused{By: r.PausedBy, Since: r.PausedAt}
}

func (v view) statusRun() *StatusRun {
	r := v.run
	s := &StatusRun{
		ID: r.ID, Kind: r.Kind, Plan: r.Plan, From: r.From, To: r.Archive.Version,
		Archive: r.Archive.Digest, ArchiveSize: r.Archive.Size, SignedBy: append([]string{}, r.Archive.SignedBy...),
		Unsigned: r.Archive.Unsigned, Overrides: append([]string{}, r.Overrides...), StartedBy: r.By,
		AllowOutage: r.Rules.AllowOutage, Forgotten: append([]string{}, r.Forgotten...), RetryOf: some(r.RetryOf),
		RollbackOf: some(r.RollbackOf), CommittedAt: someTime(r.Committed), CommittedBy: r.CommittedBy,
		StartedAt: someTime(r.Started), FinishedAt: someTime(r.Ended),
		Reason: some(r.Reason), FailedMember: some(r.FailedMember),
	}
	switch {
	case r.Reason == "Cancelled":
		s.Result = some("cancelled")
	case r.Status == tracking.Finished, r.Status == tracking.None && !r.Ended.IsZero() && r.Reason == "":
		s.Result = some("finished")
	case r.Status == tracking.Failed, r.Reason != "":
		s.Result, s.FailedCheck = some("failed"), some(v.failedCheck(r.FailedMember))
	}
	return s
}

func (v view) statusMember(m cluster.Member) StatusMember {
	id := string(m.ID)
	r, rep := v.run, v.reports[id]
	s := StatusMember{
		ID: id, URL: m.Addr, Role: roleOf(m, len(v.members)), Healthy: m.Healthy,
		Version: rep.Version, Program: rep.Program, Boot: rep.Boot, State: string(tracking.Pending),
		Previous: some(rep.Previous), Holds: v.holds(rep),
	}
	if id == v.self {
		s.Version, s.Program, s.Boot = v.local.version, v.local.program, v.boot
	}
	w := r.Waiting
	if w != nil && !m.Healthy && slices.Contains(w.Because, id) {
		s.Ill = someTime(w.Since)
	}
	switch t, last := r.Turn(id), v.lastWord(id); {
	case t != nil:
		s.State, s.Since, s.Attempt = string(t.State), someTime(t.Since), t.Attempt
		s.Reason, s.Message = some(t.Reason), some(t.Text)
		s.NewBoot = t.OldBoot != "" && s.Boot != t.OldBoot
		s.Until = someTime(v.until(*t))
		if t.State == tracking.Accepted {
			s.State = string(tracking.Rejoining)
		}
	case r.Status == tracking.Failed && r.FailedMember == id:
		s.State, s.Reason, s.Message = string(tracking.TurnFailed), some(r.Reason), some(r.LastState)
	case last != nil:
		s.State, s.Attempt, s.Reason, s.Message = string(last.State), last.Attempt, some(last.Reason), some(last.Text)
		s.Took, s.Away, s.NewBoot = last.Took.Seconds(), last.Away.Seconds(), true
		return s
	case slices.Contains(r.Forgotten, id):
		s.State, s.Reason, s.Message = string(tracking.Skipped), some("Forgotten"), some("gone for good, by the word of an operator")
	case v.atTarget(id, s.Program):
		s.State = string(tracking.Skipped)
	case rep.Lacks != nil && rep.Lacks.Run == r.ID:
		s.Reason, s.Message = some(rep.Lacks.Reason), some(rep.Lacks.Text)
	case r.Status == tracking.Staged || r.Status == tracking.Working:
		s.Reason = some(v.pendingFor(m))
	}
	if w != nil && w.Member == id && s.Reason == nil {
		s.Reason, s.Message = some(w.Reason), some(w.Message)
	}
	return s
}

// atTarget reports whether the member had nothing to do in this run.
func (v view) atTarget(id, program string) bool {
	c := v.checked(id)
	if c == nil || c.Target == "" || c.Target != program {
		return false
	}
	return v.run.Status == tracking.Working || v.run.Status == tracking.Finished || v.run.Status == tracking.Failed
}

// until is when the time of a turn is up. It is known to the coordinator alone,
// which counts it; others know it to a minute, and which of those it is unless the
// record was out of reach for a while.
func (v view) until(t tracking.Turn) time.Time {
	late := v.now.Add(t.Budget)
	if v.leads() || t.Began.IsZero() {
		return late.Add(-v.local.spent[t.Member])
	}
	due := t.Began.Add(v.plan.Rules.MemberTimeout)
	if due.After(late) {
		return late
	}
	if early := late.Add(-budgetRewrite - time.Second); due.Before(early) {
		return early
	}
	return due
}

// pendingFor is what the turn of a member waits for.
func (v view) pendingFor(m cluster.Member) string {
	switch r := v.run; {
	case r.Wish == tracking.Cancel:
		return "CancelPending"
	case m.Leader && !v.alone():
		return "LeaderGoesLast"
	case r.Status == tracking.Working && r.Wish == tracking.Pause:
		return "Paused"
	case r.Status == tracking.Working && len(r.Turns) > 0:
		return "OtherInFlight"
	}
	return ""
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

// actions are the verbs that make sense in the state of r; kept says that a
// member keeps a program to go back to.
func actions(r tracking.Run, kept bool) []string {
	if r.Wish == tracking.Cancel && r.Status != tracking.None {
		return []string{}
	}
	kept = kept && r.Committed.IsZero()
	back := r.Kind == tracking.KindRollback
	all := []string{}
	add := func(ok bool, verbs ...string) {
		if ok {
			all = append(all, verbs...)
		}
	}
	switch r.Status {
	case tracking.None:
		add(true, "stage")
		add(kept, "rollback", "commit")
		return all
	case tracking.Staged:
		add(true, "start")
	case tracking.Working:
		add(r.Wish == tracking.Pause, "resume")
		add(r.Wish != tracking.Pause, "pause")
	case tracking.Failed:
		add(true, "retry")
		add(kept && !back, "rollback")
	case tracking.Finished:
		add(kept && !back, "rollback")
		add(kept, "commit")
	}
	add(true, "unstage")
	return all
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
