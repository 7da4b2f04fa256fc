package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// report writes what the local member says of itself. Where it announces that
// the new program was accepted, the journal and the trust of this machine are
// brought up to date first.
func (o *Orchestrator) report(ctx context.Context, v view) error {
	r, rev, err := o.ownReport(ctx)
	if err != nil {
		return err
	}
	if t := v.run.Turn(o.self); t != nil {
		if t.State == tracking.Accepted {
			if err := o.confirm(ctx, *t, v.run); err != nil {
				return err
			}
			r.Last = &tracking.LastWord{
				Run: v.run.ID, Attempt: t.Attempt, State: tracking.Done, Version: v.local.version,
				Program: v.local.program, Took: v.now.Sub(t.Began), Away: o.away(),
			}
		}
	}
	r.Member, r.Addr, r.Boot, r.Version = o.self, v.local.addr, v.boot, v.local.version
	r.Program, r.Platform, r.Formats = v.local.program, o.c.Started.Platform().String(), []int{tracking.Format}
	r.Rejoin, r.At = v.local.rejoin, v.now
	r.Writes, r.Lacks, r.Previous = tracking.Format, v.local.lacks, o.previousVersion()
	switch {
	case v.local.holds != "":
		r.Holds, r.HoldsFor = v.local.holds, v.run.ID
	case v.local.lost:
		r.Holds, r.HoldsFor = "", ""
	}
	o.remember(func(m *memory) {
		if c, ok := m.checked[v.run.ID]; ok {
			r.Checked = &c
		}
	})
	data, err := r.Encode()
	if err != nil {
		return err
	}
	rev, err = o.c.Tracking.Swap(ctx, tracking.KeyMember+o.self, rev, data)
	if err != nil {
		o.remember(func(m *memory) { m.reportRev = "" }) // whether it was written is not known
		return fmt.Errorf("upgrade: write our report: %w", err)
	}
	r.Format = tracking.Format
	o.remember(func(m *memory) { m.report, m.reportRev = r, rev })
	return nil
}

// ownReport is what the local member has said of itself last. Nobody else writes
// it, so that what this process wrote need not be read again.
func (o *Orchestrator) ownReport(ctx context.Context) (r tracking.Report, rev tracking.Revision, err error) {
	o.remember(func(m *memory) { r, rev = m.report, m.reportRev })
	if rev != "" {
		return r, rev, nil
	}
	data, rev, err := o.c.Tracking.Load(ctx, tracking.KeyMember+o.self)
	if err != nil {
		return r, rev, fmt.Errorf("upgrade: read our report: %w", err)
	}
	r, err = tracking.DecodeReport(data)
	return r, rev, err
}

// away is how long clients could not reach this member during its restart.
func (o *Orchestrator) away() time.Duration {
	if o.c.Restart.Last == nil {
		return 0
	}
	return o.c.Restart.Last().Paused
}

// confirm notes in the journal how far the new program is: that it takes part in
// the cluster, and, once it was accepted, that it is the one to start from now on.
// Then its trial is over, and the trust of this machine moves on with it; a
// release that never got well must not keep an older one out.
func (o *Orchestrator) confirm(ctx context.Context, t tracking.Turn, r tracking.Run) error {
	j, well := o.journal(), t.State == tracking.Accepted
	if j.Phase == phaseReturning {
		return errReturning
	}
	if j.Phase == phaseRunning && j.Run == r.ID && j.Confirmed == well {
		return nil
	}
	if !well {
		o.settle(ctx)
	}
	err := o.journalize(func(j *journal) {
		j.Phase, j.Confirmed, j.Run, j.Origin, j.Attempt = phaseRunning, well, r.ID, r.Origin, t.Attempt
		j.New, j.NewVersion = archive.Digest(t.Digest), o.c.Started.Identity.Version
		if well { // by what was verified here; the record does not speak for trust
			j.Floor = max(j.Floor, j.Counter)
			j.Signed = j.Signed || j.NewSigned
			// One that was put back here, tried again and accepted is as good as any.
			j.Failed = slices.DeleteFunc(slices.Clone(j.Failed), func(f failedProgram) bool { return f.Program == j.New })
		}
	})
	if err == nil && well {
		o.confirmed()
	}
	return err
}

