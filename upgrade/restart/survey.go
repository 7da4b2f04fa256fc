package restart

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"
)

// A Request is one that was being served.
type Request struct {
	Method, Path string // without query: that may hold secrets
	Age          time.Duration
}

// A BusyError is returned by a Drain that came to its bound with requests still
// in flight. The drain was rolled back and nothing was lost.
type BusyError struct {
	Bound    time.Duration
	Requests []Request // being served, oldest first
	Half     int       // connections with part of a request received, or an answer half sent
}

func (e *BusyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "restart: drain: after %v ", e.Bound)
	if n := len(e.Requests); n > 0 {
		const named = 5
		fmt.Fprintf(&b, "%s still in flight: ", plural(n, "request is", "requests are"))
		for i, r := range e.Requests[:min(n, named)] {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s %s (%v)", r.Method, r.Path, r.Age.Round(time.Millisecond))
		}
		if n > named {
			fmt.Fprintf(&b, " and %d more", n-named)
		}
		b.WriteString("; end such handlers when Draining is closed, raise DrainBound, or allow CutRequests")
	}
	if e.Half > 0 {
		if len(e.Requests) > 0 {
			b.WriteString("; and ")
		}
		fmt.Fprintf(&b, "%s half-way through a request or an answer; set ReadHeaderTimeout and WriteTimeout of the server below DrainBound",
			plural(e.Half, "connection is", "connections are"))
	}
	return b.String()
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// A verdict is what a connection is to a drain.
type verdict int

const (
	hosts   verdict = iota // hijacked, or of a server that is not attached
	serving                // a request is in a handler
	between                // part of a request or of an answer is under way
	recent                 // nothing under way, but not silent for long
	quiet                  // silent for long enough to be frozen
	frozen
)

// goneAway is how long an HTTP/2 connection that was told to go away must be
// silent: its client opens no more streams, but must have heard.
const goneAway = 100 * time.Millisecond

// judge returns the verdict on a connection, the seq it holds for, and for
// recent when it may become quiet.
func (t *track) judge(now int64) (v verdict, seq uint64, at int64) {
	if h := t.held(); h != nil && h.parked.Load() {
		return frozen, h.seq, 0
	}
	seq = t.seq.Load()
	state := t.state.Load()
	silent := int64(t.s.c.Quiet)
	since := max(t.seen.Load(), t.accepted)
	switch {
	case http.ConnState(state) == http.StateHijacked:
		return hosts, seq, 0
	case t.busy():
		return serving, seq, 0
	case state == noState:
		// Between Accept and the server's first word, or nobody's we know.
		if now-since < silent {
			return recent, seq, since + silent
		}
		return hosts, seq, 0
	case http.ConnState(state) == http.StateActive, http.ConnState(state) == http.StateClosed:
		return between, seq, 0
	}
	switch p := t.proto.Load(); {
	case p == http2Proto && t.told.Load():
		silent = min(silent, int64(goneAway))
	case t.dirty.Load() && p != http2Proto && p != tlsProto:
		// In HTTP/2 and in a TLS handshake not every byte is of a request.
		return between, seq, 0
	}
	if now-since < silent {
		return recent, seq, since + silent
	}
	return quiet, seq, 0
}

func (t *track) busy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reqs != nil
}

// oldest returns when the longest-running request began, zero if there is none.
func (t *track) oldest() (since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for q := t.reqs; q != nil; q = q.next {
		since = q.since
	}
	return since
}

func (t *track) requests(list []Request) []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	for q := t.reqs; q != nil; q = q.next {
		list = append(list, Request{q.method, q.path, time.Since(q.since)})
	}
	return list
}

func (s *Sockets) connections() []*track {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	list := make([]*track, 0, len(s.conns))
	for t := range s.conns {
		list = append(list, t)
	}
	return list
}

// settle freezes what may be frozen, if force is set also what was not silent
// for long, and reports how many connections are still in the way, how many of
// the host's there are, and when to look again.
func (s *Sockets) settle(force bool) (inTheWay, hostsOwn int, next int64) {
	now := s.now()
	for _, t := range s.connections() {
		v, seq, at := t.judge(now)
		if t.raw == nil && (v == quiet || v == recent) {
			continue // not ours to hold, and nothing under way on it
		}
		switch {
		case v == frozen:
		case v == hosts, v == recent && force && t.state.Load() == noState:
			hostsOwn++
		case v == quiet, v == recent && force:
			t.freeze(seq)
			inTheWay++
		case v == recent:
			inTheWay++
			if next == 0 || at < next {
				next = at
			}
		default:
			inTheWay++
		}
	}
	return inTheWay, hostsOwn, next
}

// unasked counts the connections of list that have not been asked to leave and
// that waiting longer may help: not those that serve one long request.
func (s *Sockets) unasked(list []*track) (n int) {
	now := s.now()
	for _, t := range list {
		select {
		case <-t.closed:
			continue
		default:
		}
		v, _, _ := t.judge(now)
		if t.told.Load() || v == hosts {
			continue
		}
		if since := t.oldest(); !since.IsZero() && time.Since(since) > s.c.Quiet {
			continue
		}
		n++
	}
	return n
}

// census counts what a program that ends now leaves behind.
func (s *Sockets) census() (idle, cut, hostsOwn int) {
	now := s.now()
	for _, t := range s.connections() {
		switch v, _, _ := t.judge(now); {
		case v == hosts:
			hostsOwn++
		case v == serving, v == between, t.raw != nil && unread(t.raw):
			cut++
		default:
			idle++
		}
	}
	return idle, cut, hostsOwn
}

// busyError names what is in the way.
func (s *Sockets) busyError() *BusyError {
	e := &BusyError{Bound: s.c.DrainBound}
	now := s.now()
	for _, t := range s.connections() {
		switch v, _, _ := t.judge(now); v {
		case serving:
			e.Requests = t.requests(e.Requests)
		case between, quiet, recent:
			if t.raw != nil || v == between {
				e.Half++
			}
		}
	}
	sort.Slice(e.Requests, func(i, j int) bool { return e.Requests[i].Age > e.Requests[j].Age })
	return e
}
