package upgradecmd

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// moments runs a command on a terminal and notes what the screen shows at some
// times after its start, and at the end.
func moments(t *testing.T, name string, s setup, at ...time.Duration) *running {
	t.Helper()
	makeArchive(t)
	var r *running
	var b strings.Builder
	synctest.Test(t, func(t *testing.T) {
		r = start(t, s)
		for _, d := range at {
			time.Sleep(time.Until(begun.Add(d)))
			synctest.Wait()
			fmt.Fprintf(&b, "== after %v\n%s", d, r.screen.text())
		}
		r.signals <- os.Interrupt
		r.wait(t)
		fmt.Fprintf(&b, "== after Ctrl-C\n%s-- exit code %d %s\n", r.screen.text(), r.code, ExitName(r.code))
	})
	golden(t, name, b.String())
	if r.code != CodeInterrupt {
		t.Errorf("exit code %d after Ctrl-C, want %d", r.code, CodeInterrupt)
	}
	return r
}

func TestMoments(t *testing.T) {
	const file = "./provd-4.12.0.zip"
	all := []string{"upgrade", file}
	watch := []string{"upgrade", "status", "--watch"}
	s := time.Second
	t.Run("cluster", func(t *testing.T) {
		moments(t, "moments-cluster-80", setup{script: "cluster", width: 80, args: all},
			100*time.Millisecond, 3*s, 7*s, 9*s, 18*s, 50*s)
	})
	t.Run("cluster wide", func(t *testing.T) {
		moments(t, "moments-cluster-120", setup{script: "cluster", width: 120, args: all}, 18*s, 50*s)
	})
	t.Run("cluster ascii", func(t *testing.T) {
		moments(t, "moments-cluster-ascii", setup{script: "cluster", width: 80, ascii: true, args: all}, 3*s, 50*s)
	})
	t.Run("alone", func(t *testing.T) {
		moments(t, "moments-alone", setup{script: "alone", single: true, width: 80, args: all}, 3*s, 9*s, 12*s)
	})
	t.Run("waiting", func(t *testing.T) {
		moments(t, "moments-waiting-80", setup{script: "waiting", width: 80, args: watch}, s, 2*s)
		moments(t, "moments-waiting-120", setup{script: "waiting", width: 120, args: watch}, s)
	})
	t.Run("few rows", func(t *testing.T) {
		moments(t, "moments-few-rows", setup{script: "waiting", width: 80, height: 12, args: watch}, s)
	})
	t.Run("unplanned", func(t *testing.T) {
		lost := func(s *script) {
			s.AtOnce = []change{{After: "2s", Down: []string{"m1", "m2", "m3"}}}
		}
		moments(t, "moments-unplanned", setup{script: "cluster-working", width: 80, change: lost, args: watch}, s, 2*s+50*time.Millisecond)
	})
	t.Run("rollback", func(t *testing.T) {
		moments(t, "moments-rollback-80", setup{script: "cluster-finished", width: 80, stdin: "y\n", args: []string{"upgrade", "rollback", "--watch"}}, 8*s, 84*s)
	})
	t.Run("upload", func(t *testing.T) {
		r := moments(t, "moments-upload", setup{script: "alone", single: true, width: 80, args: []string{"upgrade", "stage", file}},
			100*time.Millisecond, 400*time.Millisecond, 600*time.Millisecond, 2*s, 4*s)
		if r.server.got >= 41_000_000 {
			t.Errorf("the upload went on to its end, %d bytes", r.server.got)
		}
	})
	t.Run("skew", func(t *testing.T) {
		skewed := func(s *script) { s.Skew = "5s" }
		moments(t, "moments-skew", setup{script: "cluster-working", width: 80, change: skewed, args: watch}, s)
	})
}

// What a server takes to answer a cancellation says nothing of its clock.
func TestSlowIsNoSkew(t *testing.T) {
	slow := func(s *script) { s.Slow = "5s" }
	for _, progress := range []string{"--progress=tty", "--progress=plain"} {
		r := run(t, setup{script: "cluster-working", width: 80, change: slow, args: []string{"upgrade", "unstage", "--yes", progress}})
		if text := r.text(); strings.Contains(text, "the clock of") || !strings.Contains(text, "cancelled") {
			t.Errorf("%s: want a cancellation, and nothing of clocks:\n%s", progress, text)
		}
	}
}

