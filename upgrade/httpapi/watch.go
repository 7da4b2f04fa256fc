package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// WatchOptions say what to follow.
type WatchOptions struct {
	Run   string // id of the run; the one there is if ""
	After int    // lines of the transcript up to this one are known already

	// Patience is for how long no server may answer before the watch ends with
	// an error; 61 minutes, a minute more than a member may take, if zero. Before
	// the first answer ClientConfig.Retries holds.
	Patience time.Duration

	Wait time.Duration // for how long one request may be held; 30 seconds if zero
}

// An EventType says what an Event reports.
type EventType string

// The types of Events, and what is set in each besides Status.
const (
	EventLine   EventType = "line"   // Line: a line of the transcript, in order and once
	EventGap    EventType = "gap"    // From, To: lines that the server no longer has
	EventStatus EventType = "status" // the record has changed; after the lines of that change
	EventLost   EventType = "lost"   // Server, Err, Planned: no answer any more
	EventRetry  EventType = "retry"  // Server, Err, Attempt, Next: still none
	EventBack   EventType = "back"   // Server, Away, Missed: answers again
	EventEnd    EventType = "end"    // the run is over, or was removed; the last event
)

// An Event is something that Watch saw.
type Event struct {
	Type   EventType
	Run    string          // that is followed; "" before there is one
	Status *upgrade.Status // the newest, nil before the first; not to be changed

	Line     tracking.Line
	From, To int
	Server   string        // base URL
	Err      error         // why there is no answer
	Planned  bool          // a member was about to restart: as it should be
	Attempt  int           // in this outage, from 1
	Next     time.Duration // until the next attempt
	Away     time.Duration // how long there was no answer
	Missed   int           // lines that were written meanwhile, and follow
}

// Watch follows a run until it is over. It survives restarts of the servers that
// it asks: each line of the transcript comes once and in order, by its number in
// the run, and what it yields never goes back in time: an answer from before what
// was seen is passed over, as that of a server which lost its cluster. While none
// of the servers that the Client was given answers, the other members are asked, by
// the addresses that the status gives.
//
// The error, if there is one, comes last, with a zero Event: ctx is done, a
// server refused, nobody answered for WatchOptions.Patience, or the record holds
// another run (ReasonRunReplaced). Watching changes nothing, and may be ended and
// begun again at any time.
func (c *Client) Watch(ctx context.Context, o WatchOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := &watch{c: c, servers: c.newServers(), yield: yield, run: o.Run, next: o.After + 1,
			patience: cmp.Or(o.Patience, 61*time.Minute), wait: max(cmp.Or(o.Wait, 30*time.Second), time.Second)}
		if err := w.follow(ctx); !errors.Is(err, errStop) {
			yield(Event{}, err)
		}
	}
}

// errStop ends a watch without an error: it is over, or nobody listens.
var errStop = errors.New("stop")

type watch struct {
	c        *Client
	servers  servers
	yield    func(Event, error) bool
	patience time.Duration
	wait     time.Duration

	run     string
	next    int // number of the line to come
	status  *upgrade.Status
	etag    string    // of status
	tag     string    // of the answer that is looked at
	since   time.Time // of the outage, zero if there is none
	attempt int       // in the outage
	quick   int       // answers in a row that came at once and told nothing
}

func (w *watch) emit(e Event) error {
	e.Run, e.Status = w.run, w.status
	if !w.yield(e, nil) {
		return errStop
	}
	return nil
}

func (w *watch) follow(ctx context.Context) error {
	for {
		server, asked := w.servers.now, time.Now()
		s, err := w.poll(ctx, server)
		if ctx.Err() != nil {
			return fmt.Errorf("httpapi: watch: %w", context.Cause(ctx))
		}
		if err == nil {
			err = w.servers.strange(s, w.status)
		}
		if err == nil && s != nil && w.status != nil && s.Revision < w.status.Revision {
			err = &upgrade.Refusal{Kind: upgrade.Unavailable, Reason: ReasonRecordBehind,
				Message: fmt.Sprintf("%s is at revision %d of the record, behind the %d that was seen", server, s.Revision, w.status.Revision)}
		}
		switch {
		case err != nil:
			err = w.lost(ctx, server, err)
		default:
			err = w.answered(ctx, server, s, time.Since(asked))
		}
		if err != nil {
			return err
		}
	}
}

