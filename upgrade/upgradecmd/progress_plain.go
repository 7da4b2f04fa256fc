package upgradecmd

import (
	"fmt"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

const (
	heartbeat  = time.Minute      // of a watch in which nothing happens
	uploadBeat = 30 * time.Second // of an upload that is slow
)

// A plainReporter appends: one line for each thing that happened, and nothing
// that is ever taken back.
type plainReporter struct {
	print   func(lines ...string)
	mu      sync.Mutex
	what    string // is going on, for the heartbeat
	since   time.Time
	latest  upgrade.Status
	ahead   time.Duration
	last    time.Time // that something was written
	quarter int64     // of the upload that was written, from 1
	beat    time.Time // of the upload
	waiting *tracking.Waiting
	said    bool
	started bool // by this command, which said so

	stop    chan struct{}
	stopped sync.WaitGroup
}

func newPlainReporter(s *session) *plainReporter {
	r := &plainReporter{print: s.print, stop: make(chan struct{}), last: time.Now(), since: time.Now()}
	r.stopped.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
				r.mu.Lock()
				r.pulse()
				r.mu.Unlock()
			}
		}
	})
	return r
}

func (r *plainReporter) close() {
	close(r.stop)
	r.stopped.Wait()
}

// pulse breaks a silence.
func (r *plainReporter) pulse() {
	now := time.Now()
	if now.Sub(r.last) < heartbeat || r.what == "" {
		return
	}
	if r.waiting != nil {
		r.say("still waiting, " + plainSpan(now.Add(r.ahead).Sub(r.waiting.Since)))
		return
	}
	text := "still " + r.what
	for _, m := range r.latest.Members {
		if inFlight(m.State) {
			text += ", " + clean(m.ID) + " " + clean(m.State)
			if m.Since != nil {
				text += " for " + plainSpan(now.Add(r.ahead).Sub(*m.Since))
			}
		}
	}
	r.say(text)
}

func (r *plainReporter) say(text string) {
	r.last = time.Now()
	r.print(stamp(r.last.Add(r.ahead)) + " " + text)
}

func (r *plainReporter) doing(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text != r.what {
		r.what, r.since, r.last = text, time.Now(), time.Now()
	}
}

func (r *plainReporter) done(s step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = r.started || s.word == "started"
	gap := " "
	if len(s.word) > 8 { // as on a terminal
		gap = ": "
	}
	r.say(s.word + gap + s.text)
}

func (r *plainReporter) sending(sent, total int64, to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.quarter == 0 {
		r.quarter, r.beat, r.what = 1, now, "uploading"
		r.say("upload " + sizeText(total) + " to " + to)
	}
	if total <= 0 {
		return
	}
	part := sent*4/total + 1
	switch {
	case part > r.quarter:
		r.quarter, r.beat = part, now
		r.say(fmt.Sprintf("upload %d%%", (part-1)*25))
		if sent == total {
			r.what = "staging"
		}
	case now.Sub(r.beat) >= uploadBeat && sent < total:
		r.beat = now
		r.say(fmt.Sprintf("upload %d%%", sent*100/total))
	}
}

func (r *plainReporter) status(s upgrade.Status, heard time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest, r.ahead, r.what = s, skew(s.ObservedAt, heard), clean(s.Status)
	if r.ahead != 0 && !r.said {
		r.said = true
		r.say("clock " + skewText(s.ObservedBy, r.ahead))
	}
	was, is := r.waiting, s.Waiting
	r.waiting = is
	switch {
	case is != nil && (was == nil || was.Reason != is.Reason || was.Member != is.Member || was.Gate != is.Gate):
		r.say("waiting " + waitingPlain(is))
	case is == nil && was != nil:
		r.say("waited " + plainSpan(time.Now().Add(r.ahead).Sub(was.Since)))
	}
}

func (r *plainReporter) line(l tracking.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch l.Type {
	case "run.finished", "run.failed":
		return // the last line says it, and what to do
	case "run.started":
		if r.started {
			return
		}
	}
	r.last = time.Now()
	r.print(linePlain(l))
}

func (r *plainReporter) lost(o outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case o.tries > 0:
		r.what = "trying " + o.targets
	case o.planned && o.single:
		r.say("watching " + o.product + " restarts as planned; trying again")
	case !o.planned:
		r.say("connection lost: " + causeText(o.err) + "; the " + o.run + " goes on, trying " + o.targets + " again")
	}
}

func (r *plainReporter) found(o outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := foundText(o); text != "" {
		r.say("watching " + text)
	}
}
