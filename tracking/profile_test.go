package tracking

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestAdd(t *testing.T) {
	var r Run
	for i := range 250 {
		r.Add(at, "m1", "member.prepared", fmt.Sprint("line ", i+1))
		if r.Lines != i+1 || len(r.Log) != min(i+1, maxLog) {
			t.Fatalf("after %d: %d counted, %d kept", i+1, r.Lines, len(r.Log))
		}
	}
	for i, l := range r.Log {
		if want := (Line{Seq: 251 - maxLog + i, At: at, Member: "m1", Type: "member.prepared", Text: fmt.Sprint("line ", 251-maxLog+i)}); l != want {
			t.Fatalf("line %d is %+v", i, l)
		}
	}
}

// Runs are copied by value; a line added to one copy must not show in another,
// not even where their slices share room to grow.
func TestAddLeavesCopies(t *testing.T) {
	r := Run{Log: make([]Line, 0, 10)}
	r.Add(at, "", "t", "common")
	r.Log = append(make([]Line, 0, 10), r.Log...)
	one, two := r, r
	one.Add(at, "", "t", "one")
	two.Add(at, "", "t", "two")
	if got := []int{len(r.Log), len(one.Log), len(two.Log)}; !cmp.Equal(got, []int{1, 2, 2}) || one.Log[1].Text != "one" || two.Log[1].Text != "two" {
		t.Errorf("%v: %+v %+v", got, one.Log, two.Log)
	}
}

func TestAddText(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"plain é 漢 \\ \" '":     "plain é 漢 \\ \" '",
		"two\r\nlines\tand\x00": `two\r\nlines\tand\x00`,
		"\x1b[31mred\x7f":       `\x1b[31mred\x7f`,
		"\u202egnp.exe\u2028":   `\u202egnp.exe\u2028`,
		"bad \xff\xc3":          `bad \xff\xc3`,
		"\ufffd is printable":   "\ufffd is printable",
	} {
		var r Run
		r.Add(at, "", "t", in)
		if got := r.Log[0].Text; got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	for n := 390; n < 410; n++ {
		for _, unit := range []string{"x", "é", "漢", "🙂", "\x00"} {
			var r Run
			in := strings.Repeat("a", n%4) + strings.Repeat(unit, n/len(unit))
			r.Add(at, "", "t", in)
			got := r.Log[0].Text
			if len(got) > 400 || !utf8.ValidString(got) {
				t.Errorf("%q became %d bytes %q", in, len(got), got)
			}
			if whole := oneLine(in); len(whole) <= 400 && got != whole || len(whole) > 400 && !strings.HasSuffix(got, "…") {
				t.Errorf("%q became %q", in, got)
			}
		}
	}
}

func TestTurn(t *testing.T) {
	r := Run{Turns: []Turn{{Member: "m1"}, {Member: "m2", State: Claimed}}}
	if got := r.Turn("m2"); got == nil || got.State != Claimed {
		t.Errorf("Turn(m2) = %+v", got)
	}
	r.Turn("m2").State = Prepared
	if r.Turns[1].State != Prepared {
		t.Error("a change of the turn is not in the run")
	}
	if got := r.Turn("m3"); got != nil {
		t.Errorf("Turn(m3) = %+v", got)
	}
}

// params returns the Params of r as a client decodes them.
func params(t *testing.T, r Run) map[string]any {
	t.Helper()
	p, ok := r.Profile()
	if !ok {
		t.Fatal("there is no profile")
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "null") {
		t.Errorf("null in %s", data)
	}
	var got Profile
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	return got.Params
}

