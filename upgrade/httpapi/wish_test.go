package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// Retry and rollback take the same options.
func TestOptionsOfRunsThatFollow(t *testing.T) {
	f := staged()
	h := handler(t, config(f))
	for _, c := range []struct {
		query, body string
		want        upgrade.RetryOptions
	}{
		{"", "", upgrade.RetryOptions{}},
		{"?skip=a&skip=b&forget=m3&forget=m4&allow-outage=1", "", upgrade.RetryOptions{Skip: []string{"a", "b"}, Forget: []string{"m3", "m4"}, AllowOutage: true}},
		{"?skip=a", `{"skip":["b"],"forget":["m3"],"allow_outage":true}`, upgrade.RetryOptions{Skip: []string{"a", "b"}, Forget: []string{"m3"}, AllowOutage: true}},
		{"?allow-outage", "", upgrade.RetryOptions{AllowOutage: true}},
		{"?allow-outage=true", `{"allow_outage":false}`, upgrade.RetryOptions{AllowOutage: true}},
		{"?allow-outage=0", "", upgrade.RetryOptions{}},
		{"?allow-outage=false", "", upgrade.RetryOptions{}},
	} {
		c.want.By = "192.0.2.1"
		r := do(h, "POST", "/api/v3/system/upgrade/retry"+c.query, c.body)
		if r.StatusCode != 202 || r.Header.Get("Upgrade-Run") != "r2" || !cmp.Equal(f.again, c.want) {
			t.Errorf("retry%s %s: %s, run %q\n%s", c.query, c.body, r.Status, r.Header.Get("Upgrade-Run"), cmp.Diff(c.want, f.again))
		}
		want := upgrade.RollbackOptions(c.want)
		r = do(h, "POST", "/api/v3/system/upgrade/rollback"+c.query, c.body)
		if r.StatusCode != 202 || r.Header.Get("Upgrade-Run") != "r3" || !cmp.Equal(f.back, want) {
			t.Errorf("rollback%s %s: %s, run %q\n%s", c.query, c.body, r.Status, r.Header.Get("Upgrade-Run"), cmp.Diff(want, f.back))
		}
	}
	before := len(f.seen())
	for _, c := range [][2]string{{"", `{"forgot":["m3"]}`}, {"", `{"plan":"5d1e90"}`}, {"?allow-outage=maybe", ""}} {
		for _, verb := range []string{"retry", "rollback"} {
			if r := do(h, "POST", "/api/v3/system/upgrade/"+verb+c[0], c[1]); r.StatusCode != 422 {
				t.Errorf("%s%s with %s: %s", verb, c[0], c[1], r.Status)
			}
		}
	}
	if n := len(f.seen()); n != before {
		t.Errorf("what was refused was done: %v", f.seen()[before:])
	}
}

func TestAllowOutage(t *testing.T) {
	f := staged()
	h := handler(t, config(f))
	for _, c := range [][2]string{{"?allow-outage=1", ""}, {"", `{"allow_outage":true}`}} {
		f.start = upgrade.StartOptions{}
		if r := do(h, "POST", "/api/v3/system/upgrade/run"+c[0], c[1]); r.StatusCode != 202 || !f.start.AllowOutage {
			t.Errorf("run%s with %s: %s, %+v", c[0], c[1], r.Status, f.start)
		}
	}
	for _, path := range []string{"check", "plan"} {
		f.check = upgrade.CheckOptions{}
		if r := do(h, "GET", "/api/v3/system/upgrade/"+path+"?allow-outage=1", ""); r.StatusCode != 200 || !f.check.AllowOutage {
			t.Errorf("%s: %s, %+v", path, r.Status, f.check)
		}
	}
	for _, path := range []string{"run", "check", "plan"} {
		method := map[bool]string{true: "POST", false: "GET"}[path == "run"]
		if r := do(h, method, "/api/v3/system/upgrade/"+path+"?allow-outage=yes", ""); r.StatusCode != 422 {
			t.Errorf("%s with a value that nobody knows: %s", path, r.Status)
		}
	}
	// The single-step request and the one of a leader ask for no outage.
	for _, path := range []string{"", "/exec"} {
		f.start = upgrade.StartOptions{}
		do(h, "POST", "/api/v3/system/upgrade"+path+"?allow-outage=1", "PK")
		if f.start.AllowOutage {
			t.Errorf("%q starts with an outage", path)
		}
	}
}

