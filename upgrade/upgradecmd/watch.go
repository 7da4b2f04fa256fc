package upgradecmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A watch shows a run until it is over.
type watch struct {
	s    *session
	c    client
	last upgrade.Status // before the event that is shown
	seq  int            // of the last line of the transcript that was shown

	// What to ask for once the watch has begun, so that nothing that follows from
	// it is missed; nil once it was done. When no answer came it is asked again, if
	// the status does not show that it was done after all.
	act   func(context.Context, upgrade.Status) error
	acted func(upgrade.Status) // shows that it was done, once more is known of it

	outage *outage
	cancel *tracking.Line // that announced that the run is cancelled
}

// patience is how long a watch goes on without an answer: what a member may take
// by default, and a minute.
const patience = 61 * time.Minute

// follow shows the events of the run that w.last tells of, and returns the status
// at its end. If the run is no longer in the record, over is false.
func (w *watch) follow(ctx context.Context) (status upgrade.Status, over bool, err error) {
	o := httpapi.WatchOptions{After: w.seq, Patience: patience}
	if w.last.Run != nil {
		o.Run = w.last.Run.ID
	}
	status = w.last
	for e, err := range w.c.Watch(ctx, o) {
		if err != nil {
			if err = w.broken(ctx, err); err == nil {
				// What is there instead says what became of it.
				if now, err := w.c.Status(ctx); err == nil {
					status = now
				}
			}
			return status, false, err
		}
		heard := time.Now()
		if e.Status != nil {
			status = *e.Status
		}
		if w.acted != nil {
			w.acted(status)
			w.acted = nil
		}
		if w.act != nil && (e.Type == httpapi.EventStatus || e.Type == httpapi.EventBack) {
			if err := w.act(ctx, status); err == nil {
				w.act = nil
			} else if !isConnection(err) {
				return status, false, err
			}
		}
		w.show(e, status, heard)
		if e.Type == httpapi.EventEnd {
			return status, !w.gone(status), nil
		}
		if !w.gone(status) {
			w.last = status
		}
	}
	return status, false, nil
}

// broken makes an error of one that ended a watch. A run that gave way to another
// one was cancelled, and is no error.
func (w *watch) broken(ctx context.Context, err error) error {
	var no *upgrade.Refusal
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &no) && no.Reason == httpapi.ReasonRunReplaced:
		return nil
	case w.outage != nil && isConnection(err):
		return w.unknown(err)
	}
	return err
}

func (w *watch) show(e httpapi.Event, s upgrade.Status, heard time.Time) {
	r := w.s.reporter
	switch e.Type {
	case httpapi.EventLine:
		w.seq = e.Line.Seq
		if e.Line.Type == "run.cancelling" {
			w.cancel = &e.Line
		}
		r.line(e.Line)
	case httpapi.EventGap:
		w.seq = e.To
		r.line(tracking.Line{At: s.ObservedAt, Type: "watching", Text: plural(e.To-e.From+1, "line") + " could not be shown any more"})
	case httpapi.EventStatus:
		if !w.gone(s) {
			r.status(s, heard)
		}
	case httpapi.EventLost:
		w.outage = &outage{
			planned: planned(w.last),
			run:     called(w.last.Run),
			product: product(w.last),
			member:  w.last.ObservedBy,
			single:  alone(w.last),
			since:   time.Now(),
			err:     e.Err,
			targets: w.targets(),
		}
		r.lost(*w.outage)
	case httpapi.EventRetry:
		if w.outage != nil {
			w.outage.tries, w.outage.next, w.outage.err = e.Attempt, e.Next, e.Err
			r.lost(*w.outage)
		}
	case httpapi.EventBack:
		o := outage{}
		if w.outage != nil {
			o, w.outage = *w.outage, nil
		}
		o.through, o.took = s.ObservedBy, e.Away
		o.missed = max(0, s.Transcript.Total-len(s.Transcript.Lines)-w.seq)
		o.follow = e.Missed - o.missed
		r.found(o)
		r.status(s, heard)
	}
}

// planned reports whether the record said last that the member through which we
// watch is about to restart. One that is alone may do it before it could be seen.
func planned(s upgrade.Status) bool {
	for _, m := range s.Members {
		if !alone(s) && m.ID != s.ObservedBy {
			continue
		}
		switch tracking.State(m.State) {
		case tracking.Granted, tracking.Claimed, tracking.Prepared, tracking.Restarting:
			return true
		case tracking.Pending, "":
			return alone(s) && (s.Status == string(tracking.Working) || s.Status == string(tracking.Staged))
		}
	}
	return false
}

func (w *watch) targets() string {
	if alone(w.last) {
		return clean(w.s.endpoints[0])
	}
	return memberIDs(w.last.Members)
}

// unknown says that nobody answered for as long as it made sense to wait. That is
// not a failure of the upgrade.
func (w *watch) unknown(err error) error {
	s, v := w.last, w.s.errView(0)
	who := "no member"
	if alone(s) {
		who = "the server was not"
	}
	seen := v.clock(w.outage.since) + ", " + clean(s.Status)
	for _, m := range s.Members {
		if inFlight(m.State) {
			seen += ", " + clean(m.ID) + " " + clean(m.State)
		}
	}
	if !alone(s) {
		seen += fmt.Sprintf(", %d of %d done", s.Progress.Done+s.Progress.Skipped, s.Progress.Total)
	}
	return &unknownError{err: err, lines: []string{
		who + " reachable for " + limitText(time.Since(w.outage.since).Round(time.Minute)) +
			" (limit: the " + limitText(patience-time.Minute) + " that a member may take, plus 1m).",
		"  last seen   " + seen,
		"  this means  the state is unknown; it is not known to have failed",
		"  look        " + v.hint("status"),
	}}
}

// gone reports whether s tells of another run than the one that is watched, or
// of none: then that one was cancelled.
func (w *watch) gone(s upgrade.Status) bool {
	if w.last.Run == nil {
		return false
	}
	return s.Run == nil || s.Run.ID != w.last.Run.ID || s.Status == string(tracking.None) || s.Status == "none"
}
