package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// good is a demo that saw all that is promised.
func good() *demo {
	d := &demo{size: 3, memberTimeout: 10 * time.Second, target: "sha256:new", watch: &watcher{}}
	at := time.Now()
	d.watch.leaders = []leadership{{2, "m1", at.Add(-time.Minute)}, {3, "m2", at.Add(3 * time.Second)}}
	for i, id := range []string{"m2", "m3", "m1"} {
		granted := at.Add(time.Duration(i) * time.Second)
		d.watch.lines = append(d.watch.lines, tracking.Line{Type: "member.granted", Member: id, At: granted},
			tracking.Line{Type: "member.done", Member: id, At: granted.Add(time.Second)})
		d.sum.Members = append(d.sum.Members, memberSummary{ID: id, VersionBefore: demoOld, VersionAfter: demoNew,
			DigestBefore: "sha256:old", DigestAfter: d.target, PIDBefore: 1, PIDAfter: 1, NewBoot: true})
	}
	d.sum.Status, d.sum.FinalState = "finished", "finished: all"
	d.sum.LeaderBefore, d.sum.LeaderAfter, d.sum.Handoffs = "m1", "m2", d.watch.handoffs(at)
	d.sum.Writes, d.sum.Reads = tally{Sent: 10}, tally{Sent: 10}
	return d
}

// Each promise is held against what was seen: where one thing is not so, there
// is a problem, and it says what.
func TestJudgeUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(d *demo)
		want  string // part of the problem; "" if there is none
	}{
		"all well":              {func(*demo) {}, ""},
		"it failed":             {func(d *demo) { d.sum.Status = "failed" }, "the run finishes"},
		"one is old":            {func(d *demo) { d.sum.Members[1].VersionAfter = demoOld }, "every member runs the new program"},
		"another file":          {func(d *demo) { d.sum.Members[1].DigestAfter = "sha256:other" }, "every member runs the new program"},
		"not restarted":         {func(d *demo) { d.sum.Members[1].NewBoot = false }, "every member runs the new program"},
		"another process":       {func(d *demo) { d.sum.Members[1].PIDAfter = 2 }, "pid 1 -> 2"},
		"the leader first":      {func(d *demo) { d.watch.leaders[0].Member = "m2"; d.watch.leaders = d.watch.leaders[:1] }, "the leader goes last"},
		"one had no turn":       {func(d *demo) { d.watch.lines = d.watch.lines[2:] }, "the leader goes last"},
		"nobody had a turn":     {func(d *demo) { d.watch.lines = nil }, "the leader goes last"},
		"no hand-off":           {func(d *demo) { d.sum.Handoffs = nil }, "leadership is handed over"},
		"it stayed":             {func(d *demo) { d.sum.Handoffs[0].Member = "m1" }, "leadership is handed over"},
		"a write failed":        {func(d *demo) { d.sum.Writes.Failed = 1 }, "clients see no error"},
		"a read gave an error":  {func(d *demo) { d.sum.Reads.Errors = 1 }, "clients see no error"},
		"nobody wrote":          {func(d *demo) { d.sum.Writes.Sent = 0 }, "clients see no error"},
		"a write is lost":       {func(d *demo) { d.sum.Lost = 1 }, "no acknowledged write is lost"},
		"a read did not see it": {func(d *demo) { d.sum.ReadsMissing = 1 }, "no acknowledged write is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			d := good()
			c.spoil(d)
			d.judgeUpgrade()
			problems := strings.Join(d.sum.Problems, "\n")
			if c.want == "" && problems != "" || !strings.Contains(problems, c.want) {
				t.Errorf("problems %q, want %q", problems, c.want)
			}
		})
	}
}

// A server that is alone has no order, and nobody before whom it is last.
func TestJudgeAlone(t *testing.T) {
	d := good()
	d.size, d.sum.Members, d.sum.Handoffs = 1, d.sum.Members[2:], nil
	d.watch.lines, d.watch.leaders = d.watch.lines[4:], d.watch.leaders[:1]
	var out bytes.Buffer
	d.Out, d.sum.Order = &out, []string{"m1"}
	d.judgeUpgrade()
	d.table()
	if text := out.String(); len(d.sum.Problems) > 0 || !strings.Contains(text, "✓ it gets its turn: ") || strings.Contains(text, "leader ") || strings.Contains(text, "each member") {
		t.Errorf("problems %q\n%s", d.sum.Problems, text)
	}
}

// The same for a run that was to fail.
func TestJudgeFailed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(d *demo)
		want  string
	}{
		"all well":        {func(*demo) {}, ""},
		"it finished":     {func(d *demo) { d.sum.Status = "finished" }, "the run ends failed"},
		"it took long":    {func(d *demo) { d.sum.Total = ms(time.Minute) }, "the run ends failed"},
		"nobody is named": {func(d *demo) { d.sum.FailedMember = "" }, "the member and the reason are named"},
		"no reason":       {func(d *demo) { d.sum.FailedReason = "" }, "the member and the reason are named"},
		"not put back":    {func(d *demo) { d.sum.Members[0].VersionAfter = demoNew }, "it serves its old program again"},
		"another, too":    {func(d *demo) { d.sum.Members[1].NewBoot = true }, "nobody else is touched"},
		"a write failed":  {func(d *demo) { d.sum.Writes.Failed = 1 }, "the others go on serving"},
		"a write is lost": {func(d *demo) { d.sum.Lost = 1 }, "no acknowledged write is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			d := good()
			for i := range d.sum.Members {
				m := &d.sum.Members[i]
				m.VersionAfter, m.DigestAfter, m.NewBoot = demoOld, m.DigestBefore, m.ID == "m2"
			}
			s := &d.sum
			s.Status, s.FailedMember, s.FailedReason, s.FinalState, s.Total = "failed", "m2", "PutBack", "failed: m2 runs 1.0.0 again", ms(10*time.Second)
			c.spoil(d)
			d.judgeFailed()
			problems := strings.Join(s.Problems, "\n")
			if c.want == "" && problems != "" || !strings.Contains(problems, c.want) {
				t.Errorf("problems %q, want %q", problems, c.want)
			}
		})
	}
}

