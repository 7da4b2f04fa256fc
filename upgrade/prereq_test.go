package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/capabilities"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// prereqProgram makes a program in a directory of its own.
func prereqProgram(t *testing.T, dir string) Program {
	t.Helper()
	path := filepath.Join(dir, "provd")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return prereqProgramAt(t, path)
}

func prereqProgramAt(t *testing.T, path string) Program {
	t.Helper()
	p, err := ProgramAt(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// soundPrereqs are those of a member that lacks nothing.
func soundPrereqs(t *testing.T) prereqs {
	t.Helper()
	platform := archive.Platform{OS: "linux", Arch: "amd64"}
	p := prereqs{
		Member: "m2", Program: prereqProgram(t, t.TempDir()), Platform: platform,
		Copier: capabilities.File{},
		Method: restart.Method{
			Name:    "exec",
			Check:   func(context.Context, string) error { return nil },
			Restart: func(context.Context, string) error { return nil },
		},
		Store: t.TempDir(),
		Release: &archive.Release{Size: 10, Unpacked: 20, Files: []archive.File{
			{Name: "bin/linux/amd64/provd", Size: 20, Platform: platform}}},
		probe: func(context.Context) error { return nil },
	}
	lock, err := p.Program.hold()
	switch {
	case notHere(err):
	case err != nil:
		t.Fatal(err)
	default:
		t.Cleanup(func() { lock.Close() })
		p.Lock = lock
	}
	return p
}

// checkOf returns the result of one prerequisite.
func checkOf(t *testing.T, p prereqs, id string) Check {
	t.Helper()
	return checkIn(t, p.run(t.Context()), id)
}

func checkIn(t *testing.T, checks []Check, id string) Check {
	t.Helper()
	for _, c := range checks {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no check %s among %d", id, len(checks))
	return Check{}
}

func TestPrereqsOfASoundMemberPass(t *testing.T) {
	p := soundPrereqs(t)
	before := prereqListing(t, p.Program.Dir())
	checks := p.run(t.Context())
	if len(checks) != len(p.list()) {
		t.Errorf("%d checks, want %d", len(checks), len(p.list()))
	}
	for _, c := range checks {
		if c.Result != Pass && c.Result != NotRun || c.Title == "" || c.Seen == "" || c.Why == "" || c.At.IsZero() || c.Member != "m2" {
			t.Errorf("%+v", c)
		}
		if c.Fix != (Fix{}) {
			t.Errorf("%s passes and has a fix: %+v", c.ID, c.Fix)
		}
	}
	if err := refuse(checks); err != nil {
		t.Errorf("refuse: %v", err)
	}
	if diff := cmp.Diff(before, prereqListing(t, p.Program.Dir())); diff != "" {
		t.Errorf("something was left behind (-before +after):\n%s", diff)
	}
}

func prereqListing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestPrereqsGoOnAfterAFailure(t *testing.T) {
	p := soundPrereqs(t)
	p.Method = restart.Method{}
	p.probe = func(context.Context) error { return errors.New("exec format error") }
	if err := os.Mkdir(p.Program.PreviousPath(), 0o755); err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, c := range p.run(t.Context()) {
		if c.Result == Fail {
			failed = append(failed, c.ID)
		}
	}
	if diff := cmp.Diff([]string{"previous-kept", "restart-method", "new-program-starts"}, failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
}

func TestPrereqsWithoutAProgram(t *testing.T) {
	p := soundPrereqs(t)
	p.Program = Program{}
	for _, c := range p.run(t.Context()) {
		want := NotRun
		if c.ID == "binary-path" {
			want = Fail
		}
		if c.Result != want {
			t.Errorf("%s: %s (%s), want %s", c.ID, c.Result, c.Seen, want)
		}
	}
}

func TestPrereqSkip(t *testing.T) {
	p := soundPrereqs(t)
	p.Method.Check = func(context.Context, string) error { return errors.New("2 children live") }
	p.Skip = []string{"restart-method", "container"}
	checks := p.run(t.Context())
	c := checkIn(t, checks, "restart-method")
	if c.Result != Skipped || c.Fix.Text == "" || !strings.Contains(c.Seen, "2 children live") {
		t.Errorf("%+v", c)
	}
	if c := checkIn(t, checks, "container"); c.Result == Skipped {
		t.Error("a check that passes is called skipped")
	}
	if err := refuse(checks); err != nil {
		t.Errorf("refuse: %v", err)
	}

	// What is not skippable is not skipped, whoever let it through.
	p = soundPrereqs(t)
	p.probe = func(context.Context) error { return errors.New("no") }
	p.Skip = []string{"new-program-starts"}
	if c := checkOf(t, p, "new-program-starts"); c.Result != Fail {
		t.Errorf("%+v", c)
	}
}

// A child that is about to end is no obstacle, one that stays is.
func TestRestartMethodIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, good := 0, 3
		p := prereqs{Program: Program{Path: "/opt/provd"}, Method: restart.Method{
			Name:    "exec",
			Restart: func(context.Context, string) error { return nil },
			Check: func(context.Context, string) error {
				if asked++; asked < good {
					return fmt.Errorf("1 child process is alive, seen %d times", asked)
				}
				return nil
			},
		}}
		if f := p.restartMethod(t.Context()); f.result != Pass || asked != 3 {
			t.Errorf("asked %d times: %+v", asked, f)
		}
		asked, good = 0, 99
		if f := p.restartMethod(t.Context()); f.result != Fail || asked != restartTries || !strings.Contains(f.seen, "seen 4 times") || f.fix.Command == "" {
			t.Errorf("asked %d times: %+v", asked, f)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if f := p.restartMethod(ctx); f.result != Fail {
			t.Errorf("%+v", f)
		}
	})
}

func TestValidateSkip(t *testing.T) {
	for _, test := range []struct {
		ids          []string
		reason, says string
	}{
		{nil, "", ""},
		{[]string{"container", "binary-shared", "no-new-privileges", "restart-method", "binary-in-package"}, "", ""},
		{[]string{"container", "all"}, "CheckUnknown", `"all"`},
		{[]string{"dir-writable", "container", "file-system"}, "CheckNotSkippable", "dir-writable, file-system"},
	} {
		err := validateSkip(test.ids)
		if test.reason == "" {
			if err != nil {
				t.Errorf("%v: %v", test.ids, err)
			}
			continue
		}
		var r *Refusal
		if !errors.As(err, &r) || r.Kind != Invalid || r.Reason != test.reason ||
			!strings.Contains(r.Message, test.says) || strings.Contains(r.Message, "container") || !strings.Contains(r.Remedy, "container") {
			t.Errorf("%v: %#v", test.ids, err)
		}
	}
}

func TestRefuse(t *testing.T) {
	blocked := Check{ID: "dir-writable", Member: "m2", Severity: Blocker, Result: Fail,
		Title: "It cannot be written.", Seen: "/opt is root:root",
		Fix: Fix{Text: "Give it away.", Command: "sudo chown 1 /opt", Where: "m2"}}
	other := Check{ID: "dir-space", Member: "m3", Severity: Blocker, Result: Fail, Title: "Full."}
	fine := []Check{
		{ID: "a", Severity: Blocker, Result: Pass}, {ID: "b", Severity: Blocker, Result: NotRun},
		{ID: "c", Severity: Blocker, Result: Skipped}, {ID: "d", Severity: Warning, Result: Fail},
	}
	if err := refuse(fine); err != nil {
		t.Errorf("refused: %v", err)
	}
	got := refuse(append(fine, blocked, other))
	want := &Refusal{Kind: NotReady, Reason: "PrerequisiteFailed", Member: "m2",
		Message: "dir-writable on m2: It cannot be written (/opt is root:root); 1 more check fails",
		Remedy:  "Give it away. Run: sudo chown 1 /opt", Checks: []Check{blocked, other}}
	if diff := cmp.Diff(error(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := refuse(append(fine, blocked, other, other)); !strings.HasSuffix(err.Error(), "; 2 more checks fail") {
		t.Errorf("%v", err)
	}
}

func TestPrereqLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prereqs{Program: Program{Path: "/opt/provd"}}
		release := make(chan struct{})
		defer close(release)
		hang := func(context.Context) finding { <-release; return passes("late") }

		start := time.Now()
		f := p.judge(t.Context(), prereq{judge: hang})
		if f.result != Fail || f.fix.Text == "" || f.fix.Command == "" || time.Since(start) != prereqLimit {
			t.Errorf("after %v: %+v", time.Since(start), f)
		}
		// One without a limit ends with its caller.
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start = time.Now()
		if f := p.judge(ctx, prereq{limit: -1, judge: hang}); f.result != NotRun || time.Since(start) != time.Hour {
			t.Errorf("after %v: %+v", time.Since(start), f)
		}
		if f := p.judge(ctx, prereq{judge: hang}); f.result != NotRun || !strings.Contains(f.seen, "deadline") {
			t.Errorf("begun after its end: %+v", f)
		}
	})
}

func TestPrereqsAreNamedOnce(t *testing.T) {
	seen := make(map[string]bool)
	for _, q := range (prereqs{}).list() {
		if seen[q.id] || q.id != strings.ToLower(q.id) || strings.ContainsAny(q.id, " _") {
			t.Errorf("id %q", q.id)
		}
		seen[q.id] = true
		if q.severity == "" || !strings.HasSuffix(q.title, ".") || q.why == "" || strings.HasSuffix(q.why, ".") {
			t.Errorf("%+v", q)
		}
	}
}
