package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

const (
	statusPath  = "/api/v3/system/upgrade/status"
	profilePath = "/api/v3/profiles/rackn-system-upgrade-tracking"
)

func TestETags(t *testing.T) {
	f := staged()
	h := handler(t, config(f))
	for _, path := range []string{statusPath, statusPath + "?view=2", profilePath, profilePath + "/params", profilePath + "/params/status", "/api/v3/profiles"} {
		f.set("", func(r *tracking.Run) { r.Status = tracking.Staged })
		tag := do(h, "GET", path, "").Header.Get("ETag")
		if head := do(h, "HEAD", path, "").Header.Get("ETag"); tag == "" || head != tag {
			t.Errorf("%s: GET says %s, HEAD %s", path, tag, head)
		}
		if r := do(h, "GET", path, ""); r.Header.Get("ETag") != tag {
			t.Errorf("%s: changed without a change", path)
		}
		for have, want := range map[string]int{tag: 304, `"x", ` + tag: 304, strings.Trim(tag, `W/"`): 304, "W/" + strings.TrimPrefix(tag, "W/"): 304, "*": 304, `"x"`: 200, "": 200} {
			r := do(h, "GET", path, "", "If-None-Match", have)
			if r.StatusCode != want || r.Header.Get("ETag") != tag {
				t.Errorf("%s, If-None-Match %s: %s, ETag %s", path, have, r.Status, r.Header.Get("ETag"))
			}
			if body := text(t, r); (body == "") != (want == 304) {
				t.Errorf("%s: %d with the body %s", path, want, body)
			}
			if kind := r.Header["content-type"]; want == 304 && (len(kind) != 1 || kind[0] != "application/json") {
				t.Errorf("%s: 304 with %v", path, r.Header)
			}
		}
		f.set("", func(r *tracking.Run) { r.Status = tracking.Working })
		if now := do(h, "GET", path, "").Header.Get("ETag"); now == tag {
			t.Errorf("%s: the tag stays %s", path, tag)
		}
	}
	tag := do(h, "GET", statusPath+"?view=2", "").Header.Get("ETag")
	f.stale = true
	if now := do(h, "GET", statusPath+"?view=2", "").Header.Get("ETag"); now == tag {
		t.Errorf("the tag of a stale document stays %s", tag)
	}
}

func TestViews(t *testing.T) {
	h := handler(t, config(staged()))
	for accept, want := range map[string]string{
		"application/json":                       `{"Available"`,
		"":                                       `{"Available"`,
		"application/vnd.leaderlast.status+json": `{"schema"`,
		"application/json, application/vnd.leaderlast.status+json;q=.9": `{"schema"`,
		"application/vnd.leaderlast.status+json;q=0":                    `{"Available"`,
	} {
		r := do(h, "GET", statusPath, "", "Accept", accept)
		if got := text(t, r); !strings.HasPrefix(got, want) || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %.40s %v", accept, got, r.Header)
		}
	}
}

// poll asks with the tag that path has now.
func poll(h http.Handler, path, prefer string) (*http.Response, time.Duration) {
	tag := do(h, "GET", path, "").Header.Get("ETag")
	began := time.Now()
	r := do(h, "GET", path, "", "If-None-Match", tag, "Prefer", prefer)
	return r, time.Since(began)
}

func TestWaitIsBounded(t *testing.T) {
	for prefer, want := range map[string]time.Duration{
		"wait=0": 0, "wait=10": 10 * time.Second, "respond-async, wait=10": 10 * time.Second, `Wait="7";x=y`: 7 * time.Second,
		"wait=600": 60 * time.Second, "wait=99999999999": 0, "wait=-1": 0, "wait=soon": 0, "wait": 0, "": 0, "handling=strict": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := handler(t, config(staged()))
			for _, path := range []string{profilePath, statusPath + "?view=2"} {
				if r, took := poll(h, path, prefer); r.StatusCode != 304 || took != want {
					t.Errorf("Prefer: %s: %s after %v, want %v", prefer, r.Status, took, want)
				} else if applied := r.Header.Get("Preference-Applied"); (applied != "") != (want > 0) {
					t.Errorf("Prefer: %s: Preference-Applied: %s", prefer, applied)
				}
			}
			began := time.Now()
			do(h, "GET", profilePath, "", "Prefer", prefer)
			do(h, "GET", profilePath, "", "Prefer", prefer, "If-None-Match", `"other"`)
			if took := time.Since(began); took != 0 {
				t.Errorf("Prefer: %s held back what is new for %v", prefer, took)
			}
		})
	}
}

