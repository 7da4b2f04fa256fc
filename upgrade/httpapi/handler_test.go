package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

func TestNewRefusesToExist(t *testing.T) {
	allow := func(*http.Request, httpapi.Right) error { return nil }
	for name, c := range map[string]httpapi.Config{
		"no authoriser":   {Upgrader: &fake{}},
		"no upgrader":     {Authorize: allow},
		"prefix":          {Upgrader: &fake{}, Authorize: allow, Prefix: "api"},
		"negative limit":  {Upgrader: &fake{}, Authorize: allow, MaxUpload: -1},
		"unusable origin": {Upgrader: &fake{}, Authorize: allow, Origins: []string{"here"}},
	} {
		if h, err := httpapi.New(c); err == nil || h != nil {
			t.Errorf("%s: New returned %v, %v", name, h, err)
		}
	}
}

// do makes one request of h itself.
func do(h http.Handler, method, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// contractError is the error object that existing clients decode.
type contractError struct {
	Model, Key, Type string
	Messages         []string
	Code             int
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 string // beginning of the body
		rights               string
	}{
		{"POST", "/system/upgrade/stage", "bytes", 201, `{"Path":"sha256:`, "stage"},
		{"POST", "/system/upgrade", "bytes", 201, `{"Path":"sha256:`, "stage run"},
		{"POST", "/system/upgrade/run", "", 202, "", "run"},
		{"POST", "/system/upgrade/exec", "", 202, "", "run"},
		{"POST", "/system/upgrade/pause", "", 204, "", "abort"},
		{"POST", "/system/upgrade/resume", "", 204, "", "run"},
		{"POST", "/system/upgrade/retry", "", 202, "", "run"},
		{"POST", "/system/upgrade/rollback", "", 202, "", "run"},
		{"POST", "/system/upgrade/commit", "", 204, "", "run"},
		{"DELETE", "/system/upgrade/stage", "", 204, "", "abort"},
		{"GET", "/system/upgrade/status", "", 200, `{"Available":true`, "status"},
		{"GET", "/system/upgrade/status?view=1", "", 200, `{"Available":true`, "status"},
		{"GET", "/system/upgrade/status?view=2", "", 200, `{"schema":"leaderlast.status/1"`, "status"},
		{"HEAD", "/system/upgrade/status", "", 200, "", "status"},
		{"GET", "/system/upgrade/check", "", 200, `{"ready":true`, "status"},
		{"HEAD", "/system/upgrade/check", "", 200, "", "status"},
		{"POST", "/system/upgrade/check", `{"size":7}`, 200, `{"ready":true`, "status"},
		{"GET", "/system/upgrade/plan", "", 200, `{"id":"5d1e90"`, "status"},
		{"POST", "/system/upgrade/plan", `{"size":7}`, 200, `{"id":"5d1e90"`, "status"},
		{"GET", "/profiles", "", 200, `[{"Available":true`, "status"},
		{"GET", "/profiles/rackn-system-upgrade-tracking", "", 200, `{"Available":true`, "status"},
		{"HEAD", "/profiles/rackn-system-upgrade-tracking", "", 200, "", "status"},
		{"GET", "/profiles/rackn-system-upgrade-tracking/params", "", 200, `{"archive":`, "status"},
		{"GET", "/profiles/rackn-system-upgrade-tracking/params/status", "", 200, `"staged"`, "status"},
		{"HEAD", "/profiles/rackn-system-upgrade-tracking/params/status", "", 200, "", "status"},

		{"GET", "/profiles/rackn-system-upgrade-tracking/params/final-state", "", 404, `{"Model":"profiles"`, "status"},
		{"GET", "/profiles/other", "", 404, `{"Model":"profiles","Key":"other","Type":"GET"`, "status"},
		{"GET", "/profiles/other/params/status", "", 404, `{"Model":"profiles"`, "status"},
		{"HEAD", "/profiles/other", "", 404, "", "status"},
		{"GET", "/system/upgrade/status?view=3", "", 422, `{"Model":"profiles"`, "status"},
		{"GET", "/profiles/rackn-system-upgrade-tracking/other", "", 404, `{"Model":"profiles"`, ""},
		{"GET", "/profiles/", "", 404, `{"Model":"profiles"`, ""},
		{"GET", "/machines/7", "", 404, `{"Model":"machines","Key":"7"`, ""},
		{"GET", "/", "", 404, `{"Model":""`, ""},
		{"GET", "/system/upgrade", "", 405, `{"Model":"system","Key":"upgrade"`, ""},
		{"PUT", "/system/upgrade/stage", "bytes", 405, `{"Model":"system"`, ""},
		{"OPTIONS", "/profiles", "", 405, `{"Model":"profiles"`, ""},
	} {
		for prefix, mount := range mounts {
			t.Run(c.method+" "+prefix+c.target, func(t *testing.T) {
				var rights []string
				cfg := config(staged())
				cfg.Authorize = func(_ *http.Request, r httpapi.Right) error {
					rights = append(rights, string(r))
					return nil
				}
				r := do(mount(t, cfg), c.method, prefix+c.target, c.body)
				body := text(t, r)
				if r.StatusCode != c.status || !strings.HasPrefix(body, c.want) || c.want == "" && body != "" {
					t.Errorf("status %d, body %s; want %d, %s", r.StatusCode, body, c.status, c.want)
				}
				if got := strings.Join(rights, " "); got != c.rights {
					t.Errorf("asked for the rights %q, want %q", got, c.rights)
				}
				if kind := r.Header.Get("Content-Type"); kind != "application/json" {
					t.Errorf("Content-Type is %q", kind)
				}
				if store := r.Header.Get("Cache-Control"); store != "no-store" {
					t.Errorf("Cache-Control is %q", store)
				}
				if r.StatusCode == 405 && r.Header.Get("Allow") == "" {
					t.Error("no Allow")
				}
				if r.StatusCode >= 400 && c.method != "HEAD" {
					var e contractError
					if err := json.Unmarshal([]byte(body), &e); err != nil || e.Code != c.status || e.Type == "" || len(e.Messages) == 0 {
						t.Errorf("error object %+v, %v", e, err)
					}
				}
			})
		}
	}
}

