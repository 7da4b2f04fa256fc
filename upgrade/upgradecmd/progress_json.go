package upgradecmd

import (
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A jsonReporter writes one JSON object for each thing that happened.
type jsonReporter struct {
	emit func(object any)

	mu      sync.Mutex
	quarter int64
	waiting *tracking.Waiting
}

// Objects of the stream. Keys are added, never renamed or removed; readers skip
// types they do not know.
type (
	jsonStep struct {
		Type   string         `json:"type"` // step
		At     time.Time      `json:"at"`
		Step   string         `json:"step"`
		Text   string         `json:"text"`
		Fields map[string]any `json:"fields,omitempty"`
	}
	jsonUpload struct {
		Type  string    `json:"type"` // upload
		At    time.Time `json:"at"`
		Bytes int64     `json:"bytes"`
		Total int64     `json:"total"`
	}
	jsonLine struct {
		Type   string    `json:"type"` // line
		Seq    int       `json:"seq"`
		At     time.Time `json:"at"`
		Member string    `json:"member,omitempty"`
		Event  string    `json:"event"` // type of the line
		Text   string    `json:"text"`
	}
	jsonWaiting struct {
		Type    string            `json:"type"` // waiting
		At      time.Time         `json:"at"`
		Waiting *tracking.Waiting `json:"waiting"` // null once it is over
	}
	jsonConnection struct {
		Type    string    `json:"type"` // connection
		At      time.Time `json:"at"`
		State   string    `json:"state"` // lost, back
		Planned bool      `json:"planned"`
		Error   string    `json:"error,omitempty"`
		Through string    `json:"through,omitempty"`
		Missed  int       `json:"missed,omitempty"`
	}
)

func (r *jsonReporter) doing(string) {}
func (r *jsonReporter) close()       {}

func (r *jsonReporter) done(s step) {
	r.emit(jsonStep{"step", time.Now().UTC(), s.word, s.text, s.fields})
}

func (r *jsonReporter) sending(sent, total int64, _ string) {
	r.mu.Lock()
	part := int64(1)
	if total > 0 {
		part = sent*4/total + 1
	}
	more := part > r.quarter
	r.quarter = max(part, r.quarter)
	r.mu.Unlock()
	if more {
		r.emit(jsonUpload{"upload", time.Now().UTC(), sent, total})
	}
}

func (r *jsonReporter) status(s upgrade.Status, _ time.Time) {
	r.mu.Lock()
	was, is := r.waiting, s.Waiting
	r.waiting = is
	r.mu.Unlock()
	if was == nil && is == nil || was != nil && is != nil && was.Reason == is.Reason && was.Member == is.Member && was.Gate == is.Gate {
		return
	}
	r.emit(jsonWaiting{"waiting", time.Now().UTC(), is})
}

func (r *jsonReporter) line(l tracking.Line) {
	r.emit(jsonLine{"line", l.Seq, l.At, l.Member, l.Type, l.Text})
}

func (r *jsonReporter) lost(o outage) {
	if o.tries == 0 {
		r.emit(jsonConnection{"connection", time.Now().UTC(), "lost", o.planned, o.err.Error(), "", 0})
	}
}

func (r *jsonReporter) found(o outage) {
	r.emit(jsonConnection{"connection", time.Now().UTC(), "back", o.planned, "", o.through, o.missed})
}
