package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/showtest"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
)

// builds is where the program lies that shows the demo.
var builds string

// built builds it, once.
var built = sync.OnceValues(func() (string, error) {
	program := filepath.Join(builds, product)
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "raftkvd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// startDemo shows a demo. One at a time: each is a cluster under load.
func startDemo(t *testing.T, args ...string) *showtest.Demo {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs and runs a cluster")
	}
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return showtest.Start(t, program, nil, append([]string{"demo"}, args...)...)
}

// summed runs a demo to its end, and returns what it found.
func summed(t *testing.T, args ...string) summary {
	t.Helper()
	d := startDemo(t, append([]string{"--json"}, args...)...)
	if err := d.Wait(); err != nil {
		t.Fatalf("the demo ends with %v", err)
	}
	var s summary
	d.Summary(&s)
	if !s.OK || len(s.Problems) > 0 {
		t.Errorf("problems: %q", s.Problems)
	}
	if len(s.Findings) == 0 || slices.ContainsFunc(s.Findings, func(f finding) bool { return !f.Seen }) {
		t.Errorf("findings: %+v", s.Findings)
	}
	if d.Errs.Text() != "" {
		t.Errorf("--json also says: %s", d.Errs.Text())
	}
	d.Gone()
	return s
}

func TestDemo(t *testing.T) {
	for _, size := range []int{1, 3} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := summed(t, "--members", fmt.Sprint(size))
			if len(s.Members) != size || len(s.Order) != size || s.Status != "finished" || s.Lost != 0 || s.Writes.Sent == 0 || s.Writes.Failed != 0 ||
				s.Gap <= 0 || s.Total <= 0 || s.BareSum <= 0 || s.FinalState == "" || len(s.Transcript) == 0 {
				t.Errorf("summary: %+v", s)
			}
			for _, m := range s.Members {
				if m.VersionBefore != demoOld || m.VersionAfter != demoNew || m.PIDBefore != m.PIDAfter || m.DigestBefore == m.DigestAfter || m.Took <= 0 || m.BareRestart <= 0 {
					t.Errorf("member: %+v", m)
				}
			}
			if size > 1 && (len(s.Handoffs) == 0 || s.Order[size-1] != s.LeaderBefore && len(s.Handoffs) == 1) {
				t.Errorf("order %q, first leader %s, hand-offs %+v", s.Order, s.LeaderBefore, s.Handoffs)
			}
		})
	}
}

func TestDemoBroken(t *testing.T) {
	for _, name := range breakNames() {
		t.Run(name, func(t *testing.T) {
			s := summed(t, "--break", name, "--member-timeout", map[bool]string{true: "7s", false: "30s"}[breaks[name].spoil != spoil.Good])
			want := map[string]string{"ARCHIVE": "none", "START": "failed", "REJOIN": "failed", "LEADER": "finished"}[name]
			if s.Status != want || s.Lost != 0 || s.Break != name || s.Promised == "" {
				t.Errorf("summary: %+v", s)
			}
			story := map[string]string{"START": demoNew + " ended there 3 times", "REJOIN": "in the same process"}[name]
			if told := strings.Join(s.Story, "\n"); story == "" && told != "" || !strings.Contains(told, story) || want == "failed" && len(s.Story) != 7 {
				t.Errorf("it tells:\n%s", told)
			}
			if want == "failed" && (s.FailedMember == "" || len(s.Order) != 0) {
				t.Errorf("failed %q, done %q", s.FailedMember, s.Order)
			}
		})
	}
}

// Ctrl-C ends it at any moment, and nothing stays.
func TestDemoInterrupted(t *testing.T) {
	for name, when := range map[string]string{
		"while it serves":     "serving   m2",
		"while it hands over": "hands over",
	} {
		t.Run(name, func(t *testing.T) {
			d := startDemo(t)
			d.Out.Await(when)
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
	d := startDemo(t, "--keep")
	if err := d.Wait(); err != nil {
		t.Fatalf("the demo ends with %v", err)
	}
	if n := len(d.Alive()); n != 3 {
		t.Fatalf("%d processes are left, want the cluster", n)
	}
	goOn, end := d.ByHand()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	out := d.Shell(goOn)
	if !strings.Contains(out, "finished") || !strings.Contains(out, demoNew) || !strings.Contains(out, `"value":"blue"`) {
		t.Errorf("the commands print:\n%s", out)
	}
	d.Shell(end)
	d.Ended()
	d.Gone()
}

func TestDemoRefused(t *testing.T) {
	for _, args := range [][]string{{"--members", "2"}, {"--break", "NOTHING"}, {"--break", "LEADER", "--members", "1"}} {
		d := startDemo(t, args...)
		if err := d.Wait(); err == nil || !strings.HasPrefix(d.Errs.Text(), "error: "+args[0]) {
			t.Errorf("%q: %v, %s", args, err, d.Errs.Text())
		}
		d.Gone()
	}
}
