//go:build unix

package restart

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A load is many clients that check every answer.
type load struct {
	requests, failures atomic.Int64
	worst              atomic.Int64 // longest request less what its handler takes

	mu     sync.Mutex
	causes map[string]int

	stop context.CancelFunc
	wg   sync.WaitGroup
}

func (l *load) done(kind string, began time.Time, handler time.Duration, err error) {
	l.requests.Add(1)
	for d := int64(time.Since(began) - handler); ; {
		w := l.worst.Load()
		if d <= w || l.worst.CompareAndSwap(w, d) {
			break
		}
	}
	if err != nil {
		l.failures.Add(1)
		l.mu.Lock()
		l.causes[kind+": "+err.Error()]++
		l.mu.Unlock()
	}
}

type loadConfig struct {
	addr     string
	tls      bool
	proto    int  // 1 or 2
	noResend bool // POST bodies that the client cannot send twice
	raw      bool // clients that never repeat anything
	fresh    bool // none but clients that connect for each request
}

func startLoad(c loadConfig) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{causes: make(map[string]int), stop: stop}
	scheme := "http://"
	if c.tls {
		scheme = "https://"
	}
	transport := func() *http.Transport {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 32}
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP1(c.proto == 1)
		tr.Protocols.SetHTTP2(c.proto == 2 && c.tls)
		tr.Protocols.SetUnencryptedHTTP2(c.proto == 2 && !c.tls)
		return tr
	}
	worker := func(kind string, f func() (time.Duration, error)) {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				d, err := f()
				l.done(kind, began, d, err)
			}
		})
	}
	shared := transport()
	for _, method := range []string{"GET", "POST"} {
		for _, ms := range []int{0, 5, 60} {
			for _, pause := range []int{0, 40} {
				if c.fresh {
					break
				}
				worker(fmt.Sprintf("%s %d ms keep-alive", method, ms), func() (time.Duration, error) {
					p := time.Duration(0)
					if pause > 0 {
						p = time.Duration(rand.IntN(pause)) * time.Millisecond
						time.Sleep(p)
					}
					d, err := c.ask(&http.Client{Transport: shared}, scheme, method, "/", ms)
					return d + p, err
				})
			}
			if c.proto == 1 {
				worker(fmt.Sprintf("%s %d ms fresh", method, ms), func() (time.Duration, error) {
					tr := transport()
					defer tr.CloseIdleConnections()
					return c.ask(&http.Client{Transport: tr}, scheme, method, "/", ms)
				})
			}
		}
	}
	if !c.fresh {
		worker("stream", func() (time.Duration, error) {
			return c.ask(&http.Client{Transport: shared}, scheme, "GET", "/stream", 50)
		})
	}
	if c.raw {
		for _, method := range []string{"GET", "POST"} {
			for _, ms := range []int{0, 5, 60} {
				r := &rawClient{c: c}
				worker(fmt.Sprintf("%s %d ms without retry", method, ms), func() (time.Duration, error) {
					return time.Duration(ms) * time.Millisecond, r.ask(method, ms)
				})
			}
		}
	}
	return l
}

func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

func (l *load) report(t *testing.T, restarts int) {
	t.Helper()
	t.Logf("%d restarts, %d requests, %d failed, at worst %v more than the handler takes",
		restarts, l.requests.Load(), l.failures.Load(), time.Duration(l.worst.Load()).Round(time.Millisecond))
	for c, n := range l.causes {
		t.Logf("%d x %s", n, c)
	}
}

func (c loadConfig) ask(client *http.Client, scheme, method, path string, ms int) (time.Duration, error) {
	took := time.Duration(ms) * time.Millisecond
	text := ""
	var body io.Reader
	if method == "POST" {
		text = fmt.Sprintf("body %d", rand.Int())
		body = strings.NewReader(text)
		if c.noResend {
			body = io.MultiReader(body)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s%s%s?ms=%d", scheme, c.addr, path, ms), body)
	if err != nil {
		return took, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return took, plainError(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return took, plainError(err)
	}
	if !strings.HasSuffix(string(b), "got "+text) || resp.StatusCode != 200 {
		return took, fmt.Errorf("answer %d %q", resp.StatusCode, b)
	}
	return took, nil
}

// plainError leaves out ports, so that equal causes count together.
func plainError(err error) error {
	var b strings.Builder
	for _, f := range strings.Fields(err.Error()) {
		if !strings.Contains(f, "127.0.0.1") {
			b.WriteString(f + " ")
		}
	}
	return fmt.Errorf("%s", b.String())
}

// A rawClient keeps one connection and repeats nothing: it opens another only
// where the server said that it would close.
type rawClient struct {
	c    loadConfig
	conn net.Conn
	r    *bufio.Reader
}

func (r *rawClient) ask(method string, ms int) error {
	if r.conn == nil {
		var err error
		if r.conn, err = net.Dial("tcp", r.c.addr); err != nil {
			return plainError(err)
		}
		if r.c.tls {
			r.conn = tls.Client(r.conn, &tls.Config{InsecureSkipVerify: true})
		}
		r.r = bufio.NewReader(r.conn)
	}
	r.conn.SetDeadline(time.Now().Add(30 * time.Second))
	text := ""
	if method == "POST" {
		text = "raw"
	}
	err := func() error {
		if _, err := fmt.Fprintf(r.conn, "%s /?ms=%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", method, ms, len(text), text); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r.r, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, []byte("got "+text)) {
			return fmt.Errorf("answer %q", b)
		}
		if resp.Close {
			r.conn.Close()
			r.conn = nil
		}
		return nil
	}()
	if err != nil {
		if r.conn != nil {
			r.conn.Close()
			r.conn = nil
		}
		return plainError(err)
	}
	return nil
}

func TestRestartUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server serverConfig
		load   loadConfig
		may    bool // fail, where the client cannot send again
	}{
		{"HTTP/1.1", serverConfig{}, loadConfig{proto: 1, raw: true, noResend: true}, false},
		{"HTTP/1.1 slow start", serverConfig{Init: 300 * time.Millisecond}, loadConfig{proto: 1, raw: true, noResend: true}, false},
		{"HTTP/1.1 TLS", serverConfig{TLS: true}, loadConfig{proto: 1, tls: true, raw: true, noResend: true}, false},
		{"HTTP/2 TLS", serverConfig{TLS: true}, loadConfig{proto: 2, tls: true}, false},
		{"HTTP/2 plain", serverConfig{H2C: true}, loadConfig{proto: 2}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := run(t, tt.server, nil)
			tt.load.addr = p.first.Addr
			l := startLoad(tt.load)
			for range *rounds {
				served(t, l, 200)
				h := p.restart()
				if h.PID != p.first.PID || h.Addr != p.first.Addr {
					t.Errorf("became process %d on %s, was %d on %s", h.PID, h.Addr, p.first.PID, p.first.Addr)
				}
				if h.Last.Cut != 0 || h.Last.Passed != 1 {
					t.Errorf("report %+v, want nothing cut and one socket passed", h.Last)
				}
				t.Logf("%+v", h.Last)
			}
			served(t, l, 200)
			l.end()
			l.report(t, *rounds)
			if l.failures.Load() > 0 {
				t.Errorf("%d requests failed", l.failures.Load())
			}
		})
	}
}

// served waits until n more requests have been answered.
func served(t *testing.T, l *load, n int64) {
	t.Helper()
	want := l.requests.Load() + n
	for deadline := time.Now().Add(30 * time.Second); l.requests.Load() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the load stands still")
		}
	}
}
