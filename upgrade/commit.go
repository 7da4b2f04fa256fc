package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// Commit gives the way back up after a run that has finished, and returns once
// that is on record. Every member that hears of it removes the program that it
// keeps from before, once nothing of its own is in flight, and then calls
// Config.Committed; one that is down does so when it is back. It works as well
// when the record of that run was removed, as long as the members answer and run
// one version. Repeating it succeeds.
// The error is a *Refusal if members may still run different programs
// (NotFinished), or if nothing is kept (NothingToCommit).
func (o *Orchestrator) Commit(ctx context.Context, opt CommitOptions) error {
	if err := o.inRun(); err != nil {
		return err
	}
	for {
		v, err := o.observe(ctx)
		if err != nil {
			return unavailable(err)
		}
		if !v.run.Committed.IsZero() {
			return nil
		}
		o.askOthers(ctx, v)
		kept, err := v.committable(o.previousVersion())
		if err != nil {
			return err
		}
		r := v.next()
		r.Committed, r.CommittedBy = v.now, opt.By
		r.Add(v.now, "", "run.committed", fmt.Sprintf("committed%s: %s stays, no member keeps %s any more; there is no way back", by(opt.By), v.local.version, kept))
		if err := o.swapRun(ctx, v, r); err == nil {
			return nil
		} else if !errors.Is(err, tracking.ErrConflict) {
			return unavailable(err)
		}
	}
}

// committable returns the versions that are kept to go back to, where own is that
// of the local member; or why they are not given up.
func (v view) committable(own string) (kept string, err error) {
	notFinished := func(member, why string) error {
		return &Refusal{Kind: Conflict, Reason: "NotFinished", Member: member, Message: why + "; the way back is kept until all members run one version",
			Remedy: "finish the upgrade, or go back; then commit"}
	}
	switch r := v.run; {
	case r.Status == tracking.Finished, r.Status == tracking.None:
	case r.Status == tracking.Failed && v.oneVersion():
		return "", &Refusal{Kind: Conflict, Reason: "NotFinished",
			Message: fmt.Sprintf("run %s failed, and all members run %s; there is nothing of it to commit", r.ID, v.local.version),
			Remedy:  "go on with retry or another release; or leave it so, and remove the run with unstage"}
	default:
		return "", notFinished("", fmt.Sprintf("run %s is %s", r.ID, r.Status))
	}
	var versions []string
	for _, m := range v.members {
		id := string(m.ID)
		version, previous := v.reports[id].Version, v.reports[id].Previous
		if id == v.self {
			version, previous = v.local.version, own
		}
		switch {
		case version == "" || v.run.Status == tracking.None && !v.healthy(id):
			return "", notFinished(id, id+" does not say what it runs")
		case version != v.local.version:
			return "", notFinished(id, fmt.Sprintf("%s runs %s, and %s %s", id, version, v.self, v.local.version))
		}
		if previous != "" && !strings.Contains(" "+kept+" ", " "+previous+" ") {
			versions = append(versions, previous)
			kept = strings.Join(versions, " ")
		}
	}
	if kept == "" {
		return "", &Refusal{Kind: Conflict, Reason: "NothingToCommit", Message: "no member keeps a program to go back to", Remedy: "leave it so"}
	}
	return kept, nil
}

// oneVersion reports whether every member runs what the local one does, by its own
// word.
func (v view) oneVersion() bool {
	for _, m := range v.members {
		if id := string(m.ID); id != v.self && (v.reports[id].Version != v.local.version || !v.healthy(id)) {
			return false
		}
	}
	return true
}

// givesUp reports whether the local member has yet to give the way back up.
func (v view) givesUp() bool {
	ended := v.run.Status == tracking.Finished || v.run.Status == tracking.None
	return ended && !v.run.Committed.IsZero() && !v.local.forgot
}

// forgetKey names the commit on record, "" if there is none.
func forgetKey(r tracking.Run) string {
	if r.Committed.IsZero() {
		return ""
	}
	return r.ID + " " + r.Committed.Format(time.RFC3339Nano)
}

// committedTime bounds a call of Config.Committed.
const committedTime = 10 * time.Second

// forget removes the program from before, and tells the host. The journal comes
// after the files: it says what may still lie there.
func (o *Orchestrator) forget(ctx context.Context, v view) error {
	if j := o.journal(); j.Phase != phaseNone && !(j.Phase == phaseRunning && j.Confirmed) {
		return fmt.Errorf("upgrade: the program from before is not given up while the journal says %q", j.Phase)
	}
	if err := o.forgetFiles(ctx); err != nil {
		return fmt.Errorf("upgrade: give the way back up: %w", err)
	}
	if err := o.journalize(func(j *journal) { *j = j.forgotten() }); err != nil {
		return err
	}
	if o.c.Committed != nil {
		tell, cancel := context.WithTimeoutCause(ctx, committedTime, fmt.Errorf("no answer within %v", committedTime))
		defer cancel()
		if err := o.c.Committed(tell); err != nil {
			return fmt.Errorf("upgrade: tell the host that the way back is given up: %w", err)
		}
	}
	o.remember(func(m *memory) { m.forgot = forgetKey(v.run) })
	return nil
}

func (o *Orchestrator) forgetFiles(ctx context.Context) error {
	o.beside <- struct{}{} // a check may be starting it
	defer func() { <-o.beside }()
	return o.c.Replacer.Forget(ctx)
}