func TestProfileParams(t *testing.T) {
	staged := Run{ID: "r1", Status: Staged, From: "1.0", Archive: Archive{Digest: "sha256:ab", Version: "1.1", SignedBy: []string{"9F2C"}}}
	staged.Add(at, "", "run.staged", "staged by jane")
	working := staged
	working.Status, working.Started, working.Phase = Working, at, "running"
	working.Add(at, "m2", "member.prepared", "prepared")
	working.Turns = []Turn{{Member: "m2", Addr: "https://m2:8092", State: Prepared, Text: "waits for\nm3", Began: at}}
	working.Waiting = &Waiting{Message: "m3 is down"}
	after := working
	after.Turns, after.Waiting = nil, nil
	after.LastMember, after.LastAddr, after.LastState = "m2", "https://m2:8092", "m2 done: 1.1 in 3s"
	finished := after
	finished.Status, finished.FinalState, finished.Ended = Finished, "3 members at 1.1", at.Add(time.Minute)

	common := map[string]any{
		"status": "staged", "run": "r1", "version": "1.1", "from-version": "1.0", "archive": "sha256:ab", "signed-by": []any{"9F2C"}, "unsigned": false,
		"transcript": []any{"2026-11-22T12:02:41Z staged by jane"}, "transcript-total": 1.0,
	}
	with := func(base map[string]any, more ...any) map[string]any {
		m := map[string]any{}
		for k, v := range base {
			m[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			if m[more[i].(string)] = more[i+1]; more[i+1] == nil {
				delete(m, more[i].(string))
			}
		}
		return m
	}
	inWork := with(common, "status", "working", "started-at", "2026-11-22T12:02:41Z", "phase", "running", "transcript-total", 2.0,
		"transcript", []any{"2026-11-22T12:02:41Z staged by jane", "2026-11-22T12:02:41Z m2: prepared"},
		"working-node", "https://m2:8092", "working-state", `m2 prepared: waits for\nm3`, "waiting", "m3 is down")
	inBetween := with(inWork, "working-state", "m2 done: 1.1 in 3s", "waiting", nil)
	for name, tc := range map[string]struct {
		run  Run
		want map[string]any
	}{
		"staging":  {Run{Status: Staging}, map[string]any{"status": "staging", "transcript": []any{}, "transcript-total": 0.0, "signed-by": []any{}, "unsigned": false}},
		"staged":   {staged, common},
		"working":  {working, inWork},
		"between":  {after, inBetween},
		"finished": {finished, with(inBetween, "status", "finished", "final-state", "3 members at 1.1", "ended-at", "2026-11-22T12:03:41Z")},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, params(t, tc.run)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProfileNone(t *testing.T) {
	for _, r := range []Run{{}, {ID: "a tombstone", Rev: 7, Takeover: 2, FinalState: "removed"}} {
		if p, ok := r.Profile(); ok {
			t.Errorf("%+v has a profile: %+v", r, p)
		}
	}
}

func TestProfileEnds(t *testing.T) {
	for _, tc := range []struct {
		run  Run
		want any
	}{
		{Run{Status: Working, FinalState: "too early"}, nil},
		{Run{Status: Staged, FinalState: "too early"}, nil},
		{Run{Status: Failed, FailedMember: "m3", Reason: "DidNotStart"}, "failed: m3: DidNotStart"},
		{Run{Status: Failed, FinalState: "m3 did\nnot start", Reason: "DidNotStart"}, `m3 did\nnot start`},
		{Run{Status: Finished}, "finished"},
	} {
		if got := params(t, tc.run)["final-state"]; got != tc.want {
			t.Errorf("%s: final-state %v, want %v", tc.run.Status, got, tc.want)
		}
	}
}

func TestProfileWorking(t *testing.T) {
	for name, tc := range map[string]struct {
		run  Run
		node any
	}{
		"nobody yet":     {Run{}, nil},
		"no address":     {Run{Turns: []Turn{{Member: "m1"}}}, "m1"},
		"last, no addr":  {Run{LastMember: "m1"}, "m1"},
		"two, by begin":  {Run{Turns: []Turn{{Member: "m1", Began: at.Add(1)}, {Member: "m2", Began: at}}}, "m2"},
		"flight is news": {Run{Turns: []Turn{{Member: "m1"}}, LastMember: "m2", LastAddr: "https://m2"}, "m1"},
	} {
		tc.run.Status = Working
		if got := params(t, tc.run)["working-node"]; got != tc.node {
			t.Errorf("%s: working-node %v, want %v", name, got, tc.node)
		}
	}
}

// The keys of the object that drpcli decodes, and none of them null.
func TestProfileObject(t *testing.T) {
	p, _ := Run{Status: Staged}.Profile()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Name": `"rackn-system-upgrade-tracking"`, "Available": "true", "Validated": "true", "ReadOnly": "true", "Errors": "[]", "Profiles": "[]",
		"Bundle": `""`, "Endpoint": `""`, "Partial": "false",
	} {
		if string(got[key]) != want {
			t.Errorf("%s is %s, want %s", key, got[key], want)
		}
	}
	for _, key := range []string{"Description", "Documentation", "Meta", "Params"} {
		if len(got[key]) < 5 {
			t.Errorf("%s is %s", key, got[key])
		}
	}
	again, _ := Run{Status: Staged}.Profile()
	if other, err := json.Marshal(again); err != nil || string(other) != string(data) {
		t.Errorf("the same run, another document: %s, %v", other, err)
	}
}
