//go:build unix

package restart

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExitEnds(t *testing.T) {
	p := run(t, serverConfig{}, nil)
	p.send("exit")
	if _, err := p.out.ReadByte(); err == nil {
		t.Fatal("the server still talks")
	}
	if ws := p.wait().Sys().(syscall.WaitStatus); ws.ExitStatus() != 7 {
		t.Errorf("ended with %v, want exit status 7", ws)
	}
}

func TestExitCheck(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := Exit(ExitConfig{Trust: true}).Check(ctx, self); err != nil {
		t.Error(err)
	}
	if err := Exit(ExitConfig{Code: 126, Trust: true}).Check(ctx, self); err == nil {
		t.Error("exit status 126: no error")
	}
	if err := Exit(ExitConfig{Trust: true}).Check(ctx, self+"-missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing program: %v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if err := Exit(ExitConfig{}).Restart(ctx, self); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// A test is not run by a supervisor that starts it again.
	err = Exit(ExitConfig{}).Check(context.Background(), self)
	if err == nil {
		t.Error("no supervisor: no error")
	}
}

func TestJudgeUnit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		props map[string]string
		code  int
		want  string // part of the error, "" for none
	}{
		{"always", map[string]string{"Restart": "always"}, 0, ""},
		{"on-failure with 0", map[string]string{"Restart": "on-failure"}, 0, "Restart=on-failure"},
		{"on-failure with 3", map[string]string{"Restart": "on-failure"}, 3, ""},
		{"on-failure with a successful 3", map[string]string{"Restart": "on-failure", "SuccessExitStatus": "3 SIGUSR1"}, 3, "Restart=on-failure"},
		{"on-success with 0", map[string]string{"Restart": "on-success"}, 0, ""},
		{"on-success with 3", map[string]string{"Restart": "on-success"}, 3, "Restart=on-success"},
		{"no", map[string]string{"Restart": "no"}, 1, "Restart=no"},
		{"no, but forced", map[string]string{"Restart": "no", "RestartForceExitStatus": "5 9"}, 9, ""},
		{"always, but prevented", map[string]string{"Restart": "always", "RestartPreventExitStatus": "9"}, 9, "RestartPreventExitStatus"},
		{"on-abort", map[string]string{"Restart": "on-abort"}, 1, "Restart=on-abort"},
		{"not the main process", map[string]string{"Restart": "always", "MainPID": "1"}, 0, "not the main process"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.props["MainPID"] == "" {
				tt.props["MainPID"] = "42"
			}
			err := judgeUnit("app.service", 42, tt.props, tt.code)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestUnitOf(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/system.slice/app.service\n":                                          "app.service system",
		"0::/system.slice/app.service/payload\n":                                  "app.service system",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/my.service\n": "my.service user",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope\n": "",
		"0::/user.slice/user-1000.slice/session-1.scope\n":                        "",
		"0::/\n": "",
		"12:cpu:/x.service\n1:name=systemd:/system.slice/old.service\n": "old.service system",
		"0::/system.slice/system-inst.slice/inst@a.service\n":           "inst@a.service system",
		"nonsense": "",
	} {
		unit, user := unitOf(cgroup)
		got := unit
		if unit != "" {
			got += map[bool]string{true: " user", false: " system"}[user]
		}
		if got != want {
			t.Errorf("%q: %q, want %q", cgroup, got, want)
		}
	}
}

func TestCommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for _, bad := range []string{"", "  ", "echo 'unfinished"} {
		if _, err := Command(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "with blanks")
	for _, tt := range []struct{ line, want string }{
		{"touch '" + out + "'", ""},
		{"sh -c 'echo >&2 no such unit; exit 3'", "exit status 3: no such unit"},
		{dir + "/missing", "no such file"},
	} {
		m, err := Command(tt.line)
		if err != nil {
			t.Fatal(err)
		}
		err = m.Restart(ctx, self)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.line, err, tt.want)
		}
		if err := m.Check(ctx, self); (err == nil) != (tt.want != "no such file") {
			t.Errorf("%s: check: %v", tt.line, err)
		}
	}
	if _, err := os.Stat(out); err != nil {
		t.Error("the line was not split as a shell does:", err)
	}
}

func TestCommandIsBounded(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	m, err := Command("sh -c 'echo $$ > " + pid + "; echo busy; sleep 60; true'")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err = m.Restart(ctx, "")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "busy") {
		t.Errorf("%v, want the deadline and the last words", err)
	}
}

// The command outlives the server that it ends.
func TestCommandEndsServer(t *testing.T) {
	done := filepath.Join(t.TempDir(), "done")
	p := run(t, serverConfig{}, nil)
	p.send("command sh -c 'kill $PPID; while kill -0 $PPID 2>/dev/null && test $(cut -d\" \" -f4 /proc/$$/stat) = $PPID; do sleep 0.01; done; touch " + done + "'")
	if _, err := p.out.ReadByte(); err == nil {
		t.Fatal("the server still talks")
	}
	if ws := p.wait().Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGTERM {
		t.Errorf("the server ended with %v", ws)
	}
	for range 1000 {
		if _, err := os.Stat(done); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the command died with the server")
}

// A process that would end for a supervisor becomes another program by itself, with
// its sockets, where it has named them.
func TestExitBecomes(t *testing.T) {
	if Exit(ExitConfig{}).Become != nil {
		t.Error("a server without sockets passes some on")
	}
	p := run(t, quick(serverConfig{}), nil)
	p.tell("drain")
	waits := dial(t, p.first.Addr)
	if h := p.tell("become exit"); h.PID != p.first.PID || h.Err != "" {
		t.Fatalf("%+v", h)
	}
	if pid := answeredBy(t, waits); pid != p.first.PID {
		t.Error(pid)
	}
}
