package showtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Demo runs as a process group of its own, as a terminal runs it.
type Demo struct {
	Tmp  string // all its temporary files lie here
	Out  *Output
	Errs *Output

	t    testing.TB
	mark string // in the environment of everything it starts
	cmd  *exec.Cmd
	end  chan error
}

// Start runs a program that shows a demo. Everything it started ends with the
// test. env is added to the environment.
func Start(t testing.TB, program string, env []string, args ...string) *Demo {
	t.Helper()
	d := &Demo{
		t: t, Tmp: t.TempDir(), mark: fmt.Sprintf("SHOWTEST_MARK=%s-%d", t.Name(), time.Now().UnixNano()),
		Out: NewOutput(t), Errs: NewOutput(t), end: make(chan error, 1),
	}
	d.cmd = exec.Command(program, args...)
	d.cmd.Env = append(append(os.Environ(), "TMPDIR="+d.Tmp, d.mark), env...)
	d.cmd.Stdout, d.cmd.Stderr = d.Out, d.Errs
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.cmd.WaitDelay = 5 * time.Second // a server that is kept has no pipe of ours
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.end <- d.cmd.Wait() }()
	t.Cleanup(func() {
		for _, pid := range d.Alive() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("the demo said:\n%s%s", d.Out.Text(), d.Errs.Text())
		}
	})
	return d
}

// Wait returns how the demo ended.
func (d *Demo) Wait() error {
	d.t.Helper()
	select {
	case err := <-d.end:
		return err
	case <-time.After(2 * Patience):
		d.t.Fatal("the demo does not end")
		return nil
	}
}

// Interrupt presses Ctrl-C: a terminal sends that to the whole foreground group.
func (d *Demo) Interrupt() {
	d.t.Helper()
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT); err != nil {
		d.t.Fatal(err)
	}
}

// Summary decodes the one JSON object that the demo printed, with no more keys
// than v knows.
func (d *Demo) Summary(v any) {
	d.t.Helper()
	dec := json.NewDecoder(strings.NewReader(d.Out.Text()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		d.t.Fatal(err)
	}
	if dec.More() {
		d.t.Error("--json prints more than one object")
	}
}

// Alive returns the processes that the demo started, itself included.
func (d *Demo) Alive() []int {
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

// Gone fails the test if a process or a file is left.
func (d *Demo) Gone() {
	d.t.Helper()
	for _, pid := range d.Alive() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		d.t.Errorf("process %d is left: %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
	}
	files, err := os.ReadDir(d.Tmp)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range files {
		d.t.Errorf("%s is left", f.Name())
	}
}

// ByHand splits what a demo that is kept says to do: to go on, and to end it.
func (d *Demo) ByHand() (goOn, end string) {
	d.t.Helper()
	_, hints, _ := strings.Cut(d.Out.Text(), "Go on by hand:\n")
	goOn, end, found := strings.Cut(hints, "End it and remove everything:\n")
	if !found {
		d.t.Fatal("it does not say how to go on")
	}
	return strings.ReplaceAll(goOn, "tail -f ", "tail -n1 "), end
}

// Shell runs commands as a person would who copies them, and returns what they
// print.
func (d *Demo) Shell(script string) string {
	d.t.Helper()
	cmd := exec.Command("sh", "-c", "set -e\n"+script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("what it says to do fails: %v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// Ended waits until no process is left.
func (d *Demo) Ended() {
	d.t.Helper()
	for limit := time.Now().Add(Patience); len(d.Alive()) > 0; {
		if time.Now().After(limit) {
			d.t.Fatalf("%v do not end", d.Alive())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
