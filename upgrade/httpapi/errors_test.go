package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

func TestErrors(t *testing.T) {
	checks := []upgrade.Check{{ID: "binary-writable", Title: "provd is not writable.", Fix: upgrade.Fix{Text: "Give it to its user.", Command: "chown"}}}
	for _, c := range []struct {
		err    error
		status int
		kind   string
	}{
		{&upgrade.Refusal{Kind: upgrade.Invalid}, 422, "Invalid"},
		{&upgrade.Refusal{Kind: upgrade.Short}, 400, "Short"},
		{&upgrade.Refusal{Kind: upgrade.Untrusted}, 403, "Untrusted"},
		{&upgrade.Refusal{Kind: upgrade.Forbidden}, 403, "Forbidden"},
		{&upgrade.Refusal{Kind: upgrade.NotFound}, 404, "NotFound"},
		{&upgrade.Refusal{Kind: upgrade.Conflict}, 409, "Conflict"},
		{&upgrade.Refusal{Kind: upgrade.NotReady, Checks: checks, Remedy: "Then try again.", Member: "m1", Gate: "A", Until: at}, 409, "NotReady"},
		{&upgrade.Refusal{Kind: upgrade.TooLarge}, 413, "TooLarge"},
		{&upgrade.Refusal{Kind: upgrade.NoSpace}, 507, "NoSpace"},
		{&upgrade.Refusal{Kind: upgrade.Busy}, 429, "Busy"},
		{&upgrade.Refusal{Kind: upgrade.Unavailable}, 503, "Unavailable"},
		{&upgrade.Refusal{Kind: upgrade.Unavailable, Reason: "ReplicationIncomplete", Member: "m3"}, 504, "Unavailable"},
		{&upgrade.Refusal{Kind: upgrade.Unsupported}, 501, "Unsupported"},
		{fmt.Errorf("wrapped: %w", &upgrade.Refusal{Kind: upgrade.Conflict, Err: errors.New("cause")}), 409, "Conflict"},
		{&upgrade.Refusal{Kind: "Strange"}, 500, "Internal"},
		{errors.New("disk on fire"), 500, "Internal"},
		{errors.ErrUnsupported, 501, "Unsupported"},
	} {
		f := staged()
		f.fail = c.err
		h := handler(t, config(f))
		for _, target := range []string{"POST system/upgrade/stage", "POST system/upgrade", "POST system/upgrade/run", "POST system/upgrade/exec",
			"DELETE system/upgrade/stage", "GET system/upgrade/status", "GET system/upgrade/status?view=2", "GET system/upgrade/check",
			"GET system/upgrade/plan", "GET profiles", "GET profiles/rackn-system-upgrade-tracking"} {
			method, path, _ := strings.Cut(target, " ")
			body := ""
			if strings.HasSuffix(path, "stage") || strings.HasSuffix(path, "upgrade") {
				body = "{}"
			}
			r := do(h, method, "/api/v3/"+path, body)
			raw := text(t, r)
			// The contract's struct, in a decoder that does not mind case, and ours.
			var theirs contractError
			var ours httpapi.Error
			if err := errors.Join(json.Unmarshal([]byte(raw), &theirs), json.Unmarshal([]byte(raw), &ours)); err != nil {
				t.Fatalf("%s: %s: %v", target, raw, err)
			}
			if r.StatusCode != c.status || theirs.Code != c.status || theirs.Type != c.kind || len(theirs.Messages) == 0 {
				t.Errorf("%s for %v: %d %+v", target, c.err, r.StatusCode, theirs)
			}
			if same := (contractError{ours.Model, ours.Key, ours.Type, ours.Messages, ours.Code}); !cmp.Equal(theirs, same) {
				t.Errorf("%s: %s", target, cmp.Diff(theirs, same))
			}
			var keys map[string]json.RawMessage
			if err := json.Unmarshal([]byte(raw), &keys); err != nil {
				t.Fatal(err)
			}
			for key := range keys {
				if key[0] < 'A' || key[0] > 'Z' {
					t.Errorf("%s: the key %q is not capitalised", target, key)
				}
			}
			if wait := r.Header.Get("Retry-After"); (wait != "") != (c.status == 429) {
				t.Errorf("%d with Retry-After %q", c.status, wait)
			}
			if c.kind == "NotReady" {
				want := []string{"", "binary-writable: provd is not writable. Give it to its user. Run: chown", "Then try again."}
				if !cmp.Equal(theirs.Messages, want) || ours.Member != "m1" || ours.Gate != "A" || !ours.Until.Equal(at) || !cmp.Equal(ours.Checks, checks) {
					t.Errorf("%s: %s", target, raw)
				}
			}
		}
	}
}

func TestRetryAfterFollowsUntil(t *testing.T) {
	f := staged()
	f.fail = &upgrade.Refusal{Kind: upgrade.Busy, Until: time.Now().Add(90 * time.Second)}
	r := do(handler(t, config(f)), "POST", "/api/v3/system/upgrade/run", "")
	if got := r.Header.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After: %s", got)
	}
}

type logged struct{ lines []string }

func (l *logged) Debug(string, ...any) {}
func (l *logged) Info(string, ...any)  {}
func (l *logged) Warn(string, ...any)  {}
func (l *logged) Error(msg string, args ...any) {
	l.lines = append(l.lines, fmt.Sprint(append([]any{msg}, args...)...))
}

func TestPanic(t *testing.T) {
	log := &logged{}
	c := config(staged())
	c.Logger = log
	c.Authorize = func(*http.Request, httpapi.Right) error { panic("the secret is 42") }
	h := handler(t, c)
	r := do(h, "GET", "/api/v3/system/upgrade/status", "")
	body := text(t, r)
	if r.StatusCode != 500 || !strings.Contains(body, `"Type":"Internal"`) || strings.Contains(body, "42") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if len(log.lines) != 1 || !strings.Contains(log.lines[0], "42") || !strings.Contains(log.lines[0], "TestPanic") {
		t.Errorf("log: %q", log.lines)
	}
	c.Authorize = func(*http.Request, httpapi.Right) error { panic(http.ErrAbortHandler) }
	h = handler(t, c)
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v", v)
		}
	}()
	do(h, "GET", "/api/v3/system/upgrade/status", "")
}

func TestStatusOfEveryState(t *testing.T) {
	f := staged()
	h := handler(t, config(f))
	for _, s := range []tracking.Status{tracking.Staging, tracking.Staged, tracking.Working, tracking.Finished, tracking.Failed} {
		f.set("", func(r *tracking.Run) { r.Status = s })
		if got := text(t, do(h, "GET", "/api/v3/profiles/rackn-system-upgrade-tracking/params/status", "")); got != `"`+string(s)+`"` {
			t.Errorf("%s: %s", s, got)
		}
		final := do(h, "GET", "/api/v3/profiles/rackn-system-upgrade-tracking/params/final-state", "").StatusCode == 200
		if want := s == tracking.Finished || s == tracking.Failed; final != want {
			t.Errorf("%s: final-state is there: %v", s, final)
		}
	}
}