// A connection that is lost without a word is looked for again, and what was
// written meanwhile is shown.
func TestUnplanned(t *testing.T) {
	back := func(s *script) {
		s.AtOnce = []change{
			{After: "2s", Down: []string{"m1", "m2", "m3"}},
			{After: "30s", Lines: []map[string]any{{"type": "member.note", "member": "m3", "text": "one"}, {"type": "member.note", "member": "m3", "text": "two"}}},
			{After: "9s", Up: []string{"m3"}},
			{After: "10s", Status: map[string]any{"status": "finished"}, Run: map[string]any{"finished_at": "@0s", "result": "finished"}},
		}
	}
	for _, plain := range []bool{false, true} {
		s := setup{script: "cluster-working", width: 80, change: back, args: []string{"upgrade", "status", "--watch"}}
		if plain {
			s.args = append(s.args, "--progress=plain")
		}
		r := run(t, s)
		text := r.text()
		for _, want := range []string{"through m3 after ", ", 2 missed lines follow", " one\n", " two\n", "finished: provd 4.12.0"} {
			if strings.Count(text, want) != 1 {
				t.Errorf("plain %v: %q is not there once:\n%s", plain, want, text)
			}
		}
		if strings.Contains(text, "Connection lost") {
			t.Errorf("plain %v: what was redrawn stayed:\n%s", plain, text)
		}
		if r.code != CodeOK {
			t.Errorf("exit code %d", r.code)
		}
	}
}

// Lines that no server holds any more are missed with a word.
func TestGap(t *testing.T) {
	gap := func(s *script) {
		s.AtOnce = []change{{After: "1s", Lines: []map[string]any{
			{"type": "member.note", "member": "m3", "text": "after the gap", "seq": 9.0}}, Total: 9}}
	}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, setup{script: "cluster-working", width: 80, change: gap, args: []string{"upgrade", "status", "--watch"}})
		time.Sleep(3 * time.Second)
		r.signals <- os.Interrupt
		r.wait(t)
		if text := r.text(); !strings.Contains(text, "6 lines could not be shown any more") {
			t.Errorf("no word about the gap:\n%s", text)
		}
	})
}

// Nobody answers for longer than a member may take: that is not a failure.
func TestPatience(t *testing.T) {
	gone := func(s *script) {
		s.AtOnce = []change{{After: "2s", Down: []string{"m1", "m2", "m3"}}}
	}
	r := run(t, setup{script: "cluster-working", width: 80, change: gone, args: []string{"upgrade", "status", "--watch"}})
	golden(t, "patience", r.text())
	if r.code != CodeUnknown {
		t.Errorf("exit code %d, want %d", r.code, CodeUnknown)
	}
}

func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name string
		sig  os.Signal
		code int
	}{
		{"interrupt", os.Interrupt, CodeInterrupt},
		{"terminate", syscall.SIGTERM, CodeTerminate},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, setup{script: "cluster-working", width: 80, args: []string{"upgrade", "status", "--watch"}})
			time.Sleep(time.Second)
			r.signals <- c.sig
			r.wait(t)
			if r.code != c.code {
				t.Errorf("%s: exit code %d, want %d", c.name, r.code, c.code)
			}
			if text := r.text(); !strings.Contains(text, "The upgrade goes on.\nCome back:  provd upgrade status --watch\n") {
				t.Errorf("%s: no way back:\n%s", c.name, text)
			}
		})
	}
}

// The second Ctrl-C waits for nothing.
func TestSecondSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		r := start(t, setup{script: "alone", single: true, width: 80, args: []string{"upgrade", "status"},
			config: func(c *Config) {
				connect := c.Connect
				c.Connect = func(ctx context.Context, g Target) (httpapi.ClientConfig, error) {
					<-stuck // a login that does not look at its context
					return connect(ctx, g)
				}
			}})
		time.Sleep(time.Second)
		r.signals <- os.Interrupt
		synctest.Wait()
		select {
		case <-r.result:
			t.Error("the first Ctrl-C did not wait for the command")
		default:
		}
		r.signals <- os.Interrupt
		r.wait(t)
		if r.code != CodeInterrupt {
			t.Errorf("exit code %d, want %d", r.code, CodeInterrupt)
		}
		close(stuck)
	})
}

