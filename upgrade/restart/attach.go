package restart

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"time"
)

// A request is being served. It is an element of a list of its connection.
type request struct {
	next, prev   *request
	method, path string
	since        time.Time
}

type trackKey struct{}

// Attach makes the restart know the requests of srv: it wraps Handler and chains
// ConnState and ConnContext. Call it after those are set and before Serve, once
// for each server. It never calls Shutdown or SetKeepAlivesEnabled, which lose
// requests: so must the host not, until the process is really to end.
//
// A listener that is wrapped on its way to Serve must give connections that
// have NetConn() net.Conn, as those of package tls do; the others are taken to
// be the host's own. The requests of a server that listens on sockets of its own
// are waited for too, but nobody can stop them from coming.
func (s *Sockets) Attach(srv *http.Server) error {
	if srv == nil {
		return fmt.Errorf("restart: attach: no server: %w", os.ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.servers, srv) {
		return fmt.Errorf("restart: attach: this server is attached already: %w", os.ErrExist)
	}
	s.servers = append(s.servers, srv)

	next := srv.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	srv.Handler = &handler{s: s, next: next}

	state := srv.ConnState
	srv.ConnState = func(c net.Conn, st http.ConnState) {
		s.connState(c, st)
		if state != nil {
			state(c, st)
		}
	}

	conn := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if conn != nil {
			if ctx = conn(ctx, c); ctx == nil {
				return nil // net/http has its own word for that
			}
		}
		t := find(c)
		if t == nil && reflect.TypeOf(c).Comparable() {
			t = s.track(nil)
			s.foreign.Store(c, t)
		}
		return context.WithValue(ctx, trackKey{}, t)
	}
	return nil
}

// find returns the track of the connection that c is or is made of.
func find(c net.Conn) *track {
	for c != nil {
		switch w := c.(type) {
		case interface{ tracked() *track }:
			return w.tracked()
		case interface{ NetConn() net.Conn }:
			c = w.NetConn()
		default:
			return nil
		}
	}
	return nil
}

func (s *Sockets) connState(c net.Conn, st http.ConnState) {
	t := find(c)
	if t == nil && reflect.TypeOf(c).Comparable() {
		if v, ok := s.foreign.Load(c); ok {
			t = v.(*track)
		}
	}
	if t == nil {
		return
	}
	if tc, ok := c.(*tls.Conn); ok && (st == http.StateActive || st == http.StateIdle) {
		if p := t.proto.Load(); p != http1Proto && p != http2Proto {
			// A connection is active after its handshake only: this does not wait.
			p = http1Proto
			if tc.ConnectionState().NegotiatedProtocol == "h2" {
				p = http2Proto
			}
			t.proto.Store(p)
		}
	}
	t.setState(st)
	if t.raw == nil && (st == http.StateClosed || st == http.StateHijacked) {
		s.foreign.Delete(c)
		t.gone()
	}
}

type handler struct {
	s    *Sockets
	next http.Handler
}

// ServeHTTP lists the request and, in a lame duck, asks the client to leave. The
// header is set before the handler runs, so no writer need be wrapped: an answer
// that has begun keeps its connection, and the next one on it carries the
// header.
//
// HTTP/2 has no such header; net/http makes it a GOAWAY (golang/go#20977). Should
// it cease to, the connection would be waited for like any other. What a client
// sends while the GOAWAY is on its way is lost if its body cannot be sent twice, so
// there is one only: after accepting has paused, when the client's next
// connection is the next program's.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, _ := r.Context().Value(trackKey{}).(*track)
	if t != nil {
		q := request{method: r.Method, path: r.URL.Path, since: time.Now()}
		if q.path == "" {
			q.path = r.URL.Host // CONNECT
		}
		t.begin(&q, r.ProtoMajor)
		defer t.end(&q)
	}
	if h.s.lame.Load() && (r.ProtoMajor < 2 || h.s.paused.Load()) {
		w.Header().Set("Connection", "close")
		if t != nil && !r.Close && !t.told.Load() {
			t.told.Store(true)
			h.s.notify()
		}
	}
	h.next.ServeHTTP(w, r)
}

func (t *track) begin(q *request, major int) {
	t.mu.Lock()
	if q.next = t.reqs; q.next != nil {
		q.next.prev = q
	}
	t.reqs = q
	t.mu.Unlock()
	if p := t.proto.Load(); p != http1Proto && p != http2Proto {
		p = http1Proto
		if major >= 2 {
			p = http2Proto
		}
		t.proto.Store(p)
	}
	t.seq.Add(1)
}

func (t *track) end(q *request) {
	t.mu.Lock()
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		t.reqs = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	}
	t.mu.Unlock()
	t.seq.Add(1)
	t.s.notify()
}
