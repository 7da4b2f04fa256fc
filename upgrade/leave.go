package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/internal/durable"
	"github.com/leaderlast/leaderlast/tracking"
)

// ask makes the clients leave, and asks for the restart.
func (o *Orchestrator) ask(ctx context.Context, v view) error {
	t := *v.run.Turn(o.self)
	if !v.local.drained {
		undo := func() {}
		if o.c.Drain != nil && !o.c.Restart.Overlaps {
			drain, cancel := context.WithTimeoutCause(ctx, o.c.DrainTimeout, fmt.Errorf("requests did not end within %v", o.c.DrainTimeout))
			u, err := o.c.Drain(drain)
			cancel()
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				if t.Attempt >= maxAttempts {
					return o.swapView(ctx, v, v.failTurn(t, "DrainFailed", "could not let its clients finish: "+err.Error()))
				}
				s := v.turnStep(o.self, tracking.Prepared, "clients did not finish, tries again: "+err.Error(), func(n *tracking.Turn) { n.Attempt++ })
				return o.swapView(ctx, v, s)
			}
			if u != nil {
				undo = u
			}
		}
		o.remember(func(m *memory) { m.drained, m.undo = true, undo })
	}
	nonce, asked := newID(8), time.Now()
	r := v.next()
	n := r.Turn(o.self)
	n.Asked, n.Answer = nonce, ""
	err := o.swapRun(ctx, v, r)
	if err != nil {
		return err
	}
	o.remember(func(m *memory) { m.nonce, m.asked = nonce, asked })
	return nil
}

// leave stops the host, puts the new program in place and starts it. It was
// granted; the file and the process differ from Commit to Restart.
func (o *Orchestrator) leave(ctx context.Context, v view) error {
	path := o.c.Started.Program.Path
	overlaps := o.c.Restart.Overlaps
	// Commit puts this file in place, or, if it is not what Prepare made, none.
	next, _ := durable.OS{}.Lstat(o.c.Started.Program.NextPath())
	if err := o.journalize(func(j *journal) {
		if j.Phase, j.NewFile = phaseReplacing, stampOf(next); overlaps {
			j.Waits = o.c.Started.BootID
		}
	}); err != nil {
		o.stay(gaveUp(err))
		return nil
	}
	if s, err := o.lastLook(ctx, v); err != nil {
		return err
	} else if s.do != actNothing {
		return o.swapView(ctx, v, s)
	}
	unwatch, err := o.watched(ctx)
	if err != nil {
		o.stay(gaveUp(err))
		return nil
	}
	defer unwatch() // unless the next program goes on in this process
	stopped := false
	if o.c.Stop != nil && !overlaps {
		stopped = true
		stop, cancel := context.WithTimeoutCause(ctx, o.c.StopTimeout, fmt.Errorf("not done within %v", o.c.StopTimeout))
		if err := o.c.Stop(stop); err != nil {
			o.c.Logger.Warn("stop before the restart", "error", err)
		}
		cancel()
	}
	if late := o.late(); late && stopped {
		unwatch()
		return o.startAgain(ctx, path)
	} else if late {
		v.local.stale = true
		return o.swapView(ctx, v, v.lapse(*v.run.Turn(o.self)))
	}
	err = o.c.Replacer.Commit(ctx)
	committed := err == nil
	if err != nil {
		err = fmt.Errorf("put the new program in place: %w", err)
	} else if err = o.restart(ctx, path); err == nil {
		<-ctx.Done() // somebody ends this process
		return nil
	} else if overlaps {
		return o.takeBack(ctx, err)
	}
	// A Commit may fail after its rename. What somebody else put there stays.
	kept := true // what was kept before is still there to go back to
	if committed || o.installed(ctx, v.run.Turn(o.self).Digest) {
		var back error
		if kept, back = o.putBack(ctx, v.run.Kind == tracking.KindRollback); back != nil {
			err = errors.Join(err, fmt.Errorf("put the old program back: %w", back))
		}
	}
	given := func(j *journal) {
		gaveUp(err)(j)
		if !kept {
			j.Kept = nil
		}
	}
	o.c.Logger.Error("the restart failed", "error", err)
	if !stopped {
		o.stay(given)
		return nil
	}
	if saved := o.journalize(given); saved != nil {
		err = errors.Join(err, saved)
	}
	unwatch()
	if again := o.c.Restart.Restart(ctx, path); again != nil {
		return &deadError{fmt.Errorf("the host was stopped, and neither program could be started: %w", errors.Join(err, again))}
	}
	<-ctx.Done()
	return nil
}