func TestTimeout(t *testing.T) {
	r := run(t, setup{script: "cluster-working", width: 80, args: []string{"upgrade", "status", "--watch", "--timeout", "90s"}})
	if r.code != CodeTimeout {
		t.Errorf("exit code %d, want %d", r.code, CodeTimeout)
	}
	for _, want := range []string{"your --timeout of 1m30s ended", "The upgrade goes on.\nCome back:  provd upgrade status --watch\n"} {
		if text := r.text(); !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
}

// Silence in a log is broken once a minute, and a wait by its begin and end.
func TestHeartbeat(t *testing.T) {
	ends := func(s *script) {
		s.AtOnce = []change{
			{After: "200s", Status: map[string]any{"waiting": nil}},
			{After: "130s", Status: map[string]any{"status": "finished"}, Run: map[string]any{"finished_at": "@0s", "result": "finished"}},
		}
	}
	r := run(t, setup{script: "waiting", change: ends, args: []string{"upgrade", "status", "--watch"}})
	golden(t, "heartbeat", r.text())
	if r.code != CodeOK {
		t.Errorf("exit code %d", r.code)
	}
}

// A slow upload is told every 30 seconds, one that stands still is given up.
func TestSlowUpload(t *testing.T) {
	makeArchive(t)
	slow := func(s *script) { s.Rate = 100_000 }
	r := run(t, setup{script: "alone", single: true, change: slow, args: []string{"upgrade", "stage", "./provd-4.12.0.zip"}})
	if text := r.text(); strings.Count(text, " upload ") < 14 || r.code != CodeOK {
		t.Errorf("exit code %d:\n%s", r.code, text)
	}
	still := func(s *script) { s.Rate = 1 }
	r = run(t, setup{script: "alone", single: true, change: still, width: 80, args: []string{"upgrade", "stage", "./provd-4.12.0.zip"}})
	if text := r.text(); !strings.Contains(text, "took nothing of the upload for 2m") || r.code != CodeError {
		t.Errorf("exit code %d:\n%s", r.code, text)
	}
	deaf := func(s *script) { s.Verify = "100h" }
	r = run(t, setup{script: "alone", single: true, change: deaf, width: 80, args: []string{"upgrade", "stage", "./provd-4.12.0.zip"}})
	if text := r.text(); !strings.Contains(text, "did not answer for 30m") || r.code != CodeError {
		t.Errorf("exit code %d:\n%s", r.code, text)
	}
}

// A terminal that changes its width keeps what stays, and shows the rest anew.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, setup{script: "cluster-working", width: 120, args: []string{"upgrade", "status", "--watch"}})
		time.Sleep(time.Second)
		for _, w := range []int{60, 132, 80} {
			synctest.Wait()
			r.screen.resize(w, 24)
			r.resized <- syscall.Signal(28)
			synctest.Wait()
			text := r.screen.text()
			for _, want := range []string{"12:01:22  m2  done", "1 of 3 done", "MEMBER", "rejoining", "Ctrl-C leaves"} {
				if strings.Count(text, want) != 1 {
					t.Errorf("%d columns: %q is not there once:\n%s", w, want, text)
				}
			}
		}
		r.signals <- os.Interrupt
		r.wait(t)
		if text := r.screen.text(); strings.Contains(text, "MEMBER") {
			t.Errorf("the region stayed:\n%s", text)
		}
	})
}

// Nothing is redrawn more than ten times a second, nor when nothing changed.
func TestRedrawRate(t *testing.T) {
	makeArchive(t)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, setup{script: "alone", single: true, width: 80, args: []string{"upgrade", "stage", "./provd-4.12.0.zip"}})
		time.Sleep(time.Second)
		before := r.screen.count("\x1b[J")
		time.Sleep(2 * time.Second)
		if n := r.screen.count("\x1b[J") - before; n > 21 || n < 10 {
			t.Errorf("%d frames in two seconds", n)
		}
		r.wait(t)
	})
}

// The answer to a start may be lost with the server that restarts at once. It is
// asked for again only while the status does not show that it began.
func TestLostAnswer(t *testing.T) {
	for _, c := range []struct {
		name     string
		accepted bool
		runs     int
	}{
		{"after the start", true, 7},   // one, and six that found nobody
		{"before the start", false, 8}, // and one more
	} {
		lose := func(s *script) {
			s.LoseRun, s.Accept = true, c.accepted
		}
		r := run(t, setup{script: "alone-staged", single: true, width: 80, change: lose, args: []string{"upgrade", "start", "--watch"}})
		if text := r.text(); r.code != CodeOK || strings.Count(text, "started   run 7K3F") != 1 || !strings.Contains(text, "finished: provd 4.12.0") {
			t.Errorf("%s: exit code %d\n%s", c.name, r.code, text)
		}
		if r.server.runs != c.runs {
			t.Errorf("%s: asked %d times to start, want %d", c.name, r.server.runs, c.runs)
		}
	}
}

// A server that is alone may be gone before a single transition could be seen, and
// that is as planned.
func TestRestartAtOnce(t *testing.T) {
	atOnce := func(s *script) {
		s.Run = append([]change{{Down: []string{"m1"}}, {After: "3s", Up: []string{"m1"}}}, s.Run...)
		s.Run[0].After = "1ms"
	}
	r := run(t, setup{script: "alone-staged", single: true, width: 80, change: atOnce, args: []string{"upgrade", "start", "--watch"}})
	if text := r.text(); r.code != CodeOK || strings.Count(text, "restarts as planned") == 0 || strings.Contains(text, "lost") || strings.Contains(text, "again through") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// An archive that members are still fetching is in the way of every other one,
// and of its own check. Sent again it waits for them, as the server says it does.
func TestStagingGoesOn(t *testing.T) {
	makeArchive(t)
	data, err := os.ReadFile("provd-4.12.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	r := run(t, setup{script: "cluster", args: []string{"upgrade", "./provd-4.12.0.zip"}, change: func(s *script) {
		s.Begin.Status["status"], s.Begin.Run = "staging", s.Stage[0].Run
		s.Begin.Run["archive_digest"] = digest
		s.Stage = s.Stage[1:]
	}})
	var order []string
	for _, asked := range r.server.asked {
		if what := path.Base(asked); what == "check" || what == "stage" || what == "run" {
			order = append(order, what)
		}
	}
	if got := strings.Join(order, " "); got != "stage check run" || r.code != CodeOK {
		t.Errorf("asked for %q, exit code %d, want stage check run; %s%s", got, r.code, r.out.String(), r.err.String())
	}
}
