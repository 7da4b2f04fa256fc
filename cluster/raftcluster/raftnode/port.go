package raftnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	// handshakeTime is how long who connects may take to say who it is.
	handshakeTime = 5 * time.Second
	// maxHandshakes are under way at once; one more ends the oldest, so that
	// connections that say nothing cannot keep a member out.
	maxHandshakes = 64
)

// A port is one listening socket, and all connections through it or dialled from
// here. Everybody on them has shown a certificate that names a member.
type port struct {
	listener net.Listener
	identity *identity
	log      hclog.Logger
	// protocols take connections over, by ALPN, each in a goroutine of tasks.
	protocols map[string]func(*conn)

	tasks  *tasks
	ctx    context.Context // ends when all connections are cut
	cancel context.CancelFunc

	accepting context.Context // ends before ctx, when nothing is accepted any more
	decline   context.CancelFunc
	accepted  chan struct{} // closed once the accept loop has ended, nil if none was begun

	mu      sync.Mutex
	conns   map[net.Conn]struct{} // all of them, nil once closed
	half    []net.Conn            // in their handshake, oldest first
	refusal refusals
}

// A conn is a connection to the member id.
type conn struct {
	*tls.Conn
	raw    net.Conn
	id     raft.ServerID
	once   sync.Once
	onDone func()
}

// Close closes the connection at once: no farewell, which could block on a peer
// that does not read.
func (c *conn) Close() error {
	err := c.raw.Close()
	c.once.Do(c.onDone)
	return err
}

