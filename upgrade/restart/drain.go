package restart

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// pauseBound is ample for an accept loop to see its deadline.
	pauseBound = 5 * time.Second
	// lookAgain is the least time between two looks at all connections.
	lookAgain = 2 * time.Millisecond
	// ageAgain is when to look again for what changes by time alone.
	ageAgain = 20 * time.Millisecond
	// lastWord is ample for a silent connection to freeze.
	lastWord = 250 * time.Millisecond
)

// A drain is in effect from its beginning until it is undone, or the program
// ends.
type drain struct {
	begun  time.Time
	paused mark          // when accepting ended
	waited time.Duration // how long the drain took
}

// Drain leaves the server without a request in flight, and without a way for one
// to arrive, while every socket stays open:
//
//  1. Still accepting, answers over HTTP/1 ask their connections to leave
//     (Connection: close), until all that were there have been asked or LameDuck is
//     over.
//  2. Accepting pauses; who connects now waits in the kernel's queue. Draining is
//     closed, and HTTP/2 is asked to leave too, by GOAWAY.
//  3. It waits for the requests in flight, at most DrainBound. A connection that
//     has been silent for Quiet is frozen: what its client may still send stays
//     in the kernel. Connections of the host (hijacked, or of servers that are
//     not attached) are given Quiet to end and then left alone.
//
// What fell idle just before the bound is given Quiet beyond it. If requests are
// still in flight at the bound, or ctx ends, everything is undone, nothing is
// lost, and the error says why: a *BusyError names them. With CutRequests they
// stay.
//
// undo makes the server serve on as if nothing had been, what arrived meanwhile
// included; it may be called more than once. Between the two, Exec replaces the
// program. A second Drain meanwhile is refused with ErrDraining.
func (s *Sockets) Drain(ctx context.Context) (undo func(), err error) {
	d, gates, err := s.beginDrain()
	if err != nil {
		return nil, fmt.Errorf("restart: drain: %w", err)
	}
	undo = sync.OnceFunc(func() { s.undrain(gates) })
	if err := s.drainTo(ctx, d, gates); err != nil {
		undo()
		return nil, err
	}
	d.waited = time.Since(d.begun)
	return undo, nil
}

// beginDrain lets one at a time through.
func (s *Sockets) beginDrain() (*drain, []*gate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drain != nil {
		return nil, nil, ErrDraining
	}
	s.drain = &drain{begun: time.Now()}
	return s.drain, s.gatesLocked(), nil
}

func (s *Sockets) drainTo(ctx context.Context, d *drain, gates []*gate) error {
	s.retired.Store(0)
	existing := s.connections()
	s.watched.Store(true)
	defer s.watched.Store(false)
	s.lame.Store(true)

	lame := time.Now().Add(max(0, s.c.LameDuck))
	err := s.await(ctx, lame, func() (bool, int64) {
		return s.unasked(existing) == 0, s.now() + int64(ageAgain) // a request that grows old is no event
	})
	if err != nil && !errors.Is(err, errBound) {
		return err
	}
	if err := s.stopAccepting(ctx, d, gates); err != nil {
		return err
	}
	bound := time.Now().Add(s.c.DrainBound)
	patience := time.Now().Add(s.c.Quiet) // with what is the host's
	settled := func() (bool, int64) {
		busy, unsettled, hosts, next := s.settle()
		if busy+unsettled > 0 {
			return false, next
		}
		return hosts == 0 || !time.Now().Before(patience), int64(patience.Sub(s.epoch))
	}
	err = s.await(ctx, bound, settled)
	if errors.Is(err, errBound) {
		if busy, _, _, _ := s.settle(); busy == 0 {
			// Nothing is in flight: what fell idle just now gets its time.
			err = s.await(ctx, time.Now().Add(s.c.Quiet+lastWord), settled)
		}
	}
	if errors.Is(err, errBound) {
		if s.c.CutRequests {
			return nil
		}
		return s.busyError()
	}
	return err
}

var errBound = errors.New("bound")

// await calls done, each time something has changed or the instant it names has
// come, until it is true, the bound is over (errBound) or ctx ends.
func (s *Sockets) await(ctx context.Context, bound time.Time, done func() (bool, int64)) error {
	for {
		ok, next := done()
		if ok {
			return nil
		}
		left := time.Until(bound)
		if left <= 0 {
			return errBound
		}
		if next > 0 {
			left = min(left, time.Duration(next-s.now()))
		}
		select {
		case <-s.changed:
			// Many change at once: look at them together.
			if err := pauseFor(ctx, lookAgain); err != nil {
				return err
			}
		case <-time.After(max(left, lookAgain)):
		case <-ctx.Done():
			return fmt.Errorf("restart: drain: %w", context.Cause(ctx))
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("restart: drain: %w", context.Cause(ctx))
	}
}

// stopAccepting leaves who connects from now on in the kernel's queue, or to
// whoever else accepts from it.
func (s *Sockets) stopAccepting(ctx context.Context, d *drain, gates []*gate) error {
	if err := s.pause(ctx, gates); err != nil {
		return err
	}
	d.paused = markNow()
	s.paused.Store(true)
	s.mu.Lock()
	close(s.draining)
	s.mu.Unlock()
	return nil
}

func (s *Sockets) pause(ctx context.Context, gates []*gate) error {
	ctx, cancel := context.WithTimeout(ctx, pauseBound)
	defer cancel()
	for _, g := range gates {
		if err := g.pause(ctx); err != nil {
			return fmt.Errorf("restart: drain: stop accepting on %v: %w", g.Addr(), err)
		}
	}
	return nil
}

// undrain undoes whatever of a drain was done.
func (s *Sockets) undrain(gates []*gate) {
	s.lame.Store(false)
	s.paused.Store(false)
	for _, t := range s.connections() {
		t.thaw()
	}
	s.mu.Lock()
	select {
	case <-s.draining:
		s.draining = make(chan struct{})
	default:
	}
	s.drain = nil
	s.mu.Unlock()
	for _, g := range gates {
		g.resume()
	}
}
