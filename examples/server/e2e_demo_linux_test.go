package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/showtest"
)

// startDemo starts the demo. If prebuilt is set the go command is one that only
// hands out the programs that were built before.
func startDemo(t testing.TB, prebuilt bool, args ...string) *showtest.Demo {
	t.Helper()
	path := os.Getenv("PATH")
	if prebuilt {
		built(t, demoOld)
		built(t, demoNew)
		bin := t.TempDir()
		script := `#!/bin/sh
for arg; do
	case $last in
	-o) out=$arg ;;
	-ldflags) version=${arg##*main.version=} ;;
	esac
	last=$arg
done
mkdir -p "${out%/*}" && cp '` + builds.dir + `'/"$version/${out##*/}" "$out"
`
		syscall.ForkLock.RLock()
		err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755)
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
		path = bin + string(filepath.ListSeparator) + path
	}
	return showtest.Start(t, filepath.Join(built(t, demoOld), "kvd"), []string{"PATH=" + path}, append([]string{"demo"}, args...)...)
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds four programs")
	}
	t.Parallel()
	d := startDemo(t, false, "--json")
	if err := d.Wait(); err != nil {
		t.Fatalf("the demo ends with %v", err)
	}
	var s summary
	d.Summary(&s)
	if !s.OK || len(s.Problems) > 0 || s.VersionBefore != demoOld || s.VersionAfter != demoNew || s.PIDBefore != s.PIDAfter ||
		s.DigestBefore == s.DigestAfter || s.Companion != demoNew || s.Requests == 0 || s.Failed != 0 || s.Status != "finished" || len(s.Transcript) == 0 {
		t.Errorf("summary: %+v", s)
	}
	if d.Errs.Text() != "" {
		t.Errorf("--json also says: %s", d.Errs.Text())
	}
	d.Gone()
}

// Ctrl-C ends it at any moment, and nothing stays.
func TestDemoInterrupted(t *testing.T) {
	for _, c := range []struct {
		name     string
		when     string // the demo has said this; at once if ""
		prebuilt bool
	}{
		{"while it builds", "", false},
		{"after the build", "built", true},
		{"while it packs", "$ kvd upgrade pack", true},
		{"while it serves", "serving", true},
		{"while it stages", "$ kvd upgrade stage", true},
		{"while it starts", "$ kvd upgrade start", true},
		{"while it upgrades", "claimed", true},
		{"while it restarts", "restarting", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && !c.prebuilt {
				t.Skip("builds programs")
			}
			t.Parallel()
			d := startDemo(t, c.prebuilt)
			if c.when != "" {
				d.Out.Await(c.when)
			} else {
				for limit := time.Now().Add(patience); ; {
					if building, _ := filepath.Glob(filepath.Join(d.Tmp, "*", "go-build*")); len(building) > 0 {
						break
					}
					if time.Now().After(limit) {
						t.Fatal("nothing is built")
					}
					time.Sleep(time.Millisecond)
				}
			}
			d.Interrupt()
			var exit *exec.ExitError
			if err := d.Wait(); !errors.As(err, &exit) || !exit.Exited() {
				t.Errorf("the demo ends with %v, want a code of its own", err)
			}
			d.Gone()
		})
	}
}

func TestDemoKept(t *testing.T) {
	t.Parallel()
	d := startDemo(t, true, "--keep")
	if err := d.Wait(); err != nil {
		t.Fatalf("the demo ends with %v", err)
	}
	if len(d.Alive()) != 1 {
		t.Fatalf("processes %v are left, want the server", d.Alive())
	}
	byHand, end := d.ByHand()
	if out := d.Shell(byHand); !strings.Contains(out, "finished") || !strings.Contains(out, demoNew) {
		t.Errorf("the commands print:\n%s", out)
	}
	d.Shell(end)
	d.Ended()
	if dirs, err := filepath.Glob(filepath.Join(d.Tmp, "kvd-demo-*")); err != nil || len(dirs) > 0 {
		t.Errorf("left: %q", dirs)
	}
	if _, err := os.Stat(d.Tmp); errors.Is(err, fs.ErrNotExist) {
		t.Error("more was removed than it made")
	}
}
