package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A queue is a net.Listener of connections that were accepted elsewhere.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// push hands c to whoever accepts, and closes it if nobody does any more.
func (q *queue) push(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		c.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

func (q *queue) Addr() net.Addr { return q.addr }

// An address is a host:port as others dial it, maybe a name.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// A stream is raft's way through the port.
type stream struct {
	*queue
	node *Node
}

// take hands a connection to raft's transport. Its handler is a task of the port
// until it closes the connection, so that Close can wait for it.
func (s *stream) take(c *conn) {
	if !s.node.port.tasks.begin() {
		c.Close()
		return
	}
	forget := c.onDone
	c.onDone = func() { forget(); s.node.port.tasks.end() }
	s.push(quiet{c, s.node.remains(c.id), s.node.port})
}

// farewell is how long a leader that was removed may still speak to its
// followers: they have to hear of it.
const farewell = 5 * time.Second

// remains returns a function that says whether the member id, which was let in,
// still is one. It is for one goroutine at a time.
func (n *Node) remains(id raft.ServerID) func() error {
	var removed time.Time
	return func() error {
		err := n.authorise(id)
		if err == nil {
			removed = time.Time{}
			return nil
		}
		if removed.IsZero() {
			removed = time.Now()
		}
		if _, leader := n.raft.LeaderWithID(); leader == id && time.Since(removed) < farewell {
			return nil
		}
		return err
	}
}

// quiet says that a connection which was closed here has ended. Raft's transport
// would log everything else as an error, for each connection of each Close. It
// ends as well where a member speaks that has been removed since it connected.
type quiet struct {
	*conn
	remains func() error
	port    *port
}

func (q quiet) Read(p []byte) (int, error) {
	n, err := q.conn.Read(p)
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	if n > 0 {
		if no := q.remains(); no != nil {
			q.port.refused(q.conn, no)
			return 0, io.EOF
		}
	}
	return n, err
}

// Dial implements raft.StreamLayer. Raft tells the address alone: the member must
// be one that the configuration has there.
func (s *stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, fmt.Errorf("no connection within %v: %w", timeout, context.DeadlineExceeded))
	defer cancel()
	select {
	case <-s.node.opened: // before that there is no configuration to ask
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c, err := s.node.port.dial(ctx, addr, s.node.at(addr), protoRaft)
	if err != nil {
		return nil, err
	}
	return c, nil
}