// held starts a poll of path and returns once it is held.
func held(t testing.TB, f *fake, url, path string) <-chan *http.Response {
	t.Helper()
	get := func(tag string) *http.Response {
		r, err := http.NewRequest("GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", tag)
		r.Header.Set("Prefer", "wait=60")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return &http.Response{Body: http.NoBody}
		}
		return resp
	}
	f.mu.Lock()
	f.waiting = make(chan struct{}, 16)
	f.mu.Unlock()
	tag := get(`"none"`).Header.Get("ETag")
	answer := make(chan *http.Response, 1)
	go func() { answer <- get(tag) }()
	<-f.waiting
	return answer
}

func TestWaitWakesAtOnce(t *testing.T) {
	for _, path := range []string{profilePath, statusPath, statusPath + "?view=2", profilePath + "/params/status", "/api/v3/profiles"} {
		f := staged()
		s := serve(t, handler(t, config(f)))
		answer := held(t, f, s.URL, path)
		f.set("", func(*tracking.Run) {}) // shows in the status alone
		if path != statusPath+"?view=2" {
			<-f.waiting // held again: nothing to see there
		}
		f.set("claimed", func(r *tracking.Run) { r.Status = tracking.Working })
		r := <-answer
		if body := text(t, r); r.StatusCode != 200 || path != statusPath+"?view=2" && !strings.Contains(body, "working") {
			t.Errorf("%s: %s %s", path, r.Status, body)
		}
	}
}

func TestWaitForWhatGoesAway(t *testing.T) {
	f := staged()
	answer := held(t, f, serve(t, handler(t, config(f))).URL, profilePath)
	f.set("", func(r *tracking.Run) { r.Status = tracking.None })
	if r := <-answer; r.StatusCode != 404 {
		t.Errorf("%s", r.Status)
	}
}

func TestWaitEndsWhenTheServerDrains(t *testing.T) {
	f := staged()
	c := config(f)
	draining := make(chan struct{})
	c.Draining = func() <-chan struct{} { return draining }
	answer := held(t, f, serve(t, handler(t, c)).URL, profilePath)
	close(draining)
	if r := <-answer; r.StatusCode != 304 {
		t.Errorf("%s", r.Status)
	}
	synctest.Test(t, func(t *testing.T) {
		c.Draining = func() <-chan struct{} { ch := make(chan struct{}); close(ch); return ch }
		if r, took := poll(handler(t, c), profilePath, "wait=60"); r.StatusCode != 304 || took != 0 {
			t.Errorf("while draining: %s after %v", r.Status, took)
		}
	})
}

// The timeouts of the server count from the head of a request, and know nothing
// of one that is held.
func TestWaitOutlastsTheServersTimeouts(t *testing.T) {
	f := staged()
	s := httptest.NewUnstartedServer(handler(t, config(f)))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	s.Start()
	defer s.Close()
	answer := held(t, f, s.URL, profilePath)
	time.Sleep(150 * time.Millisecond) // past both
	f.set("claimed", func(r *tracking.Run) { r.Status = tracking.Working })
	if r := <-answer; r.StatusCode != 200 || !strings.Contains(text(t, r), "working") {
		t.Errorf("%s", r.Status)
	}
}

func TestClientGoneWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(t, config(staged()))
		tag := do(h, "GET", profilePath, "").Header.Get("ETag")
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, "GET", profilePath, nil)
		r.Header.Set("If-None-Match", tag)
		r.Header.Set("Prefer", "wait=60")
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		synctest.Wait()
		began := time.Now()
		cancel()
		<-done
		if took := time.Since(began); took != 0 {
			t.Errorf("noticed after %v", took)
		}
	})
}
