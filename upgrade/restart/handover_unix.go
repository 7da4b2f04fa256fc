//go:build unix

package restart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// hookBound is what Reacquire and Stop are given: the restart is decided then,
	// whatever has become of its context.
	hookBound = time.Minute
	// farewell is ample for the successor to take the last word.
	farewell = time.Second
	// reapBound is ample for a process to end that has closed everything.
	reapBound = time.Second
)

func (s *Sockets) checkHandOver(ctx context.Context, c HandOverConfig, path string) error {
	err := c.check()
	if err == nil {
		err = s.checkStart(path)
	}
	if err == nil {
		err = s.overlapped()
	}
	if err == nil {
		err = seeEvidence().follows(os.Getpid(), c.Trust)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("restart: hand-over: %w", err)
	}
	return nil
}

// A handOver is one under way.
type handOver struct {
	s        *Sockets
	c        HandOverConfig
	begun    time.Time // the drain, or Ready of the child
	undo     func()    // of the drain
	gates    []*gate
	child    *successor
	released bool
}

func (s *Sockets) restartHandOver(ctx context.Context, c HandOverConfig, path string) error {
	if err := s.begin(ctx, "hand-over"); err != nil {
		return err
	}
	defer s.over()
	if err := s.checkHandOver(ctx, c, path); err != nil {
		return err
	}
	told, _ := daemon.SdNotify(false, reloading())
	h := &handOver{s: s, c: c, begun: time.Now()}
	err := h.advance(ctx, path)
	if err == nil {
		h.leave(ctx)
		return nil // never
	}
	err = h.back(ctx, err)
	if told && !errors.Is(err, ErrNotReacquired) {
		daemon.SdNotify(false, daemon.SdNotifyReady)
	}
	return fmt.Errorf("restart: hand-over to %s: %w", path, err)
}

// advance goes as far as there is a way back.
func (h *handOver) advance(ctx context.Context, path string) (err error) {
	s, c := h.s, h.c
	var p predecessor
	var d *drain
	if c.Release != nil {
		if h.undo, err = s.Drain(ctx); err != nil {
			return err
		}
		if err := c.Release(ctx); err != nil {
			return fmt.Errorf("release: %w", err)
		}
		h.released = true
		s.dismiss()
		p = s.account()
		h.gates = s.gates()
	} else {
		if d, h.gates, err = s.beginDrain(); err != nil {
			return err
		}
		h.undo = sync.OnceFunc(func() { s.undrain(h.gates) })
	}
	s.keepFiles(true)
	if h.child, err = s.spawn(ctx, path, p); err != nil {
		return err
	}
	if err := h.await(ctx, h.child.ready, false, c.ReadyTimeout, "before it was ready"); err != nil {
		return err
	}
	if c.Release == nil {
		h.begun = time.Now()
		s.retired.Store(0)
		s.lame.Store(true)
		if err := s.stopAccepting(ctx, d, h.gates); err != nil {
			return err
		}
	}
	if c.Until == UntilReady {
		return nil
	}
	return h.await(ctx, h.child.confirmed, true, c.ConfirmTimeout, "before it was confirmed")
}

// await waits for a word of the successor. The last one counts although it has
// ended since: others may have acted on it.
func (h *handOver) await(ctx context.Context, word <-chan struct{}, last bool, limit time.Duration, before string) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	c := h.child
	select {
	case <-word:
		if last || !isClosed(c.ended) {
			return nil
		}
	case <-c.ended:
		closedWithin(c.mute, reapBound) // what it has said may be under way
	case <-c.mute:
		closedWithin(c.ended, reapBound) // it is about to end, or has closed what it was to report by
	case <-timer.C:
		return fmt.Errorf("the successor (process %d) took longer than %v, %s, and was ended: %w; see what it has written", c.process.Pid, limit, before, os.ErrDeadlineExceeded)
	case <-ctx.Done():
		return fmt.Errorf("%s the successor (process %d) was ended: %w", before, c.process.Pid, context.Cause(ctx))
	}
	switch {
	case last && isClosed(word):
		return nil
	case isClosed(c.ended):
		return fmt.Errorf("the successor (process %d) %s, %s; see what it has written", c.process.Pid, c.fate(), before)
	}
	return fmt.Errorf("the successor (process %d) closed its link to this program %s, and was ended", c.process.Pid, before)
}

// back returns to where the hand-over began, and err with what could not be undone.
func (h *handOver) back(ctx context.Context, err error) error {
	if h.child != nil {
		if e := h.child.end(); e != nil {
			err = fmt.Errorf("%w; %w", err, e)
		}
	}
	h.s.keepFiles(false)
	if h.released {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookBound)
		defer cancel()
		if e := h.c.Reacquire(ctx); e != nil {
			return fmt.Errorf("%w; %w: %w; the server stays drained, start it over", err, ErrNotReacquired, e)
		}
	}
	if h.undo != nil {
		h.undo()
	}
	return fmt.Errorf("%w; this program serves on", err)
}

// leave ends this process. The successor is on its own from here on.
func (h *handOver) leave(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	// One message: after it the next one would be of a process that is not the
	// main one any more.
	daemon.SdNotify(false, fmt.Sprintf("MAINPID=%d\n%s", h.child.process.Pid, daemon.SdNotifyReady))
	for _, g := range h.gates {
		g.acceptor.Close() // or clients would wait in vain if the successor ended now
	}
	if !h.released {
		h.s.seeOff(ctx, h.c.Linger)
	}
	r := Report{Waited: time.Since(h.begun)}
	idle, cut, hosts := h.s.census()
	r.Retired, r.Cut, r.Hijacked = int(h.s.retired.Load())+idle, cut, hosts
	if h.released {
		h.s.mu.Lock()
		r.Waited = h.s.drain.waited
		h.s.mu.Unlock()
	}
	if h.c.Stop != nil {
		stop, cancel := context.WithTimeout(ctx, hookBound)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.c.Stop(stop)
		}()
		select {
		case <-done:
		case <-stop.Done():
		}
	}
	if b, err := json.Marshal(r); err == nil {
		h.child.link.SetWriteDeadline(time.Now().Add(farewell))
		h.child.link.Write(b)
	}
	os.Exit(0)
}

// seeOff waits until no client is left. Who is idle at the end is frozen, so that
// no request begins that this process will not answer.
func (s *Sockets) seeOff(ctx context.Context, linger time.Duration) {
	s.watched.Store(true)
	defer s.watched.Store(false)
	err := s.await(ctx, time.Now().Add(linger), func() (bool, int64) { return len(s.connections()) == 0, 0 })
	if errors.Is(err, errBound) {
		s.await(ctx, time.Now().Add(s.c.Quiet+lastWord), func() (bool, int64) {
			_, unsettled, _, next := s.settle()
			return unsettled == 0, next
		})
	}
}
