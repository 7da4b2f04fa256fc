package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

func client(t testing.TB, c httpapi.ClientConfig) *httpapi.Client {
	t.Helper()
	cl, err := httpapi.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func TestNewClientRefuses(t *testing.T) {
	for _, servers := range [][]string{nil, {""}, {"127.0.0.1:8092"}, {"ftp://x"}, {"https://"}, {"http://x/?a=b"}, {"http://ok", "%"}} {
		if _, err := httpapi.NewClient(httpapi.ClientConfig{Servers: servers}); err == nil {
			t.Errorf("%q is accepted", servers)
		}
	}
}

func TestClientCalls(t *testing.T) {
	f := staged()
	cfg := config(f)
	cfg.Authorize = func(r *http.Request, _ httpapi.Right) error {
		if user, pass, _ := r.BasicAuth(); user != "jane" || pass != "secret" {
			return httpapi.ErrUnauthenticated
		}
		return nil
	}
	s := serve(t, http.StripPrefix("/m2", handler(t, cfg)))
	c := client(t, httpapi.ClientConfig{Servers: []string{s.URL + "/m2/"}, Auth: httpapi.BasicAuth("jane", "secret")})
	ctx := t.Context()

	const sum = archive.Digest("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	var progress []int64
	put, err := c.Stage(ctx, strings.NewReader("abc"), 3, httpapi.UploadOptions{Digest: sum, Progress: func(n int64) { progress = append(progress, n) }})
	if err != nil || put.Run != "r1" || put.Release.Archive != sum || put.Release.Size != 3 || put.Release.Manifest.Version != "4.12.0" {
		t.Errorf("Stage: %+v, %v", put, err)
	}
	if f.put.Size != 3 || f.put.Digest != sum || !slices.Equal(progress, []int64{3}) {
		t.Errorf("staged with %+v, progress %v", f.put, progress)
	}
	if _, err := c.Legacy(ctx, strings.NewReader("abc"), -1, httpapi.UploadOptions{}); err != nil || f.put.Size != -1 {
		t.Errorf("Legacy: size %d, %v", f.put.Size, err)
	}
	if run, err := c.Run(ctx, upgrade.StartOptions{Plan: "5d1e90", Skip: []string{"a", "b"}}); err != nil || run != "r1" || f.start.Plan != "5d1e90" || len(f.start.Skip) != 2 {
		t.Errorf("Run: %s, %v; %+v", run, err, f.start)
	}
	head := &archive.Head{Sums: []byte("a"), Size: 7}
	if r, err := c.Check(ctx, upgrade.CheckOptions{Head: head, Skip: []string{"x"}}); err != nil || !r.Ready || !cmp.Equal(f.check.Head, head) || len(f.check.Skip) != 1 {
		t.Errorf("Check: %+v, %v; %+v", r, err, f.check)
	}
	if r, err := c.Plan(ctx, upgrade.CheckOptions{}); err != nil || r.ID != "5d1e90" || f.check.Head != nil {
		t.Errorf("Plan: %+v, %v; %+v", r, err, f.check)
	}
	if s, err := c.Status(ctx); err != nil || s.Status != "staged" || s.Schema != upgrade.StatusSchema {
		t.Errorf("Status: %+v, %v", s, err)
	}
	if p, err := c.Profile(ctx); err != nil || p.Params["status"] != "staged" {
		t.Errorf("Profile: %+v, %v", p, err)
	}
	if err := c.Unstage(ctx); err != nil {
		t.Errorf("Unstage: %v", err)
	}
}

func TestRefusalsComeBack(t *testing.T) {
	for _, kind := range []upgrade.Kind{upgrade.Invalid, upgrade.Short, upgrade.Untrusted, upgrade.Forbidden, upgrade.NotFound, upgrade.Conflict,
		upgrade.NotReady, upgrade.TooLarge, upgrade.NoSpace, upgrade.Busy, upgrade.Unavailable, upgrade.Unsupported} {
		want := &upgrade.Refusal{Kind: kind, Reason: "Because", Message: "no", Remedy: "Do.", Member: "m1", Gate: "B", Until: at,
			Checks: []upgrade.Check{{ID: "x", Fix: upgrade.Fix{Text: "y"}}}}
		f := staged()
		f.fail = want
		c := client(t, httpapi.ClientConfig{Servers: []string{serve(t, handler(t, config(f))).URL}, Retries: -1})
		_, stageErr := c.Stage(t.Context(), strings.NewReader("abc"), 3, httpapi.UploadOptions{})
		_, runErr := c.Run(t.Context(), upgrade.StartOptions{})
		_, statusErr := c.Status(t.Context())
		for _, err := range []error{stageErr, runErr, statusErr, c.Unstage(t.Context())} {
			var got *upgrade.Refusal
			if !errors.As(err, &got) || !cmp.Equal(got, want, cmpopts.IgnoreFields(upgrade.Refusal{}, "Err")) {
				t.Errorf("%s: %v\n%s", kind, err, cmp.Diff(got, want))
			}
		}
	}
}

// answering is a server that gives one answer.
func answering(t testing.TB, status int, kind, body string) *httpapi.Client {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		if status == 307 {
			w.Header().Set("Location", "http://elsewhere.example/")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	return client(t, httpapi.ClientConfig{Servers: []string{s.URL}, Retries: -1})
}

func TestForeignAnswers(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, body string
		want       upgrade.Kind
		reason     string
	}{
		{200, "text/html", "<html>log in", upgrade.Unsupported, "NotTheAPI"},
		{307, "application/json", "", upgrade.Unsupported, "NotTheAPI"},
		{200, "application/json", "{", upgrade.Unsupported, "NotTheAPI"},
		{502, "text/html", "<h1>Bad\n gateway", upgrade.Unavailable, "Unavailable"},
		{413, "text/plain", "too big", upgrade.TooLarge, "TooLarge"},
		{403, "application/json", `{"error":"x"}`, upgrade.Forbidden, "Forbidden"},
		{401, "text/plain", "", upgrade.Forbidden, "Unauthenticated"},
		{404, "application/json", `{"Model":"profiles","Key":"x","Type":"GET","Messages":["Not Found"],"Code":404}`, upgrade.NotFound, "NotFound"},
		{418, "", "", upgrade.Invalid, "Invalid"},
		{500, "text/plain", "boom", "", "Internal"},
		{500, "application/json", `{"Model":"system","Type":"Internal","Messages":["boom"],"Code":500,"Reason":"Internal"}`, "", "Internal"},
	} {
		_, err := answering(t, c.status, c.kind, c.body).Status(t.Context())
		var r *upgrade.Refusal
		var e *httpapi.Error
		switch {
		case c.want == "" && (!errors.As(err, &e) || e.Code != c.status || e.Reason != c.reason || errors.As(err, &r)):
			t.Errorf("%d %s: %v", c.status, c.body, err)
		case c.want != "" && (!errors.As(err, &r) || r.Kind != c.want || r.Reason != c.reason):
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
		if errors.Is(err, httpapi.ErrUnauthenticated) != (c.status == 401) {
			t.Errorf("%d: unauthenticated: %v", c.status, err)
		}
	}
}

// Where no body is expected, the type still tells.
func TestForeignAnswerToUnstage(t *testing.T) {
	err := answering(t, 200, "text/html", "<html>log in").Unstage(t.Context())
	var r *upgrade.Refusal
	if !errors.As(err, &r) || r.Reason != "NotTheAPI" || !strings.Contains(r.Message, "log in") {
		t.Errorf("%v", err)
	}
}

// What a server says of its trouble is not lost to the silence of the next.
func TestTroubleTellsMoreThanSilence(t *testing.T) {
	s := trips(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "a" {
			return reply(r, 503, `{"Type":"Unavailable","Messages":["no quorum"],"Code":503,"Reason":"NoQuorum"}`), nil
		}
		return nil, errors.New("connection refused")
	})
	c := client(t, httpapi.ClientConfig{Servers: []string{"http://a", "http://b"}, HTTP: &http.Client{Transport: s}, Retries: -1})
	var r *upgrade.Refusal
	if err := c.Unstage(t.Context()); !errors.As(err, &r) || r.Reason != "NoQuorum" {
		t.Errorf("%v", err)
	}
}

// trips is a transport without a network.
type trips func(*http.Request) (*http.Response, error)

func (f trips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func TestRetries(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for name, answer := range map[string]trips{
		"refused": func(*http.Request) (*http.Response, error) { return nil, refused },
		"502":     func(r *http.Request) (*http.Response, error) { return reply(r, 502, "{}"), nil },
		"cut": func(r *http.Request) (*http.Response, error) {
			resp := reply(r, 200, "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), errReader{io.ErrUnexpectedEOF}))
			return resp, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var times []float64
				var hosts []string
				c := client(t, httpapi.ClientConfig{Servers: []string{"http://a", "http://b"}, HTTP: &http.Client{Transport: trips(func(r *http.Request) (*http.Response, error) {
					hosts = append(hosts, r.URL.Host)
					if r.URL.Host == "a" {
						times = append(times, time.Since(began).Seconds())
					}
					return answer(r)
				})}})
				err := c.Unstage(t.Context())
				var r *upgrade.Refusal
				if !errors.As(err, &r) || r.Kind != upgrade.Unavailable {
					t.Errorf("%v", err)
				}
				if strings.Join(hosts, "") != strings.Repeat("ab", 7) {
					t.Errorf("asked %v", hosts)
				}
				for i, want := range []float64{0, 0.2, 0.7, 1.7, 3.7, 6.7, 9.7} {
					if got := times[i]; got < want*0.79 || got > want*1.21 {
						t.Errorf("attempt %d after %.2fs, want about %.1fs", i, got, want)
					}
				}
			})
		})
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestRetriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		answers := trips(func(r *http.Request) (*http.Response, error) {
			if n++; n < 4 {
				return nil, errors.New("refused")
			}
			return reply(r, 202, ""), nil
		})
		c := client(t, httpapi.ClientConfig{Servers: []string{"http://a"}, HTTP: &http.Client{Transport: answers}})
		if _, err := c.Run(t.Context(), upgrade.StartOptions{}); err != nil || n != 4 {
			t.Errorf("%d attempts, %v", n, err)
		}
		// By the caller's context, with its cause.
		n = -1000
		why := errors.New("Ctrl-C")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, why)
		defer cancel()
		began := time.Now()
		if err := c.Unstage(ctx); !errors.Is(err, why) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// By a server that accepts and says nothing: not asked again.
		n = 0
		hang := trips(func(r *http.Request) (*http.Response, error) {
			n++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c = client(t, httpapi.ClientConfig{Servers: []string{"http://a"}, HTTP: &http.Client{Transport: hang}})
		began = time.Now()
		var r *upgrade.Refusal
		if err := c.Unstage(t.Context()); !errors.As(err, &r) || r.Reason != "Unreachable" || time.Since(began) != time.Minute || n != 1 {
			t.Errorf("%v after %v, %d attempts", err, time.Since(began), n)
		}
	})
}
