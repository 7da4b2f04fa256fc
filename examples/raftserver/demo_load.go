package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

// pace is the pause of each client between two requests: a steady load, not a
// flood.
const pace = 20 * time.Millisecond

// A load keeps reading and writing at every member, and remembers every write
// that was acknowledged.
type load struct {
	name  string // its keys begin so
	nodes []*node
	abort context.CancelFunc
	stop  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex
	acked   map[string]string // what has to be there in the end
	order   []string          // keys of acked
	writes  tally
	reads   tally
	lastAck time.Time
	gap     time.Duration // the longest without any write acknowledged
	gapAt   time.Time     // when it began
	missing int64         // reads of what was acknowledged that did not find it
}

// A tally counts requests of one kind.
type tally struct {
	Sent    int64  `json:"sent"`
	Failed  int64  `json:"failed"` // never answered with success, by no member
	Errors  int64  `json:"errors"` // attempts that were not; the client then asked another member
	First   string `json:"first_error,omitempty"`
	Longest ms     `json:"longest_wait_ms"` // of one request, all its attempts together
}

// startLoad begins: for each member a writer on fresh connections, one that keeps
// its connection, and a reader.
func startLoad(ctx context.Context, name string, nodes []*node, client func(fresh bool) *http.Client) *load {
	ctx, abort := context.WithCancel(ctx)
	l := &load{name: name, nodes: nodes, abort: abort, stop: make(chan struct{}), acked: map[string]string{}, lastAck: time.Now()}
	for i := range nodes {
		for kind, each := range []func(context.Context, *hand){l.write, l.write, l.read} {
			h := &hand{load: l, home: i, kind: kind, http: client(kind == 0)}
			l.done.Add(1)
			go func() {
				defer l.done.Done()
				defer h.http.CloseIdleConnections()
				for ; ctx.Err() == nil; h.count++ {
					select {
					case <-l.stop:
						return
					case <-time.After(pace):
					}
					each(ctx, h)
				}
			}()
		}
	}
	return l
}

// A hand is one client of the load.
type hand struct {
	load  *load
	home  int // the member it asks first
	kind  int
	count int
	http  *http.Client
}

func (l *load) write(ctx context.Context, h *hand) {
	key := fmt.Sprintf("%s-%s-%d-%d", l.name, l.nodes[h.home].id, h.kind, h.count)
	value := fmt.Sprintf("%d", time.Now().UnixNano())
	err := h.ask(ctx, &l.writes, http.MethodPut, "/api/v3/kv/"+key, value)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		return
	}
	l.acked[key] = value
	l.order = append(l.order, key)
	now := time.Now()
	l.noGapAfter(now)
}

// read asks for something that was acknowledged, by whichever member.
func (l *load) read(ctx context.Context, h *hand) {
	l.mu.Lock()
	if len(l.order) == 0 {
		l.mu.Unlock()
		return
	}
	key := l.order[len(l.order)-1-h.count%min(len(l.order), 100)]
	l.mu.Unlock()
	err := h.ask(ctx, &l.reads, http.MethodGet, "/api/v3/kv/"+key, "")
	var status *show.StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		l.mu.Lock()
		l.missing++
		l.mu.Unlock()
	}
}

// ask sends a request to the member at home and, if that gives an error, to the
// others in turn, as any client does that knows more than one.
func (h *hand) ask(ctx context.Context, t *tally, method, path, body string) error {
	l, began := h.load, time.Now()
	for try := 0; ; try++ {
		n := l.nodes[(h.home+try)%len(l.nodes)]
		err := n.caller.Call(ctx, h.http, method, path, body, nil)
		if ctx.Err() != nil {
			return err // the demo was interrupted, not the server
		}
		var status *show.StatusError
		final := err == nil || errors.As(err, &status) && status.Code < 500 || time.Since(began) > patience
		l.mu.Lock()
		if err != nil {
			if t.Errors++; t.First == "" {
				t.First = n.id + ": " + err.Error()
			}
		}
		if final {
			t.Sent++
			t.Longest = max(t.Longest, ms(time.Since(began)))
			if err != nil {
				t.Failed++
			}
		}
		l.mu.Unlock()
		if final {
			return err
		}
		if try%len(l.nodes) == len(l.nodes)-1 {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// end lets every client finish what it has begun.
func (l *load) end() {
	close(l.stop)
	l.done.Wait()
	l.abort()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noGapAfter(time.Now())
}

// noGapAfter notes that what was the time without an acknowledged write is over.
func (l *load) noGapAfter(now time.Time) {
	if d := now.Sub(l.lastAck); d > l.gap {
		l.gap, l.gapAt = d, l.lastAck
	}
	l.lastAck = now
}

// now says how it is going.
func (l *load) now() (sent, failed int64, since time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes.Sent, l.writes.Failed, time.Since(l.lastAck)
}

// lost counts the acknowledged writes that one of nodes does not have, and names
// one.
func (l *load) lost(ctx context.Context, nodes []*node) (count int, first string, err error) {
	gone := map[string]string{}
	for _, n := range nodes {
		have, err := n.values(ctx, l.name+"-")
		if err != nil {
			return 0, "", fmt.Errorf("ask %s for all that was written: %w", n.id, err)
		}
		for key, value := range l.acked {
			if have[key] != value {
				gone[key] = n.id
			}
		}
	}
	if len(gone) > 0 {
		key := slices.Sorted(maps.Keys(gone))[0]
		first = key + " on " + gone[key]
	}
	return len(gone), first, nil
}