func TestRowOf(t *testing.T) {
	now := time.Now()
	since, text := now.Add(-2*time.Second), "prepared 1.0.0 -> 1.1.0"
	waiting := &tracking.Waiting{Member: "m1", Message: "m1 waits for m2"}
	working := upgrade.Status{Status: "working"}
	for _, c := range []struct {
		status upgrade.Status
		member upgrade.StatusMember
		want   row
	}{
		{working, upgrade.StatusMember{ID: "m1", State: "pending", Role: "voter", Healthy: true}, row{" ", "m1", "voter", "", "pending", "", "its turn"}},
		{working, upgrade.StatusMember{ID: "m1", State: "pending", Role: "leader", Healthy: true}, row{" ", "m1", "leader", "", "pending", "", "all others; it leads"}},
		{working, upgrade.StatusMember{ID: "m1", State: "prepared", Since: &since, Message: &text, Healthy: true}, row{">", "m1", "", "", "prepared", "2.0 s", text}},
		{upgrade.Status{Waiting: waiting}, upgrade.StatusMember{ID: "m1", State: "prepared", Since: &since, Message: &text}, row{">", "m1", "", "", "prepared", "2.0 s", waiting.Message}},
		{working, upgrade.StatusMember{ID: "m1", State: "done", Took: 1.5, Message: &text, Healthy: true}, row{"✓", "m1", "", "", "done", "1.5 s", ""}},
		{upgrade.Status{Status: "failed"}, upgrade.StatusMember{ID: "m1", State: "failed", Healthy: true}, row{"✗", "m1", "", "", "failed", "", ""}},
		{upgrade.Status{}, upgrade.StatusMember{ID: "m1", State: "pending"}, row{" ", "m1", "", "", "pending", "", "does not answer"}},
	} {
		if got := rowOf(&c.status, c.member, now); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.member.State, got, c.want)
		}
	}
}

// Where it is no terminal only what is new is printed.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	p := picture{members: []row{{">", "m1", "voter", "1.0.0", "claimed", "1 s", ""}, {" ", "m2", "leader", "1.0.0", "pending", "", "its turn"}}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.show(p, at)
	p.members[0].since = "2 s"
	s.show(p, at)
	p.members[0].state = "prepared"
	s.show(p, at)
	want := `
03:04:05.000  > m1      1.0.0    voter      claimed     1 s
03:04:05.000    m2      1.0.0    leader     pending             its turn
03:04:05.000  > m1      1.0.0    voter      prepared    2 s
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}

	// On a terminal each picture is drawn over the one before.
	out.Reset()
	tty := &screen{out: &out, width: 20}
	tty.show(picture{head: "head", foot: "a foot that is longer than the terminal"}, at)
	tty.show(picture{head: "next", foot: "foot"}, at)
	want = "head\n  MEMBER  VERSION  …\na foot that is long…\n\x1b[3A\r\x1b[Jnext\n  MEMBER  VERSION  …\nfoot\n"
	if out.String() != want {
		t.Errorf("drawn\n%q\nwant\n%q", out.String(), want)
	}
	if got := cut("äöü and more", 5); got != "äöü …" {
		t.Errorf("cut %q", got)
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.0", 1500 * time.Microsecond: "1.5", 2 * time.Second: "2000.0"} {
		b, err := json.Marshal(ms(d))
		var back ms
		if err != nil || string(b) != want || json.Unmarshal(b, &back) != nil || back != ms(d) {
			t.Errorf("%v is %s and again %v, want %s", d, b, time.Duration(back), want)
		}
	}
}

// What is told is what was seen.
func TestStory(t *testing.T) {
	d := good()
	d.broken, d.sum.FailedMember = "START", "m2"
	d.sum.member("m2").Restarts = 3
	d.watch.lines = append(d.watch.lines, tracking.Line{Type: "member.put-back", Member: "m2", Text: "put back 1.0.0"})
	d.sum.Story = d.story()
	var out bytes.Buffer
	d.Out = &out
	d.tellStory()
	for _, want := range []string{"  1  1.1.0 was built spoilt: it ends as soon", "m3 and m1 kept 1.0.0", "ended there 3 times", `itself: "put back 1.0.0".`, "upgrade unstage"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 110 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	d.sum.find(false, "nobody else is touched", "m3 was")
	if story := d.story(); story != nil {
		t.Errorf("told although it was not so: %q", story)
	}
	d.sum.Findings, d.broken = nil, ""
	if story := d.story(); story != nil {
		t.Errorf("a story of nothing: %q", story)
	}
}

// A line that is told while a run is shown stays above the next picture.
func TestScreenSays(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, width: 80, drawn: 3}
	s.say("↻ m1")
	if out.String() != "\x1b[3A\r\x1b[J↻ m1\n" || s.drawn != 0 {
		t.Errorf("%q, and %d lines to draw over", out.String(), s.drawn)
	}
}