// confirmed is called when the program that runs is the one to start from now on.
func (o *Orchestrator) confirmed() {
	o.c.Started.trial.end()
	o.c.Started.life.over()
	if o.c.Restart.Confirm != nil {
		o.c.Restart.Confirm()
	}
}

// policy is what this machine accepts, now.
func (o *Orchestrator) policy() archive.Policy {
	p := archive.Policy{
		Product: o.c.Started.Identity.Product, Program: o.c.Started.Program.Base(),
		Platforms: []archive.Platform{o.c.Started.Platform()},
		Keys:      o.c.Keys, Threshold: o.c.Threshold, AllowUnsigned: o.c.AllowUnsigned,
		MaxSize: o.c.MaxArchive, MaxUnpacked: o.c.MaxUnpacked,
	}
	j := o.journal()
	p.Floor = j.Floor
	if j.Signed {
		p.AllowUnsigned = false
	}
	return p
}

// swapView commits the run of s, which was decided from v.
func (o *Orchestrator) swapView(ctx context.Context, v view, s step) error {
	return o.swapRun(ctx, v, s.run)
}

// check looks at the prerequisites for the run and probes the new program, and
// leaves the result to the next report.
func (o *Orchestrator) check(ctx context.Context, v view) error {
	var rel archive.Verified
	known := false // Start may just have looked
	o.remember(func(m *memory) { rel = m.verified; _, known = m.checked[v.run.ID] })
	if known {
		return o.report(ctx, v)
	}
	var c tracking.Checked
	if v.run.Kind == tracking.KindRollback {
		c, _ = o.wayBack(ctx, v, v.run, v.run.Overrides)
	} else {
		checks, target := o.prerequisites(ctx, rel, v.run.Overrides, true)
		c = tracking.Checked{Run: v.run.ID, Target: string(target)}
		var no *Refusal
		if err := refuse(checks); errors.As(err, &no) {
			c.Reason, c.Text, c.Check = no.Reason, no.Message, no.onlyCheck()
		}
	}
	o.remember(func(m *memory) { m.checked = map[string]tracking.Checked{v.run.ID: c} })
	return o.report(ctx, v)
}

// prepare puts the new program beside the old one.
func (o *Orchestrator) prepare(ctx context.Context, v view) error {
	t := *v.run.Turn(o.self)
	back := v.run.Kind == tracking.KindRollback
	var rel archive.Verified
	o.remember(func(m *memory) { rel = m.verified })
	err := o.journalize(func(j *journal) {
		*j = j.closed()
		j.Phase, j.Run, j.Origin, j.Attempt = phaseClaimed, v.run.ID, v.run.Origin, t.Attempt
		j.Old, j.OldVersion, j.OldFile = archive.Digest(v.local.program), v.local.version, stampOf(o.c.Started.Program.info())
		j.New, j.NewVersion = archive.Digest(t.Digest), v.into(o.self)
		if !back {
			j.Counter, j.NewSigned = rel.Release().Manifest.Counter, !rel.Release().Unsigned
		}
		j.Back, j.Guard = back, o.guard(back)
	})
	var p Prepared
	if err == nil {
		o.beside <- struct{}{} // a check may be trying the same path
		if back {
			p, err = o.c.Replacer.PrepareBack(ctx)
		} else {
			p, err = o.c.Replacer.Prepare(ctx, rel)
		}
		<-o.beside
	}
	if err == nil && string(p.Program) != t.Digest {
		err = fmt.Errorf("prepared %s, but this run is about %s", p.Program, t.Digest)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case errors.Is(err, syscall.ENOSPC):
		return o.swapView(ctx, v, v.failTurn(t, "NoSpace", "has no room for the new program: "+err.Error()))
	case err != nil:
		return o.swapView(ctx, v, v.failTurn(t, "PrepareFailed", "could not prepare the new program: "+err.Error()))
	}
	s := v.turnStep(o.self, tracking.Prepared, fmt.Sprintf("prepared %s -> %s", v.local.version, v.into(o.self)), nil)
	for _, note := range p.Notes {
		s.run.Add(v.now, o.self, "member.note", note)
	}
	return o.swapView(ctx, v, s)
}
