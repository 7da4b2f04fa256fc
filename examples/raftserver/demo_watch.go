package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// lookEvery is how often each member is asked who leads.
const lookEvery = 50 * time.Millisecond

// A watcher looks at the cluster from outside: the API of the upgrade tells how
// far it is, and the members themselves, who leads.
type watcher struct {
	nodes  []*node
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	leaders []leadership // in the order of their terms
	latest  *upgrade.Status
	lines   []tracking.Line
}

// A leadership is that a member said it leads in a term.
type leadership struct {
	Term   uint64    `json:"term"`
	Member string    `json:"member"`
	At     time.Time `json:"at"` // when it was seen first
}

func startWatch(ctx context.Context, nodes []*node) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{nodes: nodes, cancel: cancel}
	for _, n := range nodes {
		w.done.Go(func() {
			for ctx.Err() == nil {
				// A member that restarts answers when it is back: that is fine.
				if i, err := n.info(ctx, n.kept); err == nil && i.Role == "Leader" {
					w.leads(leadership{i.Term, n.id, time.Now()})
				}
				select {
				case <-time.After(lookEvery):
				case <-ctx.Done():
				}
			}
		})
	}
	return w
}

func (w *watcher) leads(l leadership) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, known := slices.BinarySearchFunc(w.leaders, l.Term, func(l leadership, term uint64) int { return int(l.Term) - int(term) })
	if !known {
		w.leaders = slices.Insert(w.leaders, i, l)
	}
}

// leader is who leads as far as is known, "" before anybody does.
func (w *watcher) leader() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.leaders) == 0 {
		return ""
	}
	return w.leaders[len(w.leaders)-1].Member
}

// handoffs are the changes of leadership since a moment, as far as they were seen:
// who leads for less than lookEvery may be missed. Who was elected again is none.
func (w *watcher) handoffs(since time.Time) []leadership {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := []leadership{}
	for i, l := range w.leaders {
		if i > 0 && l.At.After(since) && w.leaders[i-1].Member != l.Member {
			found = append(found, l)
		}
	}
	return found
}

// end stops looking. A nil watcher never began.
func (w *watcher) end() {
	if w == nil {
		return
	}
	w.cancel()
	w.done.Wait()
}

// follow shows the run until it is over, and calls seen at each change.
func (d *demo) follow(ctx context.Context, client *httpapi.Client, seen func(*upgrade.Status)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := newScreen(d.Out)
	d.shows(s)
	defer d.shows(nil)
	ticks := time.NewTicker(250 * time.Millisecond)
	defer ticks.Stop()
	events := make(chan httpapi.Event)
	go func() {
		defer close(events)
		for e, err := range client.Watch(ctx, httpapi.WatchOptions{Patience: time.Minute}) {
			if err != nil {
				cancel(err)
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ticks.C:
		case e, more := <-events:
			if !more {
				s.close()
				if d.watch.latest != nil && over(d.watch.latest) {
					return nil
				}
				return context.Cause(ctx)
			}
			d.watch.note(e)
			if e.Type == httpapi.EventStatus {
				seen(e.Status)
			}
		}
		if d.watch.latest != nil {
			p := d.picture(time.Now())
			d.mu.Lock()
			s.show(p, time.Now())
			d.mu.Unlock()
		}
	}
}

func (d *demo) shows(s *screen) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.screen = s
}

func over(s *upgrade.Status) bool {
	return s.Status == string(tracking.Finished) || s.Status == string(tracking.Failed)
}

func (w *watcher) note(e httpapi.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Status != nil {
		w.latest = e.Status
	}
	if e.Type == httpapi.EventLine {
		w.lines = append(w.lines, e.Line)
	}
}

// turns are the members in the order in which they were done, and when each was
// granted its turn.
func (w *watcher) turns() (order []string, granted map[string]time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	granted = map[string]time.Time{}
	for _, l := range w.lines {
		switch l.Type {
		case "member.granted":
			granted[l.Member] = l.At
		case "member.done":
			order = append(order, l.Member)
		}
	}
	return order, granted
}

// ledAt is who led at a moment.
func (w *watcher) ledAt(at time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	who := ""
	for _, l := range w.leaders {
		if !l.At.After(at) {
			who = l.Member
		}
	}
	return who
}

var errNoStatus = errors.New("nobody told how far it is")

// status returns what is known of the run.
func (w *watcher) status() (*upgrade.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil || w.latest.Run == nil {
		return nil, errNoStatus
	}
	return w.latest, nil
}

// A picture is what there is to see at a moment: a headline, and a line for each
// member.
type picture struct {
	head    string
	members []row
	foot    string
}

type row struct {
	sign, id, role, version, state, since, waits string
}

func (d *demo) picture(now time.Time) picture {
	s := d.watch.latest
	p := picture{}
	if s.Run != nil {
		p.head = fmt.Sprintf("%s %s -> %s   %s", s.Product, s.Run.From, s.Run.To, s.Status)
		if s.Run.StartedAt != nil {
			end := now
			if s.Run.FinishedAt != nil {
				end = *s.Run.FinishedAt
			}
			p.head += " for " + ms(max(0, end.Sub(*s.Run.StartedAt))).String()
		}
		p.head += fmt.Sprintf("   %d of %d done", s.Progress.Done, s.Progress.Total)
	}
	for _, m := range s.Members {
		p.members = append(p.members, rowOf(s, m, now))
	}
	sent, failed, since := d.load.now()
	p.foot = fmt.Sprintf("writes: %d sent, %d failed, the last one %s ago", sent, failed, ms(since))
	return p
}

func rowOf(s *upgrade.Status, m upgrade.StatusMember, now time.Time) row {
	r := row{sign: " ", id: m.ID, role: m.Role, version: m.Version, state: m.State}
	switch tracking.State(m.State) {
	case tracking.Done, tracking.Skipped:
		r.sign = "✓"
		if m.Took > 0 {
			r.since = ms(m.Took * float64(time.Second)).String()
		}
		return r
	case tracking.TurnFailed:
		r.sign = "✗"
	case tracking.Pending:
		if s.Status == string(tracking.Working) {
			r.waits = "its turn"
			if m.Role == "leader" {
				r.waits = "all others; it leads"
			}
		}
	default:
		r.sign = ">"
	}
	if m.Since != nil && r.sign != " " {
		r.since = ms(max(0, now.Sub(*m.Since))).String()
	}
	switch {
	case s.Waiting != nil && s.Waiting.Member == m.ID:
		r.waits = s.Waiting.Message
	case m.Message != nil:
		r.waits = *m.Message
	}
	if !m.Healthy && r.waits == "" {
		r.waits = "does not answer"
	}
	return r
}

// newClient returns one that asks all members.
func (d *demo) newClient() (*httpapi.Client, error) {
	n := d.nodes[0]
	c := httpapi.ClientConfig{HTTP: d.client(true), Auth: n.caller.Authorize}
	c.HTTP.Timeout = 0 // its own limits are better
	for _, n := range d.nodes {
		c.Servers = append(c.Servers, n.url)
	}
	return httpapi.NewClient(c)
}
