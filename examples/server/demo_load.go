package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

type serverInfo struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
}

func askInfo(ctx context.Context, c *show.Caller) (serverInfo, error) {
	var i serverInfo
	return i, c.Call(ctx, show.Client(true, nil), http.MethodGet, "/api/v3/info", "", &i)
}

// trackingParams is the part of the tracking profile that the demo looks at.
type trackingParams struct {
	Status     string   `json:"status"`
	FinalState string   `json:"final-state"`
	Transcript []string `json:"transcript"`
}

func askProfile(ctx context.Context, c *show.Caller) (trackingParams, error) {
	var p struct{ Params trackingParams }
	err := c.Call(ctx, show.Client(true, nil), http.MethodGet, "/api/v3/profiles/rackn-system-upgrade-tracking", "", &p)
	return p.Params, err
}

// A load keeps calling a server and notes what it got.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu           sync.Mutex
	sent, failed int64
	first        string    // failure
	last         time.Time // answer
	gap          time.Duration
}

// startLoad begins to call: reads and writes, on fresh and on kept connections.
func (d *demo) startLoad(ctx context.Context) (*load, error) {
	c, err := show.NewCaller(filepath.Join(d.Dir, "data"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel, last: time.Now()}
	for i := range 4 {
		method, body, fresh := http.MethodGet, "", i%2 == 0
		if i < 2 {
			method, body = http.MethodPost, "value"
		}
		path := fmt.Sprintf("/api/v3/kv/demo-%d", i%2)
		if err := c.Call(ctx, show.Client(true, nil), http.MethodPost, path, "value", nil); err != nil {
			cancel()
			return nil, err
		}
		client := show.Client(fresh, nil)
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				err := c.Call(ctx, client, method, path, body, nil)
				if ctx.Err() != nil {
					return // the end of the demo cut it, not the server
				}
				l.note(err)
				time.Sleep(2 * time.Millisecond) // a steady load, not a flood
			}
		}()
	}
	return l, nil
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	if err != nil {
		if l.failed++; l.first == "" {
			l.first = err.Error()
		}
		return
	}
	now := time.Now()
	l.gap = max(l.gap, now.Sub(l.last))
	l.last = now
}

func (l *load) stop() (sent, failed, gapMS int64, first string) {
	l.cancel()
	l.done.Wait()
	return l.sent, l.failed, max(l.gap, time.Since(l.last)).Milliseconds(), l.first
}
