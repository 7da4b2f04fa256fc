package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	clients = 16
	// pauseBetween is what a client waits between two requests: the load is steady,
	// and leaves the server some of the two cores to start on.
	pauseBetween = 5 * time.Millisecond
	// patience is how long a client waits for an answer.
	patience = 30 * time.Second
	// loadKey is the key that all clients read, or write.
	loadKey = "/api/v3/kv/load"
)

// A shape is the kind of traffic that a server is under.
type shape struct{ h2, fresh, post bool }

func (s shape) String() string {
	word := func(b bool, yes, no string) string {
		if b {
			return yes
		}
		return no
	}
	return word(s.h2, "HTTP2-TLS", "HTTP1") + "/" + word(s.fresh, "fresh", "keep-alive") + "/" + word(s.post, "POST", "GET")
}

// client returns a client of its own connections.
func (s shape) client(roots *x509.CertPool) *http.Client {
	t := &http.Transport{DisableKeepAlives: s.fresh, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: s.h2}
	return &http.Client{Timeout: patience, Transport: t}
}

// A caller is what a request to a server needs.
type caller struct{ url, user, password string }

// call sends one request, and requires that all of the right answer comes back.
func (c caller) call(client *http.Client, s shape) error {
	method, body := http.MethodGet, ""
	if s.post {
		method, body = http.MethodPost, "value"
	}
	req, err := http.NewRequest(method, c.url+loadKey, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(c.user, c.password)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK || !strings.Contains(string(b), `"value":"value"`):
		return fmt.Errorf("%s %s: %s: %s", method, loadKey, res.Status, b)
	case (res.ProtoMajor == 2) != s.h2:
		return fmt.Errorf("%s %s: answered in %s", method, loadKey, res.Proto)
	}
	return nil
}

// A load is clients that call a server without end, and what they saw.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu           sync.Mutex
	noted        chan struct{} // closed and replaced with each answer
	answers      [clients]int
	sent, failed int
	first        error
	firstAt      time.Time
	last         time.Time     // answer of any client
	gap          time.Duration // longest without one
	slowest      time.Duration // request that was answered
}

// startLoad begins to call; the load is stopped by stop.
func startLoad(c caller, s shape, roots *x509.CertPool) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, noted: make(chan struct{}), last: time.Now()}
	for i := range clients {
		l.done.Go(func() {
			client := s.client(roots)
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				begun := time.Now()
				l.note(i, begun, c.call(client, s)) // never cut: what fails is the server's doing
				select {
				case <-ctx.Done():
				case <-time.After(pauseBetween):
				}
			}
		})
	}
	return l
}

func (l *load) note(i int, begun time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	now := time.Now()
	if err != nil {
		if l.failed++; l.first == nil {
			l.first, l.firstAt = err, now
		}
		return
	}
	l.gap, l.last = max(l.gap, now.Sub(l.last)), now
	l.slowest = max(l.slowest, now.Sub(begun))
	l.answers[i]++
	close(l.noted)
	l.noted = make(chan struct{})
}

// round waits until every client has had two more answers: the second was asked
// for after the call.
func (l *load) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.mu.Lock()
	want := l.answers
	l.mu.Unlock()
	for {
		l.mu.Lock()
		ok, noted, first := true, l.noted, l.first
		for i := range want {
			ok = ok && l.answers[i] >= want[i]+2
		}
		l.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-noted:
		case <-ctx.Done():
			return fmt.Errorf("not every client is answered: %w; first failure: %v", context.Cause(ctx), first)
		}
	}
}

// during returns the longest time without an answer while f runs, and until
// every client is answered again.
func (l *load) during(ctx context.Context, f func() error) (time.Duration, error) {
	if err := l.round(ctx); err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.gap = 0
	l.mu.Unlock()
	if err := f(); err != nil {
		return 0, err
	}
	err := l.round(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gap, err
}

// stop ends the clients; nothing is noted after it.
func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}
