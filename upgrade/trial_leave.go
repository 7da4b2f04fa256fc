package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A program that is put back from within serves: it leaves as before any other
// restart, if the host has said how (Config) and has called Run. But it is no
// good, and may hang in any of this; then it goes on without.

const (
	// parkBound is ample for Run to end the step that it is at.
	parkBound = 5 * time.Second
	// hookGrace is ample for a hook to return whose time is up.
	hookGrace = time.Second
)

// errEnding is why a program that was put back is not started: the process ends,
// and whoever starts the server next starts that one.
var errEnding = errors.New("the server ends")

// hosted notes who knows how to leave.
func (t *trial) hosted(o *Orchestrator) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.host = o
}

// running returns the Orchestrator if its Run was called, and otherwise nil.
func (t *trial) running() *Orchestrator {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ran {
		return nil
	}
	return t.host
}

// become is how the process becomes another program with its sockets; nil if there
// is no such way.
func (t *trial) become() func(ctx context.Context, path string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.host == nil:
		return nil
	case t.host.c.Restart.InPlace:
		return t.host.c.Restart.Restart
	}
	return t.host.c.Restart.Become
}

// depart starts the program that was put back in place of this process. It returns
// only if that failed. A host that was stopped cannot go on then, and Run returns;
// any other serves on, and takes no more part in upgrades.
func (s *Started) depart(why string) error {
	undo, err := s.farewell(why)
	if err != nil {
		s.life.over()
		return err
	}
	err = s.startOver()
	o := s.trial.running()
	if o == nil || o.c.Stop == nil {
		s.life.over()
		undo()
		if o != nil {
			o.c.Logger.Error("the program from before is put back, and could not be started; start the server again", "error", err)
		}
		return err
	}
	// Whoever watches is not told that it is over: it sees the end of this process, and
	// starts what is in place.
	o.dead <- fmt.Errorf("the program from before is put back, the host was stopped, and it could not be started: %w; start the server again", err)
	if !o.parks() {
		s.exit(1)
	}
	return err
}

// farewell lets the clients finish and stops the host, where that has come to Run.
// undo lets clients in again. The error is errEnding.
func (s *Started) farewell(why string) (undo func(), err error) {
	o := s.trial.running()
	if o == nil {
		return func() {}, nil
	}
	o.c.Logger.Warn("this program is no good, and makes way for the one before", "which", why)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go s.attend(ctx, cancel)
	close(o.leaves)
	o.parks() // what it is at may be a Drain of its own
	undo = o.lastDrain(ctx)
	if s.ends() {
		return undo, errEnding // by a stop of its own
	}
	o.lastStop(ctx)
	if s.ends() {
		return undo, errEnding
	}
	return undo, nil
}

// ends reports whether somebody else ends the process.
func (s *Started) ends() bool {
	select {
	case <-s.trial.over:
	case <-s.process.Gone:
	default:
		return false
	}
	return true
}

// attend cancels ctx when somebody else ends the process, and until then has who
// watches it know that it is being put back.
func (s *Started) attend(ctx context.Context, cancel context.CancelCauseFunc) {
	again := time.NewTicker(returnBound / 4)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			s.life.say(wordReturns)
		case <-s.trial.over:
			cancel(errEnding)
		case <-s.process.Gone:
			cancel(errEnding)
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// parks waits until Run takes no more part, and reports whether it does not: it may
// hang.
func (o *Orchestrator) parks() bool {
	t := time.NewTimer(parkBound)
	defer t.Stop()
	select {
	case <-o.parked:
	case <-o.ended:
	case <-t.C:
		return false
	}
	return true
}

// park is the end of Run's part: until ctx is done, or the host has to end.
func (o *Orchestrator) park(ctx context.Context) error {
	select {
	case <-o.leaves:
	default:
		return nil
	}
	close(o.parked)
	select {
	case err := <-o.dead:
		return err
	case <-ctx.Done():
		return nil
	}
}

// lastDrain makes the clients leave, if the host has said how. undo lets them in
// again; it is never nil.
func (o *Orchestrator) lastDrain(ctx context.Context) (undo func()) {
	if o.c.Drain == nil {
		return func() {}
	}
	undo, err := within(ctx, o.c.DrainTimeout, "requests did not end", o.c.Drain)
	if err != nil {
		o.c.Logger.Warn("let the clients finish before the restart", "error", err)
	}
	if undo == nil {
		return func() {}
	}
	return undo
}

// lastStop stops the host, if that has said how.
func (o *Orchestrator) lastStop(ctx context.Context) {
	if o.c.Stop == nil {
		return
	}
	if _, err := within(ctx, o.c.StopTimeout, "not done", func(ctx context.Context) (struct{}, error) { return struct{}{}, o.c.Stop(ctx) }); err != nil {
		o.c.Logger.Warn("stop before the restart", "error", err)
	}
}

// within returns what f does, or, a moment after its time is up, without it.
func within[T any](ctx context.Context, limit time.Duration, late string, f func(context.Context) (T, error)) (result T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s within %v", late, limit))
	defer cancel()
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var out outcome
		defer func() { done <- out }() // also if the goroutine ends in f
		out.result, out.err = f(ctx)
	}()
	select {
	case out := <-done:
		return out.result, out.err
	case <-ctx.Done():
	}
	t := time.NewTimer(hookGrace)
	defer t.Stop()
	select {
	case out := <-done:
		return out.result, out.err
	case <-t.C:
		return result, context.Cause(ctx)
	}
}