// Who may cancel may pause, and who may run may as well; nobody else. All that
// begins a run, or gives up the way back, is for who may run.
func TestRightsToSteer(t *testing.T) {
	for has, want := range map[string][5]int{
		"abort":        {204, 403, 403, 403, 403},
		"run":          {204, 204, 202, 202, 204},
		"abort run":    {204, 204, 202, 202, 204},
		"status stage": {403, 403, 403, 403, 403},
		"":             {401, 401, 401, 401, 401},
	} {
		f := staged()
		c := config(f)
		c.Authorize = func(_ *http.Request, r httpapi.Right) error {
			switch {
			case has == "":
				return httpapi.ErrUnauthenticated
			case strings.Contains(has, string(r)):
				return nil
			}
			return errors.New("you may not")
		}
		h := handler(t, c)
		for i, verb := range []string{"pause", "resume", "retry", "rollback", "commit"} {
			r := do(h, "POST", "/api/v3/system/upgrade/"+verb, "")
			if body := text(t, r); r.StatusCode != want[i] || verb == "pause" && r.StatusCode == 403 && !strings.Contains(body, `\"abort\" or \"run\"`) {
				t.Errorf("with %q, %s: %s %s", has, verb, r.Status, body)
			}
		}
	}
}

func TestClientWishes(t *testing.T) {
	f := staged()
	cfg := config(f)
	cfg.Principal = func(*http.Request) string { return "jane" }
	c := client(t, httpapi.ClientConfig{Servers: []string{serve(t, handler(t, cfg)).URL}, Retries: -1})
	if err := c.Pause(t.Context()); err != nil || f.pause.By != "jane" {
		t.Errorf("Pause: %v, %+v", err, f.pause)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Errorf("Resume: %v", err)
	}
	want := upgrade.RetryOptions{By: "jane", Skip: []string{"a"}, Forget: []string{"m3", "m4"}, AllowOutage: true}
	if run, err := c.Retry(t.Context(), want); err != nil || run != "r2" || !cmp.Equal(f.again, want) {
		t.Errorf("Retry: %s, %v\n%s", run, err, cmp.Diff(want, f.again))
	}
	back := upgrade.RollbackOptions(want)
	if run, err := c.Rollback(t.Context(), back); err != nil || run != "r3" || !cmp.Equal(f.back, back) {
		t.Errorf("Rollback: %s, %v\n%s", run, err, cmp.Diff(back, f.back))
	}
	if err := c.Commit(t.Context()); err != nil || f.give.By != "jane" {
		t.Errorf("Commit: %v, %+v", err, f.give)
	}
	if _, err := c.Run(t.Context(), upgrade.StartOptions{AllowOutage: true}); err != nil || !f.start.AllowOutage {
		t.Errorf("Run: %v, %+v", err, f.start)
	}
	if _, err := c.Plan(t.Context(), upgrade.CheckOptions{AllowOutage: true}); err != nil || !f.check.AllowOutage {
		t.Errorf("Plan: %v, %+v", err, f.check)
	}
	if got := strings.Join(f.seen(), " "); got != "pause resume retry rollback commit start plan" {
		t.Errorf("the server was asked for: %s", got)
	}
	f.fail = &upgrade.Refusal{Kind: upgrade.Conflict, Reason: "NotFailed", Message: "run r1 is finished", Remedy: "look"}
	_, retried := c.Retry(t.Context(), upgrade.RetryOptions{})
	_, rolledBack := c.Rollback(t.Context(), upgrade.RollbackOptions{})
	for verb, err := range map[string]error{"pause": c.Pause(t.Context()), "resume": c.Resume(t.Context()), "retry": retried,
		"rollback": rolledBack, "commit": c.Commit(t.Context())} {
		var no *upgrade.Refusal
		if !errors.As(err, &no) || no.Reason != "NotFailed" || no.Kind != upgrade.Conflict || no.Remedy != "look" {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
