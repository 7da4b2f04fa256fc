package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// Rollback begins a run in which every member that runs what the last run
// brought goes back to the program that it keeps from before, and returns the
// name of that run. The others are passed over. It is an ordinary run: the same
// gates, the leader last, and each program that comes back is on trial. It begins
// after a run that has finished or failed, or when nothing is staged; an archive
// that was kept for the run before is removed then.
//
// The error is a *Refusal, and nothing is changed, if there is no program to go
// back to (NoPrevious), it is what runs (PreviousIsRunning), it is not the one
// from before any more (PreviousChanged), it cannot read the data
// (DataNotReadable, by Started.NoWayBack or Config.Readable), or it was given up
// (Committed); and on the terms of Start. Where another member finds one of
// these, the run fails before anybody is touched.
// Repeating it while the rollback works, or has finished and is not committed,
// returns its name again; after one that failed it goes on with that, as Retry does.
func (o *Orchestrator) Rollback(ctx context.Context, opt RollbackOptions) (string, error) {
	l := launch{StartOptions: StartOptions{By: opt.By, Skip: opt.Skip, AllowOutage: opt.AllowOutage}, forget: opt.Forget, back: true}
	return o.launch(ctx, l, func(v view) (done bool, err error) {
		r := v.run
		switch {
		case r.Kind == tracking.KindRollback && (r.Status == tracking.Working || r.Status == tracking.Finished && r.Committed.IsZero()):
			return true, nil
		case r.Status == tracking.Working:
			return false, &Refusal{Kind: Conflict, Reason: "RunInProgress", Message: fmt.Sprintf("run %s is installing %s %s", r.ID, r.Archive.Product, r.Archive.Version),
				Remedy: "wait until it has ended, or cancel it with unstage"}
		case r.Status == tracking.Staging, r.Status == tracking.Staged:
			return false, &Refusal{Kind: Conflict, Reason: "AlreadyStaged", Message: fmt.Sprintf("%s %s is %s", r.Archive.Product, r.Archive.Version, r.Status),
				Remedy: "unstage it first"}
		case r.Status == tracking.Failed && r.Wish == tracking.Cancel:
			return false, cancelling(r)
		case !r.Committed.IsZero():
			return false, &Refusal{Kind: Conflict, Reason: "Committed",
				Message: fmt.Sprintf("the way back was given up%s at %s; no member keeps the program from before", by(r.CommittedBy), r.Committed.Format(time.RFC3339)),
				Remedy:  "build the older state as a newer release, and install that"}
		}
		return false, nil
	})
}

func cancelling(r tracking.Run) *Refusal {
	return &Refusal{Kind: Conflict, Reason: "Cancelling", Message: fmt.Sprintf("run %s was cancelled%s and is being removed", r.ID, by(r.CancelledBy)),
		Remedy: "wait until it is gone"}
}

// undone is the run that a rollback begins from what v shows, and how this
// machine takes part in it.
func (o *Orchestrator) undone(ctx context.Context, v view) (tracking.Run, error) {
	last, w := v.run, o.journal().way()
	if w != nil && string(w.New) != v.local.program {
		w = nil
	}
	r := tracking.Run{Kind: tracking.KindRollback, Archive: tracking.Archive{Product: o.c.Started.Identity.Product}}
	runs := v.anyRuns(last.Archive.Version)
	switch {
	case last.Status == tracking.None && (last.Started.IsZero() || !runs):
		// Nothing is left of the last run, or it brought nothing: what is kept here
		// tells what there is to undo.
		if w == nil {
			return r, o.nothingKept(ctx, v, v.local.version+" is not known to have taken the place of another program on "+v.self)
		}
		r.RollbackOf, r.From, r.Archive.Version = w.Run, v.local.version, w.OldVersion
	case !runs:
		return r, o.nothingKept(ctx, v, fmt.Sprintf("no member runs %s, which run %s was about", last.Archive.Version, last.ID))
	default:
		r.RollbackOf, r.From, r.Archive.Version = last.Chain(), last.Archive.Version, v.local.version
		if w != nil && (w.Run == r.RollbackOf || w.NewVersion == r.From) {
			r.Archive.Version = w.OldVersion
		}
	}
	return r, nil
}

// anyRuns reports whether a member is known to run that version.
func (v view) anyRuns(version string) bool {
	for _, m := range v.members {
		if id := string(m.ID); id == v.self && v.local.version == version || id != v.self && v.reports[id].Version == version {
			return true
		}
	}
	return false
}

// nothingKept is the refusal where there is nothing to go back to.
func (o *Orchestrator) nothingKept(ctx context.Context, v view, why string) *Refusal {
	no := &Refusal{Kind: NotReady, Reason: "NoPrevious", Member: o.self, Message: "there is nothing to go back to: " + why,
		Remedy: "build the older state as a newer release, and install that"}
	if d, err := o.previous(ctx); err == nil && string(d) == v.local.program {
		no.Reason, no.Message = "PreviousIsRunning", fmt.Sprintf("what %s keeps is what it runs: %s", o.self, why)
	}
	return no
}

