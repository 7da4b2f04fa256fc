package upgradecmd

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A pause by somebody else is seen at once, and so is that it is over.
func TestPausedWhileWatched(t *testing.T) {
	byOther := func(s *script) {
		h, g := hold, goOn
		h.After, g.After = "2s", "5s"
		s.AtOnce = []change{h, g}
	}
	watch := []string{"upgrade", "status", "--watch"}
	moments(t, "moments-paused-80", setup{script: "cluster-working", width: 80, change: byOther, args: watch}, time.Second, 4*time.Second, 8*time.Second)
	moments(t, "moments-paused-120", setup{script: "cluster-working", width: 120, change: byOther, args: watch}, 4*time.Second)
}

// What the operator chose goes to the server, as it was typed.
func TestFlagsOfARun(t *testing.T) {
	for _, c := range []struct {
		script string
		args   []string
		want   string
	}{
		{"cluster-retry", []string{"retry"}, "retry?"},
		{"cluster-retry", []string{"retry", "--forget", "m3", "--forget", "m4", "--skip-check", "dir-space", "--allow-outage"},
			"retry?allow-outage=1&forget=m3&forget=m4&skip=dir-space"},
		{"cluster-finished", []string{"rollback", "--yes"}, "rollback?"},
		{"cluster-finished", []string{"rollback", "--yes", "--forget", "m3", "--forget", "m4", "--skip-check", "dir-space", "--allow-outage"},
			"rollback?allow-outage=1&forget=m3&forget=m4&skip=dir-space"},
		{"cluster-finished", []string{"commit", "--yes"}, "commit?"},
		{"cluster-committed", []string{"commit"}, "commit?"}, // nothing is given up any more
		{"cluster-staged", []string{"start", "--allow-outage"}, "run?allow-outage=1"},
		{"cluster-staged", []string{"start", "--allow-outage=false"}, "run?"},
		{"cluster", []string{"./provd-4.12.0.zip", "--allow-outage", "--skip-check", "dir-space"}, "run?allow-outage=1&skip=dir-space"},
		{"cluster-working", []string{"pause"}, "pause?"},
		{"cluster-working", []string{"resume"}, "resume?"},
	} {
		makeArchive(t)
		r := run(t, setup{script: c.script, width: 80, args: append([]string{"upgrade"}, c.args...)})
		if r.code != CodeOK || strings.Join(r.server.queries, " ") != c.want {
			t.Errorf("%v: exit code %d, asked for %v, want %s\n%s", c.args, r.code, r.server.queries, c.want, r.text())
		}
	}
	for _, args := range [][]string{{"pause", "now"}, {"resume", "now"}, {"retry", "./provd-4.12.0.zip"}, {"retry", "--forget"},
		{"rollback", "4.11.2"}, {"rollback", "--forget"}, {"commit", "now"}, {"commit", "--watch"}} {
		if r := run(t, setup{script: "cluster-working", args: append([]string{"upgrade"}, args...)}); r.code != CodeUsage || len(r.server.queries) > 0 {
			t.Errorf("%v: exit code %d, asked for %v", args, r.code, r.server.queries)
		}
	}
}

// Who starts what is under way is told that nothing was, and how it goes on.
func TestStartWhileItWorks(t *testing.T) {
	for _, c := range []struct {
		change func(*script)
		want   string
	}{
		{nil, " run 7K3F works already; nothing was started\nWatch it:  provd upgrade status --watch\n"},
		{isPaused, " run 7K3F works already, and is paused; nothing was started\nGo on:  provd upgrade resume\n"},
	} {
		r := run(t, setup{script: "cluster-working", change: c.change, args: []string{"upgrade", "start"}})
		if text := r.text(); r.code != CodeOK || !strings.Contains(text, c.want) {
			t.Errorf("exit code %d, want %q:\n%s", r.code, c.want, text)
		}
	}
}

