package upgradecmd

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// Without a yes nothing is sent, whatever state the record is in.
func TestNoWithoutYes(t *testing.T) {
	for _, script := range []string{"cluster-finished", "cluster-retry", "cluster-committed", "cluster-working", "cluster-staged", "cluster", "alone-finished"} {
		for _, verb := range []string{"rollback", "commit"} {
			if script == "cluster-committed" && verb == "commit" {
				continue // that gives nothing up
			}
			for _, answer := range []string{"", "\n", "n\n", "of course\n"} {
				r := run(t, setup{script: script, width: 80, stdin: answer, args: []string{"upgrade", verb}})
				if len(r.server.queries) > 0 || r.code != CodeRefused && r.code != CodeUsage {
					t.Errorf("%s, %s, answered %q: exit code %d, asked for %v\n%s", script, verb, answer, r.code, r.server.queries, r.text())
				}
			}
		}
	}
}

// Every reason not to go back, or not to give that up, leads on to a command.
func TestAdvice(t *testing.T) {
	for reason, want := range map[string]string{
		"NoPrevious":        "upgrade FILE",
		"PreviousChanged":   "upgrade FILE",
		"Committed":         "upgrade FILE",
		"DataNotReadable":   "upgrade FILE",
		"RunInProgress":     "upgrade status --watch",
		"AlreadyStaged":     "upgrade unstage",
		"PreviousIsRunning": "upgrade status",
		"NothingToCommit":   "upgrade status",
		"NotFinished":       "upgrade status",
	} {
		for _, verb := range []string{"rollback", "commit"} {
			no := httpapi.Error{Model: "system", Key: "upgrade", Type: string(upgrade.Conflict), Code: 409, Messages: []string{"so it is"}, Reason: reason}
			refuse := func(s *script) { s.Refuse = map[string]httpapi.Error{verb: no} }
			r := run(t, setup{script: "cluster-finished", width: 120, change: refuse, args: []string{"upgrade", verb, "--yes"}})
			text := r.text()
			if r.code != CodeRefused || !strings.Contains(text, "refused: so it is ("+reason+"). Nothing was changed.\n") ||
				!strings.Contains(text, ":  provd "+want+"\n") || strings.Contains(text, "  do  ") {
				t.Errorf("%s after %s: exit code %d, want %q\n%s", verb, reason, r.code, want, text)
			}
		}
	}
	away := func(s *script) {
		s.Refuse = map[string]httpapi.Error{"rollback": {Type: string(upgrade.Unavailable), Code: 503, Messages: []string{"no quorum"}, Reason: "RunInProgress"}}
	}
	r := run(t, setup{script: "cluster-finished", single: true, width: 120, change: away, args: []string{"upgrade", "rollback", "--yes"}})
	if text := r.text(); r.code != CodeUnknown || strings.Contains(text, "watch it") {
		t.Errorf("nobody knows: exit code %d\n%s", r.code, text)
	}
	unready := func(s *script) {
		s.Refuse = map[string]httpapi.Error{"rollback": {Type: string(upgrade.NotReady), Code: 409, Messages: []string{"no space"}, Reason: "PrerequisiteFailed"}}
	}
	r = run(t, setup{script: "cluster-finished", width: 120, change: unready, args: []string{"upgrade", "rollback", "--yes"}})
	if text := r.text(); !strings.Contains(text, "  do     when that is mended:  provd upgrade rollback\n") {
		t.Errorf("no way on:\n%s", text)
	}
}

