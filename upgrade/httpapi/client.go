package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
)

// A ClientConfig is what a Client is made of. Servers is required.
type ClientConfig struct {
	// Servers are the base URLs of servers that share a record, such as
	// "https://10.0.0.11:8092". The one that answered last is asked first, the
	// others in their order when it does not answer.
	Servers []string

	Prefix string // as Config.Prefix

	// OnlyServers keeps a Watch from asking other members of the cluster, by the
	// addresses that the status gives, while none of Servers answers. They are sent
	// the same credentials.
	OnlyServers bool

	// HTTP makes the requests. If nil, a client that waits 5 seconds for a
	// connection. Redirects are never followed: they lose uploads. A Transport of
	// your own should set ExpectContinueTimeout: without it the body of an upload
	// is sent before the server has said whether it wants it, and the reason of a
	// refusal may be lost with the connection.
	HTTP *http.Client

	// Auth adds credentials to a request, each time it is sent; nil adds none.
	Auth func(r *http.Request) error

	// Refresh is called, if not nil, after a 401, and the request is sent once
	// more. A token may not have survived the restart of the server.
	Refresh func(ctx context.Context) error

	Timeout time.Duration // for the answer to a request without upload; one minute if zero

	// Retries is how often a request without upload is sent again, after 0.2,
	// 0.5, 1, 2 and then 3 seconds, when no server answers, or a proxy says that
	// none does (502, 503, 504); 6 if zero, never if negative.
	Retries int
}

// A Client calls the routes of a Handler. What a server refuses is an
// *upgrade.Refusal, as if it had been called directly; if none answered, one of
// kind Unavailable. It is safe for concurrent use.
type Client struct {
	servers []string
	prefix  string // between slashes
	only    bool
	http    *http.Client
	auth    func(*http.Request) error
	refresh func(context.Context) error
	timeout time.Duration
	retries int
	current atomic.Int64 // index of the server to ask first
}

// NewClient returns a Client for c. It sends nothing.
func NewClient(c ClientConfig) (*Client, error) {
	if len(c.Servers) == 0 {
		return nil, errors.New("httpapi: new client: no server to ask")
	}
	prefix := strings.TrimRight(cmp.Or(c.Prefix, DefaultPrefix), "/") + "/"
	client := &Client{prefix: prefix, only: c.OnlyServers, auth: c.Auth, refresh: c.Refresh, timeout: cmp.Or(c.Timeout, time.Minute), retries: max(cmp.Or(c.Retries, 6), 0)}
	for _, s := range c.Servers {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("httpapi: new client: %w", err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("httpapi: new client: %q is no address of a server, such as https://127.0.0.1:8092", s)
		}
		client.servers = append(client.servers, strings.TrimRight(s, "/")+prefix)
	}
	hc := http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}}
	if c.HTTP != nil {
		hc = *c.HTTP
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.http = &hc
	return client, nil
}

// A question is a request that may be asked again.
type question struct {
	method, path string
	query        url.Values
	header       map[string]string
	body         []byte // JSON
	timeout      time.Duration
}

// An answer is a reply with a status below 400.
type answer struct {
	status int
	header http.Header
	body   []byte
}

const maxAnswer = 16 << 20 // bytes

// errNoAnswer ends an exchange that took longer than it may.
var errNoAnswer = errors.New("no answer in time")

// ask asks the servers in turn, and all of them again after a while, until one
// answers.
func (c *Client) ask(ctx context.Context, q question) (answer, error) {
	for round := 0; ; round++ {
		var last error
		for range c.servers {
			server := c.server()
			a, err := c.exchange(ctx, server, q)
			if err == nil || !temporary(err) || errors.Is(err, errNoAnswer) || ctx.Err() != nil {
				return a, err
			}
			// What a server said of its trouble tells more than silence.
			if last == nil || unreachable(last) {
				last = err
			}
			c.pass(server)
		}
		if round >= c.retries {
			return answer{}, last
		}
		if err := sleep(ctx, backoff(round)); err != nil {
			return answer{}, fmt.Errorf("%w; given up: %w", last, err)
		}
	}
}

func (c *Client) server() string {
	return c.servers[int(c.current.Load())%len(c.servers)]
}

