package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// waitsEnv tells a program that its parent, the one before it, waits until it is
// confirmed, and takes over again if it comes to nothing: "<pid>:<boot id>".
const waitsEnv = "LEADERLAST_WAITS"

// waits announces to the next program that this process waits for it. The journal
// has the same word: an environment is inherited by programs that nobody waits
// for.
func (o *Orchestrator) waits() (end func()) {
	os.Setenv(waitsEnv, strconv.Itoa(os.Getpid())+":"+o.c.Started.BootID)
	return func() { os.Unsetenv(waitsEnv) }
}

// waitedFor reports whether the program before is there to take over again. Once
// it has died nobody is.
func (s *Started) waitedFor(j journal) bool {
	pid, boot, _ := strings.Cut(s.waits, ":")
	return j.Waits != "" && boot == j.Waits && pid == strconv.Itoa(s.parent())
}

// giveUp leaves it to the program before to put itself back, and ends this
// process: that one reads why, and sees the end.
func (s *Started) giveUp(why string) error {
	if err := s.ledger.seal(func(j *journal) { j.Why = why }); err != nil {
		return fmt.Errorf("upgrade: %s, and the one before could not be told: %w", s.sentence(why), err)
	}
	if _, err := s.farewell(why); err != nil {
		return fmt.Errorf("upgrade: %s: %w", s.sentence(why), err)
	}
	s.trial.end()
	s.exit(1)
	return fmt.Errorf("upgrade: %s; the one before takes over again", s.sentence(why))
}

// takeBack is what is left to do when the next program came to nothing while this
// process was there to serve on, and does: the program from before is put back at
// its path, and the record is told.
func (o *Orchestrator) takeBack(ctx context.Context, cause error) error {
	s := o.c.Started
	if ctx.Err() != nil {
		return nil // the server is to end: the next start finds the new program on trial
	}
	o.c.Logger.Error("the next program came to nothing", "error", cause)
	if err := s.ledger.reload(); err != nil {
		o.stay(gaveUp(errors.Join(cause, err)))
		return nil
	}
	j := s.ledger.now()
	if j.Confirmed || j.NoWayBack {
		// It was accepted, or has changed the data: this one is not to serve any more.
		return o.goAhead(ctx, cause)
	}
	if err := s.returnable(ctx); err != nil {
		err = errors.Join(cause, fmt.Errorf("put the old program back: %w", err))
		if errors.Is(cause, restart.ErrNotReacquired) {
			return o.goAhead(ctx, err)
		}
		o.stay(gaveUp(err))
		return nil
	}
	if err := s.ledger.edit(func(n *journal) {
		n.Phase, n.Why = phaseReturning, cmp.Or(n.Why, "came to nothing: "+cause.Error())
	}); err != nil {
		o.stay(gaveUp(errors.Join(cause, err)))
		return nil
	}
	kept, err := o.putBack(ctx, j.Back)
	if err != nil {
		o.stay(gaveUp(errors.Join(cause, fmt.Errorf("put the old program back: %w", err))))
		return nil
	}
	if errors.Is(cause, restart.ErrNotReacquired) {
		// What was released is gone from this process. A new one of the same program
		// can have it; it finds in the journal what it has to tell.
		return o.goAhead(ctx, cause)
	}
	if err := s.ledger.edit(func(n *journal) {
		*n = n.returned(kept)
		n.Tell = nil // the host has served on, and its data with it
	}); err != nil {
		return err
	}
	return fmt.Errorf("upgrade: the next program has written the record: %w", tracking.ErrConflict)
}

// goAhead starts what lies at the path in place of this process, which cannot
// serve on.
func (o *Orchestrator) goAhead(ctx context.Context, cause error) error {
	if !errors.Is(cause, restart.ErrNotReacquired) { // or the Method has let the clients finish
		o.lastDrain(ctx)
	}
	o.lastStop(ctx)
	err := o.c.Started.startOver()
	return &deadError{fmt.Errorf("the next program came to nothing, this one cannot serve on, and it could not be started anew: %w", errors.Join(cause, err))}
}
