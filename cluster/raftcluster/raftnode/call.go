package raftnode

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// idleCalls are the connections kept to one member for its next call.
	idleCalls = 4
	// idleTime is how long they are kept. Who accepts keeps them for longer.
	idleTime = time.Minute
	// frameTime is how long a frame may take once its first byte has come, and
	// how long a reply may wait for a caller that does not read.
	frameTime = 10 * time.Second
)

// What is asked by a call.
const (
	kindAsk     = 1 // raftcluster.Member.Answer
	kindApply   = 2 // a command of the host, to the leader
	kindMembers = 3 // a change of members, to the leader
)

// How a call is answered.
const (
	replyDone      = 1 // the body is what came of it
	replyFailed    = 2 // the body is an error's text: it was tried, or will never do
	replyNotLeader = 3 // nothing was done: ask the leader
	replyUnknown   = 4 // it may have been done, or be done later; the body says why
)

// A reply is the answer to one call.
type reply struct {
	status byte
	body   []byte
}

func failed(err error) reply { return reply{replyFailed, []byte(err.Error())} }

// caller makes calls, and keeps connections for the next ones.
type caller struct {
	port *port

	mu     sync.Mutex
	idle   map[raft.ServerID][]*line
	closed bool
}

// A line is a connection for calls.
type line struct {
	*conn
	r     *bufio.Reader
	addr  raft.ServerAddress
	taken bool          // from the pool; guarded by caller.mu
	quiet chan struct{} // closed when nobody watches it any more
	alive bool          // what the watch has found, once quiet
}

func newCaller(p *port) *caller { return &caller{port: p, idle: map[raft.ServerID][]*line{}} }

// call asks the member to for one thing, over a connection of its own. An error
// leaves open whether it was done; a *dialError says that it was not.
func (c *caller) call(ctx context.Context, to raft.Server, kind byte, body []byte) (reply, error) {
	l, err := c.line(ctx, to)
	if err != nil {
		return reply{}, &dialError{err}
	}
	interrupted := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
	r, err := l.ask(kind, body)
	if !interrupted() || err != nil {
		l.Close()
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return reply{}, fmt.Errorf("raftnode: call %s at %s: %w", to.ID, to.Address, err)
	}
	c.keep(l)
	return r, nil
}

// A dialError is that of a call which never left.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

func (l *line) ask(kind byte, body []byte) (reply, error) {
	if err := writeFrame(l, kind, body); err != nil {
		return reply{}, err
	}
	status, body, err := readFrame(l.r)
	return reply{status, body}, err
}

// line returns a connection to the member, one that was kept if that still lives.
func (c *caller) line(ctx context.Context, to raft.Server) (*line, error) {
	for {
		c.mu.Lock()
		idle := c.idle[to.ID]
		if len(idle) == 0 {
			c.mu.Unlock()
			break
		}
		l := idle[len(idle)-1]
		c.idle[to.ID] = idle[:len(idle)-1]
		l.taken = true
		c.mu.Unlock()
		l.SetReadDeadline(time.Unix(1, 0)) // ends the watch
		<-l.quiet
		if l.alive && l.addr == to.Address && l.SetReadDeadline(time.Time{}) == nil {
			return l, nil
		}
		l.Close()
	}
	conn, err := c.port.dial(ctx, to.Address, []raft.ServerID{to.ID}, protoCall)
	if err != nil {
		return nil, err
	}
	return &line{conn: conn, r: bufio.NewReader(conn), addr: to.Address}, nil
}

// keep keeps l for the next call, and watches it meanwhile: a member that has
// been restarted must not cost a call whose fate is unknown.
func (c *caller) keep(l *line) {
	l.quiet, l.taken, l.alive = make(chan struct{}), false, false
	l.SetReadDeadline(time.Now().Add(idleTime))
	c.mu.Lock()
	keep := !c.closed && len(c.idle[l.id]) < idleCalls
	if keep {
		c.idle[l.id] = append(c.idle[l.id], l)
	}
	c.mu.Unlock()
	if !keep || !c.port.tasks.run(func() { c.watch(l) }) {
		c.drop(l)
		l.Close()
		if keep {
			close(l.quiet)
		}
	}
}

// watch ends when l is taken, has been idle for too long, or is closed by the
// other side.
func (c *caller) watch(l *line) {
	defer close(l.quiet)
	_, err := l.r.Peek(1)
	var timeout net.Error
	silent := errors.As(err, &timeout) && timeout.Timeout()
	if c.drop(l) {
		l.alive = silent
		return
	}
	l.Close()
}

// drop takes l out of the pool, and says whether somebody else did so before.
func (c *caller) drop(l *line) (taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.idle[l.id] {
		if other == l {
			c.idle[l.id] = append(c.idle[l.id][:i], c.idle[l.id][i+1:]...)
		}
	}
	return l.taken
}

// close drops the connections that are kept.
func (c *caller) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, idle := range c.idle {
		for _, l := range idle {
			l.raw.Close()
		}
	}
}
