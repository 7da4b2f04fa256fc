package upgradecmd

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// Which stream is coloured, and how much is redrawn, by what is asked for.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		name     string
		env      map[string]string
		args     string
		pipe     bool // stderr is no terminal
		coloured bool
		redrawn  bool
	}{
		{name: "terminal", coloured: true, redrawn: true},
		{name: "pipe", pipe: true},
		{name: "no color", env: map[string]string{"NO_COLOR": "1"}, redrawn: true},
		{name: "flag", args: "--no-color", redrawn: true},
		{name: "dumb", env: map[string]string{"TERM": "dumb"}},
		{name: "accessible", env: map[string]string{"ACCESSIBLE": "1"}, coloured: true},
		{name: "not accessible", env: map[string]string{"ACCESSIBLE": "false"}, coloured: true, redrawn: true},
		{name: "forced", pipe: true, env: map[string]string{"FORCE_COLOR": "1"}, coloured: true},
		{name: "cli forced", pipe: true, env: map[string]string{"CLICOLOR_FORCE": "1"}, coloured: true},
		{name: "both", env: map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, redrawn: true},
		{name: "plain", args: "--progress=plain", coloured: true},
		{name: "none", args: "--progress=none", coloured: true},
		{name: "json", args: "-o=json"},
	} {
		s := setup{script: "cluster-failed", coloured: true, env: c.env, args: append([]string{"upgrade", "start", "--watch"}, strings.Fields(c.args)...)}
		if !c.pipe {
			s.width = 80
		}
		r := run(t, s)
		codes := map[string]int{}
		if r.screen != nil {
			codes = r.screen.codes
		}
		coloured := strings.Contains(r.out.String()+r.err.String(), "\x1b[3")
		for code := range codes {
			switch code {
			case sgrGreen, sgrRed, sgrYellow, sgrReset:
				coloured = true
			case "\x1b[J":
			default:
				if !strings.HasSuffix(code, "A") {
					t.Errorf("%s: escape %q", c.name, code)
				}
			}
		}
		// Nothing but failures is coloured in plain text.
		if coloured != c.coloured && c.name != "accessible" && c.name != "plain" && c.name != "forced" && c.name != "cli forced" {
			t.Errorf("%s: coloured %v", c.name, coloured)
		}
		if redrawn := codes["\x1b[J"] > 0; redrawn != c.redrawn {
			t.Errorf("%s: redrawn %v", c.name, redrawn)
		}
		if r.code != CodeFailed {
			t.Errorf("%s: exit code %d", c.name, r.code)
		}
	}
}

func TestUTF8(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{}, false},
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "C.utf8"}, true},
		{map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, true},
		{map[string]string{"WT_SESSION": "x"}, true},
	} {
		m := machine{getenv: func(name string) string { return c.env[name] }}
		if got := m.utf8(); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}

// COLUMNS goes before what the terminal says.
func TestColumns(t *testing.T) {
	r := run(t, setup{script: "cluster-working", width: 200, env: map[string]string{"COLUMNS": "60"}, args: []string{"upgrade", "status"}})
	for _, line := range strings.Split(r.screen.text(), "\n") {
		if len(line) > 66 { // a table does not break
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if !strings.Contains(r.screen.text(), "of 18911\n") {
		t.Errorf("not broken at 60 columns:\n%s", r.screen.text())
	}
}

// No byte of a server reaches the terminal as it is.
func TestHostileText(t *testing.T) {
	hostile := "x\x1b]0;title\x07\x1b[2J\r\n\u202eevil\u0085\u200b\xff漢"
	got := clean(hostile)
	if want := `x\x1b]0;title\x07\x1b[2J\x0d\n\u202eevil\u0085\u200b\xff\u6f22`; got != want {
		t.Errorf("clean: %s, want %s", got, want)
	}
	if got := clean("Jos\u00e9 ✓"); got != `Jos`+"\u00e9"+` \u2713` {
		t.Errorf("clean: %s", got)
	}
	everywhere := func(s *script) {
		s.Begin.Status["product"] = hostile
		for _, m := range s.Begin.Members {
			m["version"], m["message"], m["reason"], m["role"] = hostile, hostile, hostile, hostile
		}
		s.Begin.Run["started_by"], s.Begin.Run["plan"], s.Begin.Run["from"], s.Begin.Run["to"] = hostile, hostile, hostile, hostile
		s.Begin.Run["id"] = hostile
		s.Begin.Run["archive_digest"], s.Begin.Run["signed_by"], s.Begin.Run["overrides"] = hostile, []any{hostile}, []any{hostile}
		for _, l := range s.Begin.Lines {
			l["member"], l["text"], l["type"] = hostile, hostile, hostile
		}
		w := s.Begin.Status["waiting"].(map[string]any)
		for _, k := range []string{"gate", "reason", "member", "message", "until_owner", "do"} {
			w[k] = hostile
		}
		s.AtOnce = []change{{After: "1s", Status: map[string]any{"status": "failed", "final_state": hostile},
			Run:     map[string]any{"result": "failed", "reason": hostile, "failed_member": hostile},
			Members: map[string]map[string]any{"m3": {"state": "failed"}}}}
	}
	for _, args := range [][]string{{"upgrade", "status"}, {"upgrade", "status", "--watch"}, {"upgrade", "status", "--watch", "--progress=plain"}} {
		r := run(t, setup{script: "waiting", width: 80, change: everywhere, args: args}) // the screen fails on any strange byte
		for _, c := range r.screen.text() {
			if (c < ' ' || c > '~') && c != '\n' && c != '✓' && c != '✗' {
				t.Errorf("%v: %q on the screen", args, c)
			}
		}
	}
}

// Writing the result fails: that is no success.
func TestFullDisk(t *testing.T) {
	r := &running{setup: setup{script: "cluster-working"}, result: make(chan error, 1)}
	r.server = newFakeServer(t, loadScript(t, r.script))
	root := r.root(t)
	root.SetArgs([]string{"upgrade", "status"})
	root.SetOut(failingWriter{})
	var errs bytes.Buffer
	root.SetErr(&errs)
	if code := Execute(t.Context(), root); code != CodeError || !strings.Contains(errs.String(), "no space left") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	r.server.stop()
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("no space left on device")