// Who stages what a run installs already is told so, and is not sent to start it.
func TestStageWhileItWorks(t *testing.T) {
	makeArchive(t)
	already := func(s *script) { s.Already = true }
	for _, c := range []struct {
		change func(*script)
		want   string
	}{
		{already, " 4.12.0 is what run 7K3F works on; nothing was staged again\nWatch it:  provd upgrade status --watch\n"},
		{func(s *script) { already(s); isPaused(s) }, "; nothing was staged again\nGo on:  provd upgrade resume\n"},
	} {
		r := run(t, setup{script: "cluster-working", width: 120, change: c.change, args: []string{"upgrade", "stage", "./provd-4.12.0.zip"}})
		if text := r.text(); r.code != CodeOK || !strings.Contains(text, c.want) {
			t.Errorf("exit code %d, want %q:\n%s", r.code, c.want, text)
		}
	}
	r := run(t, setup{script: "alone-staged", width: 120, change: already, args: []string{"upgrade", "stage", "./provd-4.12.0.zip"}})
	if text := r.text(); r.code != CodeOK || !strings.Contains(text, " was staged before; signature and digest checked\nStart it:  provd upgrade start\n") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// A run that found its version everywhere does not say that it installed it.
func TestNothingReplaced(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"alone-finished", "finished: provd 4.12.0 ran there already; nothing was replaced. 4.11.2 is kept beside the program.\n"},
		{"cluster-working", "finished: provd 4.12.0 ran on m1 m2 m3 already; nothing was replaced. Leader: m1. None put back.\n"},
	} {
		skipped := func(s *script) {
			all := len(s.Begin.Members)
			s.Begin.Status["progress"] = map[string]any{"done": 0, "skipped": all, "total": all}
			for _, m := range s.Begin.Members {
				m["state"] = "skipped"
			}
			s.Begin.Status["status"], s.Begin.Run["started_at"], s.Begin.Run["finished_at"] = "finished", "@0s", "@0s"
		}
		r := run(t, setup{script: c.script, width: 120, change: skipped, args: []string{"upgrade", "status"}})
		if text := r.text(); !strings.Contains(text, c.want) {
			t.Errorf("%s: %q is missing:\n%s", c.script, c.want, text)
		}
	}
}

// The command that is printed next goes on with what the operator chose.
func TestHintsKeepChoices(t *testing.T) {
	makeArchive(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"check", "--allow-outage"}, "Run it:  provd upgrade start --allow-outage\n"},
		{[]string{"plan", "./provd-4.12.0.zip", "--allow-outage", "--skip-check", "dir-space"},
			"Run it:  provd upgrade ./provd-4.12.0.zip --plan 5d1e90 --skip-check dir-space --allow-outage\n"},
	} {
		r := run(t, setup{script: "cluster", width: 120, args: append([]string{"upgrade"}, c.args...)})
		if text := r.text(); !strings.Contains(text, c.want) {
			t.Errorf("%v: %q is missing:\n%s", c.args, c.want, text)
		}
	}
}

// A watch that was away while its run failed and was started again tells of both.
func TestRetriedMeanwhile(t *testing.T) {
	again := func(s *script) {
		s.AtOnce = []change{{After: "2s", Run: map[string]any{"id": "01JD7Q8Y8A1C", "retry_of": "01JD7Q8Y7K3F", "started_by": "joe"}}}
	}
	r := run(t, setup{script: "cluster-working", width: 80, change: again, args: []string{"upgrade", "status", "--watch"}})
	if text := r.text(); r.code != CodeFailed || !strings.Contains(text, "failed: run 7K3F, and goes on as run 8A1C by joe.\n") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// The server may vanish right after it took a retry.
func TestRetryThroughARestart(t *testing.T) {
	away := func(s *script) {
		s.Retry = append(slices.Clone(s.Retry[:1]), append([]change{{After: "1ms", Down: []string{"m1"}}, {After: "3s", Up: []string{"m1"}}}, s.Retry[1:]...)...)
	}
	r := run(t, setup{script: "cluster-retry", single: true, width: 80, change: away, args: []string{"upgrade", "retry", "--watch"}})
	if text := r.text(); r.code != CodeOK || strings.Count(text, "started   run 8A1C by jane") != 1 || !strings.Contains(text, "finished: provd 4.12.0") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

func TestCompleteMembers(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "--member", ""}, "m1 m2 m3"},
		{[]string{"status", "--member", "x"}, ""},
		{[]string{"retry", "--forget", ""}, "m3"}, // the others answer
		{[]string{"retry", "--forget", "m2", "--forget", ""}, "m3"},
		{[]string{"rollback", "--forget", ""}, "m3"},
	} {
		r := run(t, setup{script: "cluster-retry", change: m3Down, args: append([]string{"__complete", "upgrade"}, c.args...)})
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(r.out.String()), "\n") {
			if name, _, _ := strings.Cut(line, "\t"); !strings.HasPrefix(name, ":") {
				got = append(got, name)
			}
		}
		if s := strings.Join(got, " "); s != c.want || !strings.HasSuffix(strings.TrimSpace(r.out.String()), ":4") {
			t.Errorf("%v: %q, want %q", c.args, r.out.String(), c.want)
		}
	}
}

// A host's login that takes its time, or asks, does not hold up a shell.
func TestCompletionWaitsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		completing := false
		r := start(t, setup{script: "cluster-retry", args: []string{"__complete", "upgrade", "status", "--member", ""}, config: func(c *Config) {
			c.Connect = func(_ context.Context, target Target) (httpapi.ClientConfig, error) {
				completing = target.Completing
				<-stuck
				return httpapi.ClientConfig{}, os.ErrClosed
			}
		}})
		began := time.Now()
		r.wait(t)
		if took := time.Since(began); took != time.Second || !completing {
			t.Errorf("took %v, completing %v", took, completing)
		}
		close(stuck)
	})
}