func (o *Orchestrator) restart(ctx context.Context, path string) error {
	if o.c.Restart.Overlaps {
		defer o.waits()()
	}
	defer o.c.Started.life.hand()()
	if err := o.c.Restart.Restart(ctx, path); err != nil {
		return fmt.Errorf("restart (%s): %w", o.c.Restart.Name, err)
	}
	return nil
}

// putBack puts the program that runs back in place. In a rollback the one that
// was to take its place is kept as it was, so that it may be tried again; kept
// says so.
func (o *Orchestrator) putBack(ctx context.Context, rollback bool) (kept bool, err error) {
	if rollback {
		_, err := o.c.Replacer.PrepareBack(ctx)
		if err == nil {
			err = o.c.Replacer.Commit(ctx)
		}
		if err == nil {
			return true, nil
		}
		o.c.Logger.Warn("keep the program to go back to", "error", err)
	}
	return false, o.c.Replacer.Restore(ctx)
}

// late reports whether the permission to restart has lapsed: Stop may have taken
// long, or this process may have stood still in it, and the run may be over.
func (o *Orchestrator) late() (late bool) {
	o.remember(func(m *memory) { late = m.stale(o.c.RestartLease) })
	return late
}

// startAgain starts the program that runs now once more: the host was stopped,
// and the new program may not be put in place any more. The next process finds in
// the record what becomes of its turn.
func (o *Orchestrator) startAgain(ctx context.Context, path string) error {
	o.c.Logger.Warn("the permission to restart lapsed while the host was stopped: the new program is not put in place", "lease", o.c.RestartLease)
	saved := o.journalize(func(j *journal) { j.Phase = phaseClaimed })
	if err := o.c.Restart.Restart(ctx, path); err != nil {
		return &deadError{fmt.Errorf("the host was stopped, and its program could not be started again: %w", errors.Join(err, saved))}
	}
	<-ctx.Done()
	return nil
}

// lastLook makes sure, right before there is no way back, that the permission to
// restart still holds: leadership may have come here since it was given.
func (o *Orchestrator) lastLook(ctx context.Context, v view) (step, error) {
	var err error
	if v.members, err = o.c.Cluster.Members(ctx); err != nil {
		return step{}, fmt.Errorf("upgrade: members: %w", err)
	}
	o.remember(func(m *memory) { v.local.stale = m.stale(o.c.RestartLease) })
	if t := *v.run.Turn(o.self); v.local.stale || v.mustHandOver(t) {
		return v.lapse(t), nil
	}
	return step{}, nil
}

// installed reports whether the program with that digest lies at the path.
func (o *Orchestrator) installed(ctx context.Context, digest string) bool {
	now, err := ProgramAt(o.c.Started.Program.Path)
	if err != nil {
		return false
	}
	d, err := now.Digest(ctx)
	return err == nil && string(d) == digest
}

// gaveUp notes why a restart was given up.
func gaveUp(why error) func(*journal) {
	return func(j *journal) { j.Phase, j.Trouble = phaseClaimed, why.Error() }
}

// stay notes why the restart was given up; the turn fails with it. This process
// goes on, so that it knows by itself if the journal cannot be written.
func (o *Orchestrator) stay(given func(*journal)) {
	if err := o.c.Started.ledger.note(given); err != nil {
		o.c.Logger.Warn("write the journal", "error", err)
	}
}

// letIn lets clients in again.
func (o *Orchestrator) letIn() {
	o.remember(func(m *memory) {
		if m.undo != nil {
			m.undo()
		}
		m.undo, m.drained, m.nonce = nil, false, ""
	})
}

func (o *Orchestrator) journal() journal { return o.c.Started.ledger.now() }

func (o *Orchestrator) journalize(edit func(*journal)) error { return o.c.Started.ledger.edit(edit) }

// tidy lets clients in again and forgets what was prepared: no turn of this
// member is in flight any more.
func (o *Orchestrator) tidy(ctx context.Context) error {
	o.letIn()
	phase := o.journal().Phase
	unfinished := phase == phaseClaimed || phase == phaseReplacing || phase == phaseReturning
	o.remember(func(m *memory) { m.tidied = true })
	err := o.c.Replacer.Discard(ctx)
	switch {
	case err != nil && ctx.Err() == nil && !unfinished:
		// Whatever is in the way is not of a turn of ours; the prerequisites name it.
		o.c.Logger.Warn("sweep beside the program", "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("upgrade: discard what was prepared: %w", err)
	case !unfinished:
		return nil
	}
	return o.journalize(func(j *journal) { *j = j.closed() })
}
