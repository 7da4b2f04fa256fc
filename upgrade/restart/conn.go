package restart

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// What is spoken on a connection, as far as is known.
const (
	unknownProto int32 = iota
	plainProto         // not TLS, and not HTTP/2 from its first bytes on
	tlsProto           // TLS, before the handshake has said what for
	http1Proto
	http2Proto
)

// noState stands before the first http.ConnState: no attached server has spoken
// of the connection.
const noState = -1

// A track is what is known of one connection. Whoever changes what a survey
// reads does it first and adds to seq last: a judgement over an unchanged seq
// still holds.
type track struct {
	s   *Sockets
	raw net.Conn // nil if it was accepted by a listener that is not ours

	accepted int64
	seq      atomic.Uint64
	state    atomic.Int32 // http.ConnState or noState
	proto    atomic.Int32
	seen     atomic.Int64 // when it last read a byte or fell idle
	dirty    atomic.Bool  // bytes were read since it was new or idle
	told     atomic.Bool  // an answer that asks the client to leave is on its way

	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	want time.Time // the read deadline that the server wants
	hold *hold
	reqs *request // being served, newest first
}

// A hold asks a connection to read nothing more. It succeeds (parked) only if
// the reader finds that nothing has happened since the connection was judged:
// then nothing of it is in user space but the server's blocked Read.
type hold struct {
	seq     uint64
	parked  atomic.Bool
	release chan struct{}
}

// watch returns c so wrapped that it is tracked until it is closed. What the
// wrapper embeds keeps sendfile and CloseWrite working.
func (s *Sockets) watch(c net.Conn) net.Conn {
	t := s.track(c)
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcpConn{TCPConn: c, t: t}
	case *net.UnixConn:
		return &unixConn{UnixConn: c, t: t}
	default:
		return &otherConn{Conn: c, t: t}
	}
}

func (s *Sockets) track(raw net.Conn) *track {
	t := &track{s: s, raw: raw, accepted: s.now(), closed: make(chan struct{})}
	t.state.Store(noState)
	s.connMu.Lock()
	s.conns[t] = struct{}{}
	s.connMu.Unlock()
	return t
}

func (t *track) gone() {
	t.once.Do(func() {
		close(t.closed)
		t.s.connMu.Lock()
		delete(t.s.conns, t)
		t.s.connMu.Unlock()
		if t.told.Load() && http.ConnState(t.state.Load()) != http.StateHijacked {
			t.s.retired.Add(1)
		}
		t.s.notify()
	})
}

func (t *track) read(p []byte) (int, error) {
	for {
		n, err := t.raw.Read(p)
		if n > 0 {
			t.got(p[:n])
			return n, err
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		t.mu.Lock()
		h := t.hold
		t.mu.Unlock()
		if h == nil {
			return n, err
		}
		if t.seq.Load() != h.seq {
			t.letGo(h)
			t.s.notify() // judge it again
			continue
		}
		h.parked.Store(true)
		t.s.notify()
		select {
		case <-h.release:
		case <-t.closed:
			return 0, net.ErrClosed
		}
	}
}

func (t *track) got(p []byte) {
	if t.proto.Load() == unknownProto {
		t.proto.Store(sniff(p))
	}
	t.seen.Store(t.s.now())
	t.dirty.Store(true)
	t.seq.Add(1)
}

// sniff tells from the first bytes of a connection what is spoken on it.
func sniff(p []byte) int32 {
	switch {
	case p[0] == 0x16: // a TLS handshake record
		return tlsProto
	case len(p) >= 3 && string(p[:3]) == "PRI": // RFC 9113, 3.4
		return http2Proto
	}
	return plainProto
}

// setReadDeadline remembers what the server wants while the connection is held.
func (t *track) setReadDeadline(d time.Time, both bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.want = d
	if both {
		if t.hold == nil {
			return t.raw.SetDeadline(d)
		}
		return t.raw.SetWriteDeadline(d)
	}
	if t.hold != nil {
		return nil
	}
	return t.raw.SetReadDeadline(d)
}

// freeze asks the connection to park if nothing has happened since seq.
func (t *track) freeze(seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hold != nil {
		return
	}
	t.hold = &hold{seq: seq, release: make(chan struct{})}
	t.raw.SetReadDeadline(longAgo()) // fails only on a closed connection
}

// thaw lets a connection read again.
func (t *track) thaw() {
	t.mu.Lock()
	h := t.hold
	t.mu.Unlock()
	if h != nil {
		t.letGo(h)
	}
}

func (t *track) letGo(h *hold) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hold != h {
		return
	}
	t.hold = nil
	t.raw.SetReadDeadline(t.want)
	close(h.release)
}

// held returns the hold in effect, nil if there is none.
func (t *track) held() *hold {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hold
}

// setState is told by an attached server.
func (t *track) setState(st http.ConnState) {
	if st == http.StateIdle {
		t.dirty.Store(false)
		t.seen.Store(t.s.now())
	}
	t.state.Store(int32(st))
	t.seq.Add(1)
	t.s.notify()
}

type tcpConn struct {
	*net.TCPConn
	t *track
}

func (c *tcpConn) Read(p []byte) (int, error)        { return c.t.read(p) }
func (c *tcpConn) Close() error                      { defer c.t.gone(); return c.TCPConn.Close() }
func (c *tcpConn) SetDeadline(d time.Time) error     { return c.t.setReadDeadline(d, true) }
func (c *tcpConn) SetReadDeadline(d time.Time) error { return c.t.setReadDeadline(d, false) }
func (c *tcpConn) tracked() *track                   { return c.t }

type unixConn struct {
	*net.UnixConn
	t *track
}

func (c *unixConn) Read(p []byte) (int, error)        { return c.t.read(p) }
func (c *unixConn) Close() error                      { defer c.t.gone(); return c.UnixConn.Close() }
func (c *unixConn) SetDeadline(d time.Time) error     { return c.t.setReadDeadline(d, true) }
func (c *unixConn) SetReadDeadline(d time.Time) error { return c.t.setReadDeadline(d, false) }
func (c *unixConn) tracked() *track                   { return c.t }

type otherConn struct {
	net.Conn
	t *track
}

func (c *otherConn) Read(p []byte) (int, error)        { return c.t.read(p) }
func (c *otherConn) Close() error                      { defer c.t.gone(); return c.Conn.Close() }
func (c *otherConn) SetDeadline(d time.Time) error     { return c.t.setReadDeadline(d, true) }
func (c *otherConn) SetReadDeadline(d time.Time) error { return c.t.setReadDeadline(d, false) }
func (c *otherConn) tracked() *track                   { return c.t }