// A rollback that was committed is over: there is nothing left to go back to.
func TestRollbackAfterItsCommit(t *testing.T) {
	back := func(s *script) { s.Begin.Run["kind"], s.Begin.Run["archive_digest"] = "rollback", "" }
	r := run(t, setup{script: "cluster-committed", width: 80, change: back, args: []string{"upgrade", "rollback", "--yes"}})
	if text := r.text(); r.code != CodeRefused || !strings.Contains(text, "(Committed)") || strings.Contains(text, "finished already") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// What a rollback would do is read from what members run and keep.
func TestBackOf(t *testing.T) {
	member := func(id, version, kept string) upgrade.StatusMember {
		m := upgrade.StatusMember{ID: id, Version: version}
		if kept != "" {
			m.Previous = &kept
		}
		return m
	}
	began := begun
	up := &upgrade.StatusRun{Kind: "upgrade", From: "1", To: "2", StartedAt: &began}
	back := &upgrade.StatusRun{Kind: "rollback", From: "2", To: "1", StartedAt: &began}
	removed := &upgrade.StatusRun{Kind: "rollback", From: "2", To: "1", StartedAt: &began}
	const rules = " Same gates, same limits; the leader goes last."
	for _, c := range []struct {
		name    string
		run     *upgrade.StatusRun
		members []upgrade.StatusMember
		want    string
	}{
		{"all", up, []upgrade.StatusMember{member("m1", "2", "1"), member("m2", "2", "1")}, "Back from 2 to 1, kept on m1 m2."},
		{"some", up, []upgrade.StatusMember{member("m1", "1", ""), member("m2", "2", "1")}, "Back from 2 to 1, kept on m2. m1 runs the old program already."},
		{"one that keeps an older one", up, []upgrade.StatusMember{member("m1", "1", "0"), member("m2", "2", "1")},
			"Back from 2 to 1, kept on m2. m1 runs the old program already."},
		{"different ones", up, []upgrade.StatusMember{member("m1", "2", "1"), member("m2", "2", "0"), member("m3", "2", "0")},
			"Back from 2 to 1, kept on m1; from 2 to 0, kept on m2 m3."},
		{"nothing kept", up, []upgrade.StatusMember{member("m1", "2", "1"), member("m2", "2", ""), member("m3", "", "")},
			"Back from 2 to 1, kept on m1. m2 m3 are not known to keep a program to go back to."},
		{"begun by one that ran it", &upgrade.StatusRun{From: "2", To: "2", StartedAt: &began}, []upgrade.StatusMember{member("m1", "2", "1"), member("m2", "2", "1")},
			"Back from 2 to 1, kept on m1 m2."},
		{"half back", back, []upgrade.StatusMember{member("m1", "1", ""), member("m2", "2", "1")}, "Back from 2 to 1, kept on m2. m1 runs the old program already."},
		{"all back, and removed", removed, []upgrade.StatusMember{member("m1", "1", "2"), member("m2", "1", "2")}, "Back from 1 to 2, kept on m1 m2. That undoes the last rollback."},
		{"half back, and removed", removed, []upgrade.StatusMember{member("m1", "1", "2"), member("m2", "2", "1")},
			"Back from 1 to 2, kept on m1. That undoes the last rollback. m2 runs the old program already."},
		{"none back, and removed", removed, []upgrade.StatusMember{member("m1", "2", "1"), member("m2", "2", "1")}, "Back from 2 to 1, kept on m1 m2."},
		{"all back", back, []upgrade.StatusMember{member("m1", "1", "2"), member("m2", "1", "2")}, "m1 m2 run the old program already."},
		{"staged and removed since", &upgrade.StatusRun{From: "2", To: "3"}, []upgrade.StatusMember{member("m1", "2", "1"), member("m2", "2", "1")},
			"Back from 2 to 1, kept on m1 m2."},
		{"no record", nil, []upgrade.StatusMember{member("m1", "2", "1"), member("m2", "1", "1")}, "Back from 2 to 1, kept on m1. m2 runs the old program already."},
	} {
		s := upgrade.Status{Run: c.run, Members: c.members, Status: "failed", Versions: map[string]int{}}
		if c.run == removed {
			s.Status = "none"
		}
		for _, m := range c.members {
			s.Versions[m.Version]++
		}
		if diff := cmp.Diff([]string{c.want + rules}, backOf(s).text(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestKept(t *testing.T) {
	one, other := "1", "0"
	three := upgrade.Status{Members: []upgrade.StatusMember{{ID: "m1", Previous: &one}, {ID: "m2", Previous: &other}, {ID: "m3", Previous: &one}, {ID: "m4"}}}
	if got := keptPhrase(three); got != "1 is kept on m1 m3, 0 on m2" {
		t.Errorf("kept: %s", got)
	}
	if got := keptList(three, keptOn(three), " is given up", ", to ", ""); got != "1 is given up on m1 m3, to 0 on m2" {
		t.Errorf("given up: %s", got)
	}
	if got := keptText(three); got != "" {
		t.Errorf("not all keep the same: %s", got)
	}
	if got := keptPhrase(upgrade.Status{Members: make([]upgrade.StatusMember, 2)}); got != "" {
		t.Errorf("nobody keeps anything: %s", got)
	}
}

// The way back is offered where it leads somewhere, and the server has it.
func TestRollbackIsOffered(t *testing.T) {
	const hint = "provd upgrade rollback"
	none := func(s *script) {
		s.Begin.Members["m2"]["version"] = "4.11.2"
		s.Begin.Members["m2"]["state"] = "pending"
	}
	old := func(s *script) { s.Begin.Status["actions"] = []any{"retry", "unstage"} }
	oldFinished := func(s *script) { s.Begin.Status["actions"] = []any{"unstage"} }
	cancelled := func(s *script) {
		s.Remove[len(s.Remove)-1].Status["actions"] = []any{"stage", "rollback"}
	}
	for _, c := range []struct {
		name, script string
		change       func(*script)
		args         []string
		want         bool
	}{
		{"failed", "cluster-retry", nil, []string{"status"}, true},
		{"failed, and nobody runs the new version", "cluster-retry", none, []string{"status"}, false},
		{"failed, on a server that cannot", "cluster-retry", old, []string{"status"}, false},
		{"finished, on a server that cannot", "cluster-finished", oldFinished, []string{"status"}, false},
		{"cancelled half-way", "cluster-working", cancelled, []string{"unstage", "--yes"}, true},
		{"cancelled, on a server that cannot", "cluster-working", nil, []string{"unstage", "--yes"}, false},
	} {
		r := run(t, setup{script: c.script, width: 80, change: c.change, args: append([]string{"upgrade"}, c.args...)})
		if text := r.text(); strings.Contains(text, hint) != c.want || strings.Contains(text, "not committed") {
			t.Errorf("%s: want %v\n%s", c.name, c.want, text)
		}
	}
}

// A watch whose run somebody takes back meanwhile says so, and does not end well.
func TestRolledBackMeanwhile(t *testing.T) {
	back := func(s *script) {
		s.Begin.Run["retry_of"] = "01JD7Q8Y6H2A"
		s.AtOnce = []change{{After: "2s", Run: map[string]any{
			"id": "01JD7Q8Y8A1C", "kind": "rollback", "rollback_of": "01JD7Q8Y6H2A", "retry_of": nil, "started_by": "joe"}}}
	}
	r := run(t, setup{script: "cluster-working", width: 80, change: back, args: []string{"upgrade", "status", "--watch"}})
	if text := r.text(); r.code != CodeFailed || !strings.Contains(text, "rolled back: run 7K3F, as run 8A1C by joe.\n") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// A run that gives way to one that has nothing to do with it was cancelled.
func TestReplacedMeanwhile(t *testing.T) {
	for name, kind := range map[string]string{"cluster-working": "upgrade", "cluster-rollback": "rollback"} {
		other := func(s *script) {
			s.AtOnce = []change{{After: "2s", Run: map[string]any{"id": "01JD7Q8Y9ZZZ", "kind": kind, "rollback_of": "01JD7Q8Y6H2A"}}}
		}
		r := run(t, setup{script: name, width: 80, change: other, args: []string{"upgrade", "status", "--watch"}})
		if text := r.text(); r.code != CodeCancelled || strings.Contains(text, "rolled back") {
			t.Errorf("%s: exit code %d\n%s", name, r.code, text)
		}
	}
}

// A rollback has no archive that could be removed.
func TestUnstageAfterRollback(t *testing.T) {
	back := func(s *script) { s.Begin.Run["kind"], s.Begin.Run["archive_digest"] = "rollback", "" }
	r := run(t, setup{script: "cluster-committed", width: 80, change: back, args: []string{"upgrade", "unstage"}})
	if text := r.text(); r.code != CodeOK || !strings.Contains(text, "removed   the record, on m1 m2 m3\n") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// The server may vanish right after it took a rollback, and there may be no run
// in the record to go back from.
func TestRollbackThroughARestart(t *testing.T) {
	away := func(s *script) {
		s.Back = append(slices.Clone(s.Back[:1]), append([]change{{After: "1ms", Down: []string{"m1"}}, {After: "3s", Up: []string{"m1"}}}, s.Back[1:]...)...)
	}
	bare := func(s *script) {
		away(s)
		s.Begin.Status["status"], s.Begin.Run = "none", nil
	}
	for _, change := range []func(*script){away, bare} {
		r := run(t, setup{script: "cluster-finished", single: true, width: 80, change: change, args: []string{"upgrade", "rollback", "--watch", "--yes"}})
		if text := r.text(); r.code != CodeOK || strings.Count(text, "started   run 8A1C by jane, plan 77c0e2, rollback of 7K3F") != 1 || !strings.Contains(text, "rolled back: provd 4.11.2") {
			t.Errorf("exit code %d\n%s", r.code, text)
		}
	}
	retried := func(s *script) { s.Begin.Run["retry_of"] = "01JD7Q8Y6H2A" }
	removed := func(s *script) { s.Begin.Status["status"] = "none" }
	for _, change := range []func(*script){bare, removed, retried} { // what it takes back, the record says
		r := run(t, setup{script: "cluster-finished", width: 80, change: change, args: []string{"upgrade", "rollback", "--yes"}})
		if text := r.text(); r.code != CodeOK || !strings.Contains(text, "started   run 8A1C, back from 4.12.0 to 4.11.2 on m1 m2 m3\n") {
			t.Errorf("exit code %d\n%s", r.code, text)
		}
	}
	r := run(t, setup{script: "cluster-finished", width: 80, change: bare, args: []string{"upgrade", "commit", "--yes"}})
	if text := r.text(); r.code != CodeOK || !strings.Contains(text, "committed: the way back to 4.11.2 is given up on m1 m2 m3\n") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// Who asks for what somebody has begun already, or who asks again because a reply
// was lost, is told that nothing was started, and is asked nothing.
func TestFollowedAlready(t *testing.T) {
	again := func(s *script) {
		s.Retry = nil
		s.Begin.Run["id"], s.Begin.Run["retry_of"] = "01JD7Q8Y8A1C", "01JD7Q8Y7K3F"
	}
	still := func(s *script) { s.AtOnce, s.Back = nil, nil }
	over := func(s *script) {
		again(s)
		s.Begin.Status["status"] = "finished"
	}
	backHome := func(s *script) {
		still(s)
		s.Begin.Status["status"] = "finished"
	}
	for _, c := range []struct {
		script, verb string
		change       func(*script)
		want         string
	}{
		{"cluster-working", "retry", again, " run 8A1C works already; nothing was started\nWatch it:  provd upgrade status --watch\n"},
		{"cluster-working", "retry", over, " finished already; nothing was started\n"},
		{"cluster-rollback", "rollback", backHome, " finished already; nothing was started\n"},
		{"cluster-rollback", "rollback", still, " run 8A1C works already; nothing was started\nWatch it:  provd upgrade status --watch\n"},
	} {
		r := run(t, setup{script: c.script, change: c.change, args: []string{"upgrade", c.verb}})
		if text := r.text(); r.code != CodeOK || !strings.Contains(text, c.want) {
			t.Errorf("%s: exit code %d, want %q\n%s", c.verb, r.code, c.want, text)
		}
	}
	on := func(s *script) { s.Back = nil } // and it goes on
	r := run(t, setup{script: "cluster-rollback", width: 80, change: on, args: []string{"upgrade", "rollback", "--watch"}})
	if text := r.text(); r.code != CodeOK || !strings.Contains(text, "running   run 8A1C is under way; nothing was started\n") ||
		strings.Contains(text, "started   run") || !strings.Contains(text, "rolled back: provd 4.11.2") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}
