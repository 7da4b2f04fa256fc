package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A recorder follows the record at every member at once, by long poll, and keeps
// the newest that any of them has shown.
type recorder struct {
	f      *fleet
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	latest upgrade.Status
	change chan struct{}
	lines  map[string]map[int]tracking.Line // by run and number
	overAt map[string]time.Time             // when it was seen that a run ends
}

func newRecorder(f *fleet) *recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{
		f: f, ctx: ctx, cancel: cancel, change: make(chan struct{}),
		lines: map[string]map[int]tracking.Line{}, overAt: map[string]time.Time{},
	}
	for _, b := range f.boxes {
		r.listen(b)
	}
	return r
}

func (r *recorder) end() { r.cancel(); r.done.Wait() }

// listen follows the record at one more member.
func (r *recorder) listen(b *box) { r.done.Go(func() { r.follow(r.ctx, b) }) }

func (r *recorder) follow(ctx context.Context, b *box) {
	etag := ""
	for ctx.Err() == nil {
		s, tag, err := b.record(ctx, etag)
		if err != nil { // it may be down, frozen or draining
			etag = ""
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		etag = tag
		if s != nil {
			r.note(*s)
		}
	}
}

// record asks for a change; nil if there was none.
func (b *box) record(ctx context.Context, etag string) (*upgrade.Status, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/v3/system/upgrade/status?view=2", nil)
	if err != nil {
		return nil, "", err
	}
	b.caller.Authorize(req)
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
		req.Header.Set("Prefer", "wait=2")
	}
	res, err := b.kept.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return nil, "", err
	case res.StatusCode == http.StatusNotModified:
		return nil, etag, nil
	case res.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("%s: %s", res.Status, body)
	}
	s := new(upgrade.Status)
	return s, res.Header.Get("ETag"), json.Unmarshal(body, s)
}

func (r *recorder) note(s upgrade.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Run != nil {
		if r.lines[s.Run.ID] == nil {
			r.lines[s.Run.ID] = map[int]tracking.Line{}
		}
		for _, l := range s.Transcript.Lines {
			old, known := r.lines[s.Run.ID][l.Seq]
			if known && (old.Text != l.Text || old.Type != l.Type || old.Member != l.Member) {
				r.f.problem("line %d of run %s was %q and is %q", l.Seq, s.Run.ID, old.Text, l.Text)
			}
			r.lines[s.Run.ID][l.Seq] = l
			if !known {
				r.f.logf("record: %d %s %s: %s", l.Seq, l.Type, l.Member, l.Text)
			}
		}
	}
	if s.Revision <= r.latest.Revision {
		return
	}
	if w := s.Waiting; w != nil && (r.latest.Waiting == nil || r.latest.Waiting.Message != w.Message) {
		r.f.logf("record: waits: %s", w.Message)
	}
	var turns []string
	for _, m := range s.Members {
		switch tracking.State(m.State) {
		case tracking.Granted, tracking.Claimed, tracking.Prepared, tracking.Restarting, tracking.Rejoining:
			turns = append(turns, m.ID)
		}
	}
	if len(turns) > 1 {
		r.f.problem("%v have their turns at the same time", turns)
	}
	was := r.latest
	r.latest = s
	if s.Run != nil {
		r.ended(was, s)
	}
	close(r.change)
	r.change = make(chan struct{})
}

// ended holds a run that is over against what is seen outside.
func (r *recorder) ended(was, s upgrade.Status) {
	if _, known := r.overAt[s.Run.ID]; known {
		if was.Run != nil && was.Run.ID == s.Run.ID && s.Status == string(tracking.Working) {
			r.f.problem("run %s was %s and is %s", s.Run.ID, was.Status, s.Status)
		}
		return
	}
	switch tracking.Status(s.Status) {
	case tracking.Finished:
		r.f.everybodyRuns(s.Run.To)
	case tracking.Failed:
	default:
		if s.Status != "none" {
			return
		}
	}
	r.overAt[s.Run.ID] = time.Now()
}

// await waits until the newest record is as ok says.
func (r *recorder) await(t *testing.T, what string, ok func(upgrade.Status) bool) upgrade.Status {
	t.Helper()
	limit := time.After(waitLimit)
	for {
		r.mu.Lock()
		s, change := r.latest, r.change
		r.mu.Unlock()
		if ok(s) {
			return s
		}
		select {
		case <-change:
		case <-limit:
			t.Fatalf("it never comes that %s; the record says %s, %v\n%s", what, s.Status, s.Waiting, r.f.story())
		}
	}
}

// transcript is all that was seen of a run, in order.
func (r *recorder) transcript(run string) []tracking.Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []tracking.Line
	for _, l := range r.lines[run] {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b tracking.Line) int { return a.Seq - b.Seq })
	return all
}