// mounts are ways in which a host serves the handler, by the prefix it then has.
var mounts = map[string]func(testing.TB, httpapi.Config) http.Handler{
	"/api/v3": func(t testing.TB, c httpapi.Config) http.Handler { return handler(t, c) },
	"/deep/er": func(t testing.TB, c httpapi.Config) http.Handler {
		c.Prefix = "/deep/er/"
		mux := http.NewServeMux()
		mux.Handle("/deep/er/", handler(t, c))
		return mux
	},
	"/m2/api/v3": func(t testing.TB, c httpapi.Config) http.Handler { return http.StripPrefix("/m2", handler(t, c)) },
	"": func(t testing.TB, c httpapi.Config) http.Handler {
		c.Prefix = "/"
		return handler(t, c)
	},
	"/all/off": func(t testing.TB, c httpapi.Config) http.Handler {
		c.Prefix = "/"
		return http.StripPrefix("/all/off", handler(t, c))
	},
}

func TestAllow(t *testing.T) {
	h := handler(t, config(staged()))
	for target, want := range map[string]string{
		"/api/v3/system/upgrade/stage": "DELETE, POST",
		"/api/v3/system/upgrade/check": "GET, HEAD, POST",
		"/api/v3/profiles":             "GET, HEAD",
	} {
		if got := do(h, "PATCH", target, "").Header.Get("Allow"); got != want {
			t.Errorf("%s: Allow: %s, want %s", target, got, want)
		}
	}
}

func TestNothingStaged(t *testing.T) {
	h := handler(t, config(&fake{}))
	for target, want := range map[string]int{
		"/api/v3/system/upgrade/status":                                404,
		"/api/v3/system/upgrade/status?view=2":                         200,
		"/api/v3/profiles/rackn-system-upgrade-tracking":               404,
		"/api/v3/profiles/rackn-system-upgrade-tracking/params":        404,
		"/api/v3/profiles/rackn-system-upgrade-tracking/params/status": 404,
	} {
		if r := do(h, "GET", target, ""); r.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, r.StatusCode, want)
		}
	}
	if got := text(t, do(h, "GET", "/api/v3/profiles", "")); got != "[]" {
		t.Errorf("profiles: %s", got)
	}
}