// pass goes on to the server after this one, unless somebody did already.
func (c *Client) pass(server string) {
	if i := c.current.Load(); c.servers[int(i)%len(c.servers)] == server {
		c.current.CompareAndSwap(i, (i+1)%int64(len(c.servers)))
	}
}

// exchange sends q to server, twice if the first answer is a 401 that can be
// helped.
func (c *Client) exchange(ctx context.Context, server string, q question) (answer, error) {
	a, err := c.once(ctx, server, q)
	if c.refresh == nil || !errors.Is(err, ErrUnauthenticated) {
		return a, err
	}
	if err := c.refresh(ctx); err != nil {
		return answer{}, fmt.Errorf("httpapi: get fresh credentials for %s: %w", server, err)
	}
	return c.once(ctx, server, q)
}

func (c *Client) once(ctx context.Context, server string, q question) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(q.timeout, c.timeout), errNoAnswer)
	defer cancel()
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, server+q.path, body)
	if err != nil {
		return answer{}, fmt.Errorf("httpapi: %w", err)
	}
	if q.body != nil || q.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return c.send(r, q.query, q.header)
}

// send sends r and reads the whole reply.
func (c *Client) send(r *http.Request, query url.Values, header map[string]string) (answer, error) {
	r.URL.RawQuery = query.Encode()
	r.Header.Set("Accept", "application/json")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	if c.auth != nil {
		if err := c.auth(r); err != nil {
			return answer{}, fmt.Errorf("httpapi: credentials for %s: %w", r.URL.Host, err)
		}
	}
	from := r.URL.Scheme + "://" + r.URL.Host
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, failed(r.Context(), from, err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return answer{}, failed(r.Context(), from, err)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	isJSON := kind == "application/json"
	switch {
	case a.status >= 400:
		return answer{}, unwire(a.status, a.body, isJSON, from)
	case a.status >= 300 && a.status != http.StatusNotModified:
		return answer{}, strange(from, "redirects to %q; ask there instead", resp.Header.Get("Location"))
	case !isJSON && a.status != http.StatusNotModified, len(a.body) > maxAnswer:
		return answer{}, strange(from, "answers with %q, not with JSON: %s", resp.Header.Get("Content-Type"), excerptOf(a.body))
	}
	return a, nil
}

func (a answer) into(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return &upgrade.Refusal{Kind: upgrade.Unsupported, Reason: ReasonNotTheAPI,
			Message: "the reply of the server cannot be read: " + excerptOf(a.body), Err: err}
	}
	return nil
}

func strange(from, format string, args ...any) error {
	return &upgrade.Refusal{Kind: upgrade.Unsupported, Reason: ReasonNotTheAPI,
		Message: from + " " + fmt.Sprintf(format, args...), Remedy: "Check the address and the prefix of the API."}
}

// failed is the error for an exchange that brought no reply.
func failed(ctx context.Context, from string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if !errors.Is(cause, errNoAnswer) {
			return fmt.Errorf("httpapi: ask %s: %w", from, cause)
		}
		err = cause
	}
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &cert) || errors.As(err, &record) {
		return fmt.Errorf("httpapi: ask %s: %w", from, err) // asking again does not help
	}
	return &upgrade.Refusal{Kind: upgrade.Unavailable, Reason: ReasonUnreachable, Message: "no answer from " + from, Err: err,
		Remedy: "Check the address, and that the server runs."}
}

// temporary reports whether the same request may be answered later.
func temporary(err error) bool {
	var r *upgrade.Refusal
	return errors.As(err, &r) && r.Kind == upgrade.Unavailable
}

func unreachable(err error) bool {
	var r *upgrade.Refusal
	return errors.As(err, &r) && r.Reason == ReasonUnreachable
}

// backoff is how long to wait after the attempt of this number, counted from 0;
// up to a fifth more or less, so that many clients do not come at once.
func backoff(attempt int) time.Duration {
	steps := [...]time.Duration{200, 500, 1000, 2000, 3000}
	d := steps[min(attempt, len(steps)-1)] * time.Millisecond
	return d*4/5 + rand.N(d*2/5)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
