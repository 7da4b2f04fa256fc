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
	Restless int       // connections that have not been silent for Quiet, although nothing is under way
}

func (e *BusyError) Error() string {
	var parts []string
	if n := len(e.Requests); n > 0 {
		const most = 5
		var named []string
		for _, r := range e.Requests[:min(n, most)] {
			named = append(named, fmt.Sprintf("%s %s (%v)", r.Method, r.Path, r.Age.Round(time.Millisecond)))
		}
		if n > most {
			named = append(named, fmt.Sprintf("%d more", n-most))
		}
		parts = append(parts, fmt.Sprintf("%s still in flight: %s; end such handlers when Draining is closed, raise DrainBound, or allow CutRequests",
			plural(n, "request is", "requests are"), strings.Join(named, ", ")))
	}
	if e.Half > 0 {
		parts = append(parts, fmt.Sprintf("%s half-way through a request or an answer; set ReadHeaderTimeout and WriteTimeout of the server below DrainBound",
			plural(e.Half, "connection is", "connections are")))
	}
	if e.Restless > 0 {
		parts = append(parts, fmt.Sprintf("%s never silent for long; lower Quiet", plural(e.Restless, "connection is", "connections are")))
	}
	return fmt.Sprintf("restart: drain: after %v %s", e.Bound, strings.Join(parts, "; and "))
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

// settle freezes what may be frozen, and reports how many connections have
// something under way, how many others have not been silent for long enough, how
// many of the host's there are, and when to look again.
func (s *Sockets) settle() (busy, unsettled, hostsOwn int, next int64) {
	now := s.now()
	for _, t := range s.connections() {
		v, seq, at := t.judge(now)
		if t.raw == nil && (v == quiet || v == recent) {
			continue // not ours to hold, and nothing under way on it
		}
		switch v {
		case frozen:
		case hosts:
			hostsOwn++
		case quiet:
			t.freeze(seq)
			unsettled++
		case recent:
			unsettled++
			if next == 0 || at < next {
				next = at
			}
		default:
			busy++
		}
	}
	return busy, unsettled, hostsOwn, next
}

// unasked counts the connections of list that have not been asked to leave and
// that waiting longer may help: not those that serve one long request, and not
// HTTP/2, which is not asked yet.
func (s *Sockets) unasked(list []*track) (n int) {
	now := s.now()
	for _, t := range list {
		select {
		case <-t.closed:
			continue
		default:
		}
		v, _, _ := t.judge(now)
		if t.told.Load() || v == hosts || t.proto.Load() == http2Proto {
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

// dismiss closes the frozen connections whose clients have said nothing since:
// whoever speaks later finds that out, and connects again.
func (s *Sockets) dismiss() {
	for _, t := range s.connections() {
		h := t.held()
		if h == nil || !h.parked.Load() || unread(t.raw) {
			continue
		}
		t.told.Store(true) // counted as retired
		t.raw.Close()
		t.letGo(h)
	}
}

// busyError names what is in the way.
func (s *Sockets) busyError() *BusyError {
	e := &BusyError{Bound: s.c.DrainBound}
	now := s.now()
	for _, t := range s.connections() {
		switch v, _, _ := t.judge(now); v {
		case serving:
			e.Requests = t.requests(e.Requests)
		case between:
			e.Half++
		case quiet, recent:
			if t.raw != nil {
				e.Restless++
			}
		}
	}
	sort.Slice(e.Requests, func(i, j int) bool { return e.Requests[i].Age > e.Requests[j].Age })
	return e
}