func newPort(l net.Listener, i *identity, log hclog.Logger) *port {
	p := &port{
		listener:  l,
		identity:  i,
		log:       log,
		protocols: map[string]func(*conn){},
		tasks:     newTasks(),
		conns:     map[net.Conn]struct{}{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.accepting, p.decline = context.WithCancel(p.ctx)
	return p
}

// start accepts until stop.
func (p *port) start() {
	names := make([]string, 0, len(p.protocols))
	for name := range p.protocols {
		names = append(names, name)
	}
	config := p.identity.server(names)
	p.accepted = make(chan struct{})
	go func() {
		defer close(p.accepted)
		p.accept(config)
	}()
}

func (p *port) accept(config *tls.Config) {
	const most = time.Second
	wait := 5 * time.Millisecond
	for p.accepting.Err() == nil {
		c, err := p.listener.Accept()
		if err == nil {
			wait = 5 * time.Millisecond
			p.greet(c, config)
			continue
		}
		if p.accepting.Err() != nil {
			return
		}
		if errors.Is(err, net.ErrClosed) {
			p.log.Error("the listener was closed: other members cannot reach this one any more", "address", p.listener.Addr())
			return
		}
		p.log.Error("cannot accept a connection; trying again", "address", p.listener.Addr(), "error", err)
		select {
		case <-time.After(wait):
		case <-p.accepting.Done():
		}
		wait = min(2*wait, most)
	}
}

// greet begins the handshake of c, and ends the oldest if there are too many.
func (p *port) greet(c net.Conn, config *tls.Config) {
	p.mu.Lock()
	if p.conns == nil {
		p.mu.Unlock()
		c.Close()
		return
	}
	p.conns[c] = struct{}{}
	if len(p.half) >= maxHandshakes {
		p.half[0].Close() // its handshake fails
		p.half = p.half[1:]
	}
	p.half = append(p.half, c)
	p.mu.Unlock()
	if !p.tasks.run(func() { p.handshake(c, config) }) {
		p.settled(c)
		p.forget(c)
		c.Close()
	}
}

func (p *port) handshake(raw net.Conn, config *tls.Config) {
	ctx, cancel := context.WithTimeout(p.ctx, handshakeTime)
	defer cancel()
	t := tls.Server(raw, config)
	err := t.HandshakeContext(ctx)
	p.settled(raw)
	if err != nil {
		p.forget(raw)
		raw.Close()
		if p.ctx.Err() == nil {
			p.refused(raw, err)
		}
		return
	}
	state := t.ConnectionState()
	id, _ := CertificateID(state.PeerCertificates[0]) // the handshake has seen to it
	p.protocols[state.NegotiatedProtocol](p.own(t, raw, id))
}

// own makes a tracked connection of what a handshake has ended on.
func (p *port) own(t *tls.Conn, raw net.Conn, id raft.ServerID) *conn {
	return &conn{Conn: t, raw: raw, id: id, onDone: func() { p.forget(raw) }}
}

// dial connects to one of want at addr. The error says who and why.
func (p *port) dial(ctx context.Context, addr raft.ServerAddress, want []raft.ServerID, protocol string) (*conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	fail := func(err error) (*conn, error) {
		if p.ctx.Err() != nil {
			err = net.ErrClosed
		}
		return nil, fmt.Errorf("raftnode: dial %q at %s for %s: %w", want, addr, protocol, err)
	}
	if len(want) == 0 {
		return fail(fmt.Errorf("nobody of the cluster has this address: %w", errStranger))
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", string(addr))
	if err != nil {
		return fail(err)
	}
	p.mu.Lock()
	if p.conns == nil {
		p.mu.Unlock()
		raw.Close()
		return fail(net.ErrClosed)
	}
	p.conns[raw] = struct{}{}
	p.mu.Unlock()
	t := tls.Client(raw, p.identity.client(protocol, want))
	if err := t.HandshakeContext(ctx); err != nil {
		p.forget(raw)
		raw.Close()
		if errors.Is(err, errStranger) {
			p.refused(raw, err)
		}
		return fail(err)
	}
	id, _ := CertificateID(t.ConnectionState().PeerCertificates[0])
	return p.own(t, raw, id), nil
}

// settled ends the handshake of c.
func (p *port) settled(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, h := range p.half {
		if h == c {
			p.half = append(p.half[:i], p.half[i+1:]...)
			return
		}
	}
}

func (p *port) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// stop ends accepting. The listener stays open if it knows deadlines: who
// connects waits in the kernel's queue for whoever accepts next, here or in the
// program after. One that knows none is closed.
func (p *port) stop(ctx context.Context) error {
	p.decline()
	if p.accepted == nil {
		return nil
	}
	l, lives := p.listener.(interface{ SetDeadline(time.Time) error })
	var err error
	if lives {
		err = l.SetDeadline(time.Unix(1, 0))
	} else {
		err = p.listener.Close()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	select {
	case <-p.accepted:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if lives {
		l.SetDeadline(time.Time{}) // fails only on a closed listener
	}
	return nil
}

// cut ends every connection, and dialling.
func (p *port) cut() {
	p.cancel()
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for c := range conns {
		c.Close()
	}
}

// refused logs why somebody was not let in, or not spoken to. Who shows a
// certificate that will not do is worth a warning, but strangers must not fill
// the log. Who only knocks is not.
func (p *port) refused(c net.Conn, err error) {
	var unverified *tls.CertificateVerificationError
	if !errors.Is(err, errStranger) && !errors.As(err, &unverified) {
		p.log.Debug("handshake failed", "remote", c.RemoteAddr(), "error", err)
		return
	}
	p.mu.Lock()
	log, left := p.refusal.now(time.Now())
	p.mu.Unlock()
	if log {
		p.log.Warn("connection refused", "remote", c.RemoteAddr(), "error", err, "not-logged-before", left)
	}
}

// refusals counts what is not logged: all but refusalBurst at once, and one a
// second.
type refusals struct {
	used float64 // of the burst, as of last
	last time.Time
	left int
}

const refusalBurst = 20

// now says whether to log, and how many were left out since the last time.
func (r *refusals) now(t time.Time) (log bool, left int) {
	r.used, r.last = max(0, r.used-t.Sub(r.last).Seconds()), t
	if r.used+1 > refusalBurst {
		r.left++
		return false, 0
	}
	r.used++
	left, r.left = r.left, 0
	return true, left
}
