package restart

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// acceptor is what a gate needs of the listeners of package net.
type acceptor interface {
	net.Listener
	SetDeadline(time.Time) error
}

// A gate is a listener that can pause: Accept blocks, nothing leaves the
// kernel's queue, and whoever connects meanwhile waits there. The server's
// accept loop notices nothing, neither an error nor an end.
//
// A past deadline makes a blocked Accept return, and keeps a later one from
// asking the kernel at all. That is how the gate pauses: such a deadline error is
// not for the server. One that the server has set itself is, also in a pause: it
// is how a server stops accepting without closing the socket.
type gate struct {
	acceptor
	s    *Sockets
	tune func(net.Conn) // what a fresh listener would have done to the connection

	mu       sync.Mutex
	paused   bool
	shut     bool          // until open: another program accepts from the queue
	deadline time.Time     // the server's own
	inside   int           // goroutines that may take from the queue
	change   chan struct{} // closed and replaced when one of them changes
	closed   chan struct{}
	once     sync.Once
}

func newGate(s *Sockets, a acceptor) *gate {
	return &gate{acceptor: a, s: s, change: make(chan struct{}), closed: make(chan struct{})}
}

// Accept returns the next connection, watched.
func (g *gate) Accept() (net.Conn, error) {
	for {
		if err := g.enter(); err != nil {
			return nil, err
		}
		c, err := g.acceptor.Accept()
		if err == nil {
			if g.tune != nil {
				g.tune(c)
			}
			// Known before it leaves: there is no instant at which it is
			// neither in the queue nor counted.
			c = g.s.watch(c)
		}
		g.leave()
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && !g.expired() {
			continue
		}
		return c, err
	}
}

func (g *gate) enter() error {
	for {
		g.mu.Lock()
		if !g.paused && !g.shut {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		change, deadline := g.change, g.deadline
		g.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			expired = time.After(time.Until(deadline))
		}
		select {
		case <-change:
		case <-g.closed:
			return net.ErrClosed
		case <-expired:
			return os.ErrDeadlineExceeded
		}
	}
}

// SetDeadline is that of the listeners of package net, also in a pause.
func (g *gate) SetDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = t
	g.wakeLocked()
	if g.paused {
		return nil
	}
	return g.acceptor.SetDeadline(t)
}

func (g *gate) expired() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.deadline.IsZero() && !time.Now().Before(g.deadline)
}

func (g *gate) leave() {
	g.mu.Lock()
	g.inside--
	g.wakeLocked()
	g.mu.Unlock()
}

func (g *gate) wakeLocked() {
	close(g.change)
	g.change = make(chan struct{})
}

// pause returns once nothing can leave the queue any more. If it fails, the gate
// is open again.
func (g *gate) pause(ctx context.Context) error {
	g.mu.Lock()
	g.paused = true
	err := g.acceptor.SetDeadline(longAgo())
	g.mu.Unlock()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	for err == nil {
		g.mu.Lock()
		inside, change := g.inside, g.change
		g.mu.Unlock()
		if inside == 0 {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	g.resume()
	return err
}

// resume undoes pause.
func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.paused {
		return
	}
	g.paused = false
	g.acceptor.SetDeadline(g.deadline) // fails only on a closed listener
	g.wakeLocked()
}

// open lets a gate accept that was shut from the beginning.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
	g.wakeLocked()
}

// Close closes the listening socket. It is not passed on any more.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.acceptor.Close()
}

// longAgo is a deadline that has passed on any clock.
func longAgo() time.Time { return time.Unix(1, 0) }