// poll asks server for a change. A nil Status says that there was none.
func (w *watch) poll(ctx context.Context, server string) (*upgrade.Status, error) {
	q := question{method: http.MethodGet, path: statusPath, query: statusQuery(), timeout: w.c.timeout}
	// After an outage the first answer has to come at once, for EventBack, and in
	// full: the status that was seen last is that of the member that was lost.
	if w.etag != "" && w.since.IsZero() {
		q.header = map[string]string{"If-None-Match": w.etag, "Prefer": "wait=" + strconv.Itoa(int(w.wait/time.Second))}
		q.timeout = w.wait + 15*time.Second
	}
	a, err := w.c.exchange(ctx, server, q)
	if err != nil || a.status == http.StatusNotModified {
		return nil, err
	}
	s := new(upgrade.Status)
	if err := a.into(s); err != nil {
		return nil, err
	}
	w.tag = a.header.Get("ETag")
	return s, nil
}

// lost is for no answer, and for one that is of no use.
func (w *watch) lost(ctx context.Context, server string, err error) error {
	seen := w.status != nil
	// A server that is starting, or a proxy before it, may answer with nearly
	// anything. That we may not look stays true, though.
	var r *upgrade.Refusal
	var failed *Error
	switch refused := errors.As(err, &r); {
	case temporary(err), w.servers.learned(server):
	case !seen, refused && r.Kind == upgrade.Forbidden, !refused && !errors.As(err, &failed):
		return err
	}
	w.servers.lost(w.since.IsZero())
	if w.since.IsZero() {
		w.since = time.Now()
		if seen {
			if stop := w.emit(Event{Type: EventLost, Server: server, Err: err, Planned: restarting(w.status)}); stop != nil {
				return stop
			}
		}
	}
	w.attempt++
	if w.servers.next() {
		return nil // at once
	}
	round := w.servers.round
	away := time.Since(w.since)
	if !seen && round >= w.c.retries {
		return err
	}
	if away >= w.patience {
		return fmt.Errorf("httpapi: watch: no use of any server for %v: %w", away.Round(time.Second), err)
	}
	pause := min(backoff(round), w.patience-away)
	if stop := w.emit(Event{Type: EventRetry, Server: server, Err: err, Attempt: w.attempt, Next: pause}); stop != nil {
		return stop
	}
	if cause := sleep(ctx, pause); cause != nil {
		return fmt.Errorf("httpapi: watch: %w", cause)
	}
	w.servers.again()
	return nil
}

// answered is for an answer that came after took.
func (w *watch) answered(ctx context.Context, server string, s *upgrade.Status, took time.Duration) error {
	newer := s != nil && (w.status == nil || s.Revision > w.status.Revision)
	if w.run == "" && s != nil && s.Run != nil {
		w.run = s.Run.ID
	}
	back, seen := !w.since.IsZero(), w.status != nil
	if s != nil {
		w.status, w.etag = s, w.tag
	}
	w.servers.answered(s)
	if back {
		e := Event{Type: EventBack, Server: server, Away: time.Since(w.since)}
		if s != nil && s.Transcript.Total >= w.next {
			e.Missed = s.Transcript.Total - w.next + 1
		}
		w.since, w.attempt = time.Time{}, 0
		if seen {
			if err := w.emit(e); err != nil {
				return err
			}
		}
	}
	if s != nil {
		if err := w.tell(s, newer); err != nil {
			return err
		}
	}
	// A server that drains answers at once, and one behind a proxy may never hold
	// a request.
	if newer || back || took > 500*time.Millisecond {
		w.quick = 0
		return nil
	}
	pause := min(backoff(w.quick), time.Second)
	w.quick++
	if err := sleep(ctx, pause); err != nil {
		return fmt.Errorf("httpapi: watch: %w", err)
	}
	return nil
}

// tell yields what is new in s, and errStop if that was the end.
func (w *watch) tell(s *upgrade.Status, newer bool) error {
	over := s.Status == "none" || s.Status == string(tracking.Finished) || s.Status == string(tracking.Failed)
	if s.Run != nil && s.Run.ID != w.run {
		return &upgrade.Refusal{Kind: upgrade.NotFound, Reason: ReasonRunReplaced,
			Message: fmt.Sprintf("run %s is no longer in the record; it holds run %s, which is %s", w.run, s.Run.ID, s.Status)}
	}
	for _, line := range s.Transcript.Lines {
		if line.Seq < w.next {
			continue
		}
		if err := w.gap(line.Seq); err != nil {
			return err
		}
		w.next = line.Seq + 1
		if err := w.emit(Event{Type: EventLine, Line: line}); err != nil {
			return err
		}
	}
	if err := w.gap(s.Transcript.Total + 1); err != nil {
		return err
	}
	if newer {
		if err := w.emit(Event{Type: EventStatus}); err != nil {
			return err
		}
	}
	if !over {
		return nil
	}
	if err := w.emit(Event{Type: EventEnd}); err != nil {
		return err
	}
	return errStop
}

// gap yields the lines before seq that will never come.
func (w *watch) gap(seq int) error {
	if seq <= w.next {
		return nil
	}
	e := Event{Type: EventGap, From: w.next, To: seq - 1}
	w.next = seq
	return w.emit(e)
}