func TestOptions(t *testing.T) {
	f := staged()
	h := handler(t, config(f))
	c := config(f)
	c.Principal = func(*http.Request) string { return "jane" }
	jane := handler(t, c)

	do(h, "POST", "/api/v3/system/upgrade/run?plan=5d1e90&skip=a&skip=b", "")
	if want := (upgrade.StartOptions{By: "192.0.2.1", Plan: "5d1e90", Skip: []string{"a", "b"}}); !cmp.Equal(f.start, want) {
		t.Error(cmp.Diff(f.start, want))
	}
	r := do(jane, "POST", "/api/v3/system/upgrade/run?skip=a", `{"plan":"5d1e90","skip":["b"]}`)
	if want := (upgrade.StartOptions{By: "jane", Plan: "5d1e90", Skip: []string{"a", "b"}}); !cmp.Equal(f.start, want) {
		t.Error(cmp.Diff(f.start, want))
	}
	if run := r.Header.Get("Upgrade-Run"); run != "r1" {
		t.Errorf("Upgrade-Run: %q", run)
	}
	before := len(f.seen())
	for _, body := range []string{`{"plans":"5d1e90"}`, `{`, `{} {}`, `[]`, `{"plan":"other"}`} {
		if r := do(h, "POST", "/api/v3/system/upgrade/run?plan=5d1e90", body); r.StatusCode != 422 {
			t.Errorf("run with %s: %d", body, r.StatusCode)
		}
	}
	if n := len(f.seen()); n != before {
		t.Errorf("refused runs were started: %v", f.seen()[before:])
	}
	do(h, "POST", "/api/v3/system/upgrade/check?skip=x", `{"sums":"YQ==","size":7}`)
	if want := (upgrade.CheckOptions{Head: &archive.Head{Sums: []byte("a"), Size: 7}, Skip: []string{"x"}}); !cmp.Equal(f.check, want) {
		t.Error(cmp.Diff(f.check, want))
	}
	do(h, "GET", "/api/v3/system/upgrade/plan?skip=x&skip=y", "")
	if want := (upgrade.CheckOptions{Skip: []string{"x", "y"}}); !cmp.Equal(f.check, want) {
		t.Error(cmp.Diff(f.check, want))
	}
	if r := do(h, "POST", "/api/v3/system/upgrade/check", `{"sums":"`+strings.Repeat("A", 3<<20)+`"}`); r.StatusCode != 413 {
		t.Errorf("a head of 3 MiB: %d", r.StatusCode)
	}
	f.installed = true
	if r := do(h, "POST", "/api/v3/system/upgrade/exec", ""); r.StatusCode != 204 {
		t.Errorf("exec of what runs: %d", r.StatusCode)
	}
}

func TestAuthorize(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		reason string
	}{
		{errors.New("only admins"), 403, "Forbidden"},
		{fmt.Errorf("token ran out: %w", httpapi.ErrUnauthenticated), 401, "Unauthenticated"},
		{&upgrade.Refusal{Kind: upgrade.Unavailable, Reason: "TokensAway", Message: "no token service"}, 503, "TokensAway"},
	} {
		f := staged()
		cfg := config(f)
		cfg.Challenge = `Basic realm="x"`
		cfg.Authorize = func(*http.Request, httpapi.Right) error { return c.err }
		h := handler(t, cfg)
		for _, target := range []string{"POST system/upgrade/stage", "POST system/upgrade", "POST system/upgrade/run", "POST system/upgrade/exec",
			"POST system/upgrade/pause", "POST system/upgrade/resume", "POST system/upgrade/retry", "POST system/upgrade/rollback", "POST system/upgrade/commit",
			"DELETE system/upgrade/stage", "GET system/upgrade/status", "GET system/upgrade/check", "POST system/upgrade/plan",
			"GET profiles", "GET profiles/rackn-system-upgrade-tracking", "HEAD profiles/rackn-system-upgrade-tracking/params/status"} {
			method, path, _ := strings.Cut(target, " ")
			r := do(h, method, "/api/v3/"+path, "body")
			if r.StatusCode != c.status {
				t.Errorf("%s: %d, want %d", target, r.StatusCode, c.status)
			}
			if got := r.Header.Get("WWW-Authenticate"); (got == cfg.Challenge) != (c.status == 401) {
				t.Errorf("%s: %d with WWW-Authenticate %q", target, c.status, got)
			}
			if method != "HEAD" && !strings.Contains(text(t, r), `"Reason":"`+c.reason+`"`) {
				t.Errorf("%s: reason is not %s", target, c.reason)
			}
		}
		if len(f.seen()) > 0 {
			t.Errorf("reached the upgrader: %v", f.seen())
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	f := staged()
	c := config(f)
	c.Origins = []string{"https://console.example"}
	h := handler(t, c)
	for origin, want := range map[string]int{"https://evil.example": 403, "https://console.example": 202, "http://example.com": 202, "": 202} {
		r := do(h, "POST", "/api/v3/system/upgrade/run", "", "Origin", origin)
		if r.StatusCode != want {
			t.Errorf("Origin %q: %d, want %d", origin, r.StatusCode, want)
		}
	}
	if r := do(h, "DELETE", "/api/v3/system/upgrade/stage", "", "Sec-Fetch-Site", "cross-site"); r.StatusCode != 403 {
		t.Errorf("DELETE across sites: %d", r.StatusCode)
	}
	if r := do(h, "GET", "/api/v3/system/upgrade/status", "", "Sec-Fetch-Site", "cross-site"); r.StatusCode != 200 {
		t.Errorf("GET across sites: %d", r.StatusCode)
	}
	if slices.Contains(f.seen(), "unstage") {
		t.Error("unstaged")
	}
}
