package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A script answers one status request after the other.
type script struct {
	mu    sync.Mutex
	steps []func(*http.Request) (*http.Response, error)
	seen  []string // If-None-Match and Prefer of each request
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Header.Get("If-None-Match")+" "+r.Header.Get("Prefer"))
	if len(s.steps) == 0 {
		s.mu.Unlock()
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	s.mu.Unlock()
	return step(r)
}

type step = func(*http.Request) (*http.Response, error)

// says is an answer with the lines from first to last, of total.
func says(rev uint64, status, run string, total, first, last int) step {
	return func(r *http.Request) (*http.Response, error) {
		var b strings.Builder
		fmt.Fprintf(&b, `{"revision":%d,"status":%q,"run":{"id":%q},"transcript":{"total":%d,"lines":[`, rev, status, run, total)
		for i := first; i <= last; i++ {
			if i > first {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, `{"seq":%d,"text":"l"}`, i)
		}
		b.WriteString("]}}")
		resp := reply(r, 200, b.String())
		resp.Header.Set("ETag", fmt.Sprintf(`W/"status-%d"`, rev))
		return resp, nil
	}
}

func status(code int, body string) step {
	return func(r *http.Request) (*http.Response, error) { return reply(r, code, body), nil }
}

func refused(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

func TestWatchScripts(t *testing.T) {
	none := func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, `{"revision":9,"status":"none","run":null}`), nil
	}
	for _, c := range []struct {
		name  string
		o     httpapi.WatchOptions
		steps []step
		want  string
		err   string
	}{
		{"over already", httpapi.WatchOptions{}, []step{says(5, "finished", "r1", 2, 1, 2)}, "1:l 2:l rev5:finished end", ""},
		{"failed", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 0, 1, 0), says(6, "failed", "r1", 1, 1, 1)}, "rev5:working 1:l rev6:failed end", ""},
		{"nothing there", httpapi.WatchOptions{}, []step{none}, "rev9:none end", ""},
		{"cancelled", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 1, 1, 1), none}, "1:l rev5:working rev9:none end", ""},
		{"known lines", httpapi.WatchOptions{Run: "r1", After: 2}, []step{says(5, "finished", "r1", 4, 1, 4)}, "3:l 4:l rev5:finished end", ""},
		{"overlap", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 3, 1, 3), says(6, "finished", "r1", 5, 2, 5)}, "1:l 2:l 3:l rev5:working 4:l 5:l rev6:finished end", ""},
		{"gap at the start", httpapi.WatchOptions{}, []step{says(5, "finished", "r1", 9, 8, 9)}, "gap:1-7 8:l 9:l rev5:finished end", ""},
		{"gap in the middle", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 1, 1, 1), says(6, "finished", "r1", 9, 8, 9)}, "1:l rev5:working gap:2-7 8:l 9:l rev6:finished end", ""},
		{"gap at the end", httpapi.WatchOptions{}, []step{says(5, "finished", "r1", 3, 1, 0)}, "gap:1-3 rev5:finished end", ""},
		{"proxy", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 1, 1, 1), status(502, "<h1>"), status(503, "{}"), status(404, "{}"), status(500, "boom"),
			says(6, "finished", "r1", 2, 1, 2)}, "1:l rev5:working lost retry retry retry retry back:1 2:l rev6:finished end", ""},
		{"no change", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 0, 1, 0), status(304, ""), status(304, ""), says(6, "finished", "r1", 0, 1, 0)}, "rev5:working rev6:finished end", ""},
		{"said twice", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 1, 1, 1), says(5, "working", "r1", 1, 1, 1), says(6, "finished", "r1", 1, 1, 1)}, "1:l rev5:working rev6:finished end", ""},
		{"back in time", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 2, 1, 2), says(3, "staged", "r1", 1, 1, 1), says(6, "finished", "r1", 2, 1, 2)},
			"1:l 2:l rev5:working lost retry back:0 rev6:finished end", ""},
		{"back in time to another run", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 2, 1, 2), says(3, "finished", "r0", 7, 1, 7), says(6, "finished", "r1", 2, 1, 2)},
			"1:l 2:l rev5:working lost retry back:0 rev6:finished end", ""},
		{"another run", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 1, 1, 1), says(9, "staged", "r2", 1, 1, 1)}, "1:l rev5:working", "RunReplaced"},
		{"not the run asked for", httpapi.WatchOptions{Run: "r1"}, []step{says(5, "working", "r2", 1, 1, 1)}, "", "RunReplaced"},
		{"denied", httpapi.WatchOptions{}, []step{status(403, "{}")}, "", "Forbidden"},
		{"denied later", httpapi.WatchOptions{}, []step{says(5, "working", "r1", 0, 1, 0), status(401, "{}")}, "rev5:working", "Unauthenticated"},
		{"not there at first", httpapi.WatchOptions{}, []step{refused, refused, says(6, "finished", "r1", 1, 1, 1)}, "retry retry 1:l rev6:finished end", ""},
		{"not the API", httpapi.WatchOptions{}, []step{status(404, "{}")}, "", "NotFound"},
		{"never there", httpapi.WatchOptions{}, slices.Repeat([]step{refused}, 7), "retry retry retry retry retry retry", "Unreachable"},
		{"gone for good", httpapi.WatchOptions{Patience: 2 * time.Second}, append([]step{says(5, "working", "r1", 0, 1, 0)}, slices.Repeat([]step{refused}, 9)...),
			"rev5:working lost retry retry retry retry", "no use of any server for 2s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: c.steps}
				cl := client(t, httpapi.ClientConfig{Servers: []string{"http://a"}, HTTP: &http.Client{Transport: s}})
				var got []string
				var failed error
				for e, err := range cl.Watch(t.Context(), c.o) {
					if failed != nil {
						t.Error("something follows the error")
					}
					if failed = err; err == nil {
						got = append(got, story(e))
					}
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("got  %s\nwant %s", strings.Join(got, " "), c.want)
				}
				if (failed != nil) != (c.err != "") || failed != nil && !strings.Contains(failed.Error(), c.err) {
					t.Errorf("ended with %v, want %s", failed, c.err)
				}
				if len(s.steps) > 0 && c.name != "gone for good" {
					t.Errorf("%d answers were not asked for", len(s.steps))
				}
			})
		})
	}
}

func TestWatchAsksForChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{says(5, "working", "r1", 0, 1, 0), refused, says(5, "working", "r1", 0, 1, 0), says(6, "finished", "r1", 0, 1, 0)}}
		cl := client(t, httpapi.ClientConfig{Servers: []string{"http://a"}, HTTP: &http.Client{Transport: s}})
		for _, err := range cl.Watch(t.Context(), httpapi.WatchOptions{Wait: 20 * time.Second}) {
			if err != nil {
				t.Error(err)
			}
		}
		want := []string{" ", `W/"status-5" wait=20`, " ", `W/"status-5" wait=20`}
		if !slices.Equal(s.seen, want) {
			t.Errorf("asked with %q, want %q", s.seen, want)
		}
	})
}

// A server that holds nothing back is not asked without pause.
func TestWatchOfAServerThatDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := trips(func(r *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return says(5, "working", "r1", 0, 1, 0)(r)
			}
			return status(304, "")(r)
		})
		cl := client(t, httpapi.ClientConfig{Servers: []string{"http://a"}, HTTP: &http.Client{Transport: s}})
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, why)
		defer cancel()
		var last error
		for _, err := range cl.Watch(ctx, httpapi.WatchOptions{}) {
			last = err
		}
		if !errors.Is(last, why) || n > 20 {
			t.Errorf("%d requests in 10s, ended with %v", n, last)
		}
	})
}
