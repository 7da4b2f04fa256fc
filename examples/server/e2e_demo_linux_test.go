package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A demoRun is the demo as a process group of its own, as a terminal runs it.
type demoRun struct {
	t    *testing.T
	tmp  string // all its temporary files lie here
	mark string // in the environment of everything it starts
	cmd  *exec.Cmd
	out  *watched
	errs *watched
	end  chan error
}

// startDemo starts the demo. If prebuilt is set the go command is one that only
// hands out the programs that were built before.
func startDemo(t *testing.T, prebuilt bool, args ...string) *demoRun {
	t.Helper()
	d := &demoRun{
		t: t, tmp: t.TempDir(), mark: fmt.Sprintf("KVD_TEST_MARK=%s-%d", t.Name(), time.Now().UnixNano()),
		out: &watched{t: t, more: make(chan struct{}, 1)}, errs: &watched{t: t, more: make(chan struct{}, 1)}, end: make(chan error, 1),
	}
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
	d.cmd = exec.Command(filepath.Join(built(t, demoOld), "kvd"), append([]string{"demo"}, args...)...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp, "PATH="+path, d.mark)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.errs
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.cmd.WaitDelay = 5 * time.Second // a server that is kept has no pipe of ours
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.end <- d.cmd.Wait() }()
	t.Cleanup(func() {
		for _, pid := range d.alive() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("the demo said:\n%s%s", d.out.text(), d.errs.text())
		}
	})
	return d
}

func (d *demoRun) wait() error {
	d.t.Helper()
	select {
	case err := <-d.end:
		return err
	case <-time.After(2 * patience):
		d.t.Fatal("the demo does not end")
		return nil
	}
}

// alive returns the processes that the demo started, itself included.
func (d *demoRun) alive() []int {
	var pids []int
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(b, []byte(d.mark)) {
			continue // gone, or of somebody else
		}
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone fails the test if a process or a file is left.
func (d *demoRun) gone() {
	d.t.Helper()
	if pids := d.alive(); len(pids) > 0 {
		for _, pid := range pids {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			d.t.Errorf("process %d is left: %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	if files := namesIn(d.t, d.tmp); len(files) > 0 {
		d.t.Errorf("files are left: %q", files)
	}
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds four programs")
	}
	t.Parallel()
	d := startDemo(t, false, "--json")
	if err := d.wait(); err != nil {
		t.Fatalf("the demo ends with %v", err)
	}
	var s summary
	dec := json.NewDecoder(strings.NewReader(d.out.text()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if dec.More() {
		t.Error("--json prints more than one object")
	}
	if !s.OK || len(s.Problems) > 0 || s.VersionBefore != demoOld || s.VersionAfter != demoNew || s.PIDBefore != s.PIDAfter ||
		s.DigestBefore == s.DigestAfter || s.Companion != demoNew || s.Requests == 0 || s.Failed != 0 || s.Status != "finished" || len(s.Transcript) == 0 {
		t.Errorf("summary: %+v", s)
	}
	if d.errs.text() != "" {
		t.Errorf("--json also says: %s", d.errs.text())
	}
	d.gone()
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
				d.out.await(c.when)
			} else {
				for limit := time.Now().Add(patience); ; {
					if building, _ := filepath.Glob(filepath.Join(d.tmp, "*", "go-build*")); len(building) > 0 {
						break
					}
					if time.Now().After(limit) {
						t.Fatal("nothing is built")
					}
					time.Sleep(time.Millisecond)
				}
			}
			// A terminal sends it to the whole foreground group.
			if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := d.wait(); !errors.As(err, &exit) || !exit.Exited() {
				t.Errorf("the demo ends with %v, want a code of its own", err)
			}
			d.gone()
		})
	}
}

func TestDemoKept(t *testing.T) {
	t.Parallel()
	d := startDemo(t, true, "--keep")
	if err := d.wait(); err != nil {
		t.Fatalf("the demo ends with %v", err)
	}
	if len(d.alive()) != 1 {
		t.Fatalf("processes %v are left, want the server", d.alive())
	}
	_, hints, _ := strings.Cut(d.out.text(), "Go on by hand:\n")
	byHand, end, found := strings.Cut(hints, "End it and remove everything:\n")
	if !found {
		t.Fatal("it does not say how to go on")
	}
	script := "set -e\n" + regexp.MustCompile(`(?m)^ *tail -f `).ReplaceAllString(byHand, "tail -n1 ")
	shell := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = os.Environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("what it says to do fails: %v\n%s\n%s", err, script, out)
		}
		return string(out)
	}
	if out := shell(script); !strings.Contains(out, "finished") || !strings.Contains(out, demoNew) {
		t.Errorf("the commands print:\n%s", out)
	}
	pid := d.alive()
	shell("set -e\n" + end)
	for limit := time.Now().Add(patience); len(d.alive()) > 0; {
		if time.Now().After(limit) {
			t.Fatalf("the server, pid %v, does not end", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if dirs, err := filepath.Glob(filepath.Join(d.tmp, "kvd-demo-*")); err != nil || len(dirs) > 0 {
		t.Errorf("left: %q", dirs)
	}
	if _, err := os.Stat(d.tmp); errors.Is(err, fs.ErrNotExist) {
		t.Error("more was removed than it made")
	}
}
