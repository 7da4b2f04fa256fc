package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A caller talks to a kvd whose data directory it can read.
type caller struct {
	url    string
	header string // Authorization
	http   *http.Client
}

func newCaller(data string) (*caller, error) {
	url, err := os.ReadFile(filepath.Join(data, "url"))
	if err != nil {
		return nil, err
	}
	users, err := os.ReadFile(filepath.Join(data, "users"))
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(users), "\n")
	name, password, _ := strings.Cut(line, ":")
	req, _ := http.NewRequest(http.MethodGet, "http://unused", nil)
	req.SetBasicAuth(name, password)
	return &caller{
		url: strings.TrimSpace(string(url)), header: req.Header.Get("Authorization"),
		// It keeps no connection: a silent one would be waited for at the restart.
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}, nil
}

// call sends one request and decodes the reply into v, if that is not nil.
func (c *caller) call(ctx context.Context, client *http.Client, method, path, body string, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", c.header)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, b)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

type serverInfo struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
}

func (c *caller) info(ctx context.Context) (serverInfo, error) {
	var i serverInfo
	return i, c.call(ctx, c.http, http.MethodGet, "/api/v3/info", "", &i)
}

// trackingParams is the part of the tracking profile that the demo looks at.
type trackingParams struct {
	Status     string   `json:"status"`
	FinalState string   `json:"final-state"`
	Transcript []string `json:"transcript"`
}

func (c *caller) profile(ctx context.Context) (trackingParams, error) {
	var p struct{ Params trackingParams }
	err := c.call(ctx, c.http, http.MethodGet, "/api/v3/profiles/rackn-system-upgrade-tracking", "", &p)
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
	c, err := newCaller(filepath.Join(d.dir, "data"))
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
		if err := c.call(ctx, c.http, http.MethodPost, path, "value", nil); err != nil {
			cancel()
			return nil, err
		}
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: fresh}}
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				err := c.call(ctx, client, method, path, body, nil)
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

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
