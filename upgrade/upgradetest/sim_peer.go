package upgradetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A network carries the requests of one process to the handlers of the others.
type network struct{ p *process }

var errReset = errors.New("connection reset")

// RoundTrip implements http.RoundTripper.
func (n network) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	p, w := n.p, n.p.m.w
	o := op{what: "peer", key: r.Method + " " + r.URL.Host + r.URL.Path[strings.LastIndex(r.URL.Path, "peer"):], soft: true}
	err = p.do(r.Context(), o, func() (err error) {
		w.mu.Lock()
		var q *process
		if m := w.machines[r.URL.Host]; m != nil && (m == p.m || !m.apart && !p.m.apart) {
			q = m.proc
		}
		w.mu.Unlock()
		if q == nil || !q.serves {
			return fmt.Errorf("connect to %s: %w", r.URL.Host, errReset)
		}
		resp, err = q.serve(p.name, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// serve answers r, which another process sent, in the name of the process, if that lives so long.
func (p *process) serve(from string, r *http.Request) (*http.Response, error) {
	asker, _ := r.Context().Value(caller{}).(string)
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), caller{}, "peer "+from+asker))
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	answer := httptest.NewRecorder()
	done := make(chan struct{})
	whole := false
	p.m.w.calls.Go(func() {
		defer close(done)
		p.handler.ServeHTTP(answer, r.Clone(ctx))
		whole = true
	})
	<-done
	if !whole || p.ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", p.name, errReset)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := answer.Result()
	resp.Request = r
	if p.m.w.cuts() {
		b, _ := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(b[:len(b)/2]), broken{}))
	}
	return resp, nil
}

// broken is where a body breaks off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errReset }

// cuts draws whether a body breaks off in the middle.
func (w *world) cuts() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.lossy > 0 && w.chance(w.lossy)
}

func (p *process) newHandler() (http.Handler, error) {
	return httpapi.New(httpapi.Config{
		Upgrader: p.Orchestrator, Authorize: func(*http.Request, httpapi.Right) error { return nil },
	})
}