// previous is the digest of the program that is kept beside the one that runs.
func (o *Orchestrator) previous(ctx context.Context) (archive.Digest, error) {
	return (&Executable{Program: o.c.Started.Program}).Previous(ctx)
}

// back says where a member goes in the rollback r that runs program, of version,
// and has the journal j: to the program of the way; nowhere if that is nil; or
// why it cannot.
func (j journal) back(r tracking.Run, program archive.Digest, version string) (*way, string) {
	w := j.way()
	switch {
	case w != nil && w.New == program && (w.Run == r.RollbackOf || w.NewVersion == r.From && w.OldVersion == r.Archive.Version):
		return w, ""
	case version != r.From || r.From == r.Archive.Version:
		return nil, "" // what is undone did not come here, or was put back
	case w == nil || w.New != program:
		return nil, fmt.Sprintf("keeps no program from before %s", version)
	}
	return nil, fmt.Sprintf("keeps %s, and not %s", w.OldVersion, r.Archive.Version)
}

// wayBack is the part of this machine in the rollback r, looked at before anybody
// is touched. A refusal is in the result.
func (o *Orchestrator) wayBack(ctx context.Context, v view, r tracking.Run, skip []string) (tracking.Checked, *Refusal) {
	w, why := o.journal().back(r, archive.Digest(v.local.program), v.local.version)
	c := tracking.Checked{Run: r.ID, Target: v.local.program}
	var no *Refusal
	switch {
	case w != nil:
		c.Target, c.Version = string(w.Old), w.OldVersion
		no = o.mayGoBack(ctx, v, *w, skip)
	case why != "":
		no = o.noWay("NoPrevious", why, "install that version as an upgrade, or leave this one in place")
	}
	if no != nil {
		c.Reason, c.Text, c.Check = no.Reason, no.Message, no.onlyCheck()
		if no.Err != nil { // the record takes no cause
			c.Text += ": " + no.Err.Error()
		}
	}
	return c, no
}

// noWay is a refusal by this machine.
func (o *Orchestrator) noWay(reason, why, remedy string) *Refusal {
	return &Refusal{Kind: NotReady, Reason: reason, Member: o.self, Message: o.self + " " + why, Remedy: remedy}
}

// readableTime bounds a call of the hooks about the data of the host.
const readableTime = 10 * time.Second

// mayGoBack judges whether this machine can go the way w.
func (o *Orchestrator) mayGoBack(ctx context.Context, v view, w way, skip []string) *Refusal {
	forward := "build a newer release instead, and install that"
	switch d, err := o.previous(ctx); {
	case errors.Is(err, fs.ErrNotExist):
		return o.noWay("NoPrevious", "does not keep "+w.OldVersion+" any more", forward)
	case err != nil:
		return o.noWay("PreviousChanged", "cannot read the program from before: "+err.Error(), "see what lies at "+o.c.Started.Program.PreviousPath())
	case string(d) == v.local.program:
		return o.noWay("PreviousIsRunning", "keeps what it runs, "+v.local.version+", and not "+w.OldVersion, forward)
	case d != w.Old:
		return o.noWay("PreviousChanged", fmt.Sprintf("keeps something else than %s: %s has %s, not %s", w.OldVersion, o.c.Started.Program.PreviousPath(), d, w.Old),
			"find out who changed it; "+forward)
	}
	if w.Shut {
		return o.noWay("DataNotReadable", fmt.Sprintf("has data that %s cannot read any more, says %s", w.OldVersion, w.NewVersion), forward)
	}
	if o.c.Readable != nil {
		ask, cancel := context.WithTimeoutCause(ctx, readableTime, fmt.Errorf("no answer within %v", readableTime))
		err := o.c.Readable(ask, w.OldVersion)
		cancel()
		if err != nil {
			no := o.noWay("DataNotReadable", fmt.Sprintf("has data that %s cannot read", w.OldVersion), forward)
			no.Err = err
			return no
		}
	}
	p := o.prereqs(nil, skip)
	p.Back = w.Old
	p.probe = func(ctx context.Context) error {
		a, err := probe(ctx, o.c.Started.Program.PreviousPath(), o.c.ProbeTimeout)
		if err != nil {
			return err
		}
		return a.returns(o.c.Started.Identity.Product, w.OldVersion)
	}
	var no *Refusal
	errors.As(refuse(o.judge(ctx, p)), &no)
	return no
}

// into is the version that member goes to in this run.
func (v view) into(member string) string {
	var version string
	if c := v.checked(member); c != nil {
		version = c.Version
	}
	return cmp.Or(version, v.run.Archive.Version)
}
