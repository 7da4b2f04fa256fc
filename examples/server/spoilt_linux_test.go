package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A way is how a new version is no good, and what is to be seen of that.
type way struct {
	spoilt spoil.Way
	format string // of the data of the new version; 1 if ""
	flags  []string
	ends   []int  // exit status of each start of it that is counted; none if the guard ends it
	why    string // it was put back, a regular expression
	unused bool   // never comes to accept connections
}

const (
	late  = `did not come to serve within 2s`
	never = `is not ready: this version was spoilt`
	lies  = `says that it is version "1\.1\.0-other", not "1\.1\.0"`
	poor  = `runs without cap_net_bind_service,cap_net_raw,cap_setfcap, which the program before had`
)

// ways are those of the matrix. Times are short where they are to be over, and
// long where they must not be.
var ways = []way{
	{spoilt: spoil.EndsBeforeBoot, ends: []int{3, 3}, unused: true},
	{spoilt: spoil.EndsAtOnce, ends: []int{3, 3}, unused: true},
	{spoilt: spoil.Hangs, why: late, unused: true},
	{spoilt: spoil.OtherVersion, why: lies, unused: true},
	{spoilt: spoil.NoCapabilities, why: poor, unused: true},
	{spoilt: spoil.Corrupts, format: "2", ends: []int{3, 1}, unused: true},
	{spoilt: spoil.CorruptsHangs, format: "2", why: late, unused: true},
	{spoilt: spoil.Corrupts, ends: []int{3, 1}, unused: true},
	{spoilt: spoil.CorruptsHangs, why: late, unused: true},
	{spoilt: spoil.Start, ends: []int{1, 1}},
	{spoilt: spoil.EndsLate, ends: []int{3, 3}, flags: []string{"--min-healthy", "10s"}},
	{spoilt: spoil.NeverReady, why: never, flags: []string{"--confirm-timeout", "4s"}}, // to get that far
	{spoilt: spoil.Flaps, why: never + `|was not well for 1s`, flags: []string{"--confirm-timeout", "4s", "--min-healthy", "1s"}},
}

// name is that of its cells.
func (w way) name() string {
	if w.format != "" {
		return string(w.spoilt) + " format " + w.format
	}
	return string(w.spoilt)
}

// spoils reports whether it leaves data that nobody can read.
func (w way) spoils() bool { return w.spoilt == spoil.Corrupts || w.spoilt == spoil.CorruptsHangs }

// reason is why it was put back, by this method.
func (w way) reason(method string) string {
	switch {
	case w.ends == nil:
		return w.why
	case method == "hand-over":
		return fmt.Sprintf(`came to nothing: .*exited with status %d`, w.ends[0])
	}
	return `ended 2 times within 1m0s of its start`
}

// arguments are those of a server that meets this way.
func (w way) arguments() []string {
	args := []string{"--start-limit", "2", "--start-time", "1m", "--confirm-timeout", "2s"}
	if w.ends != nil {
		args = append(args, "--confirm-timeout", "5m") // it dies before
	}
	return append(args, w.flags...)
}

// TestSpoilt: a new version that is no good, in each way and started by each
// method, ends with the old one serving and on disk, and the run failed.
func TestSpoilt(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a version for each way, and waits for each")
	}
	t.Parallel()
	needsRoot(t, "setcap")
	inBatches(t, 6, func(run func(name string, f func(t *testing.T))) {
		for _, w := range ways {
			for _, method := range []string{"exec", "hand-over", "exit"} {
				run(w.name()+" "+method, func(t *testing.T) { w.by(t, method) })
			}
		}
	})
}

// inBatches runs subtests, so many at a time: they wait most of their time.
func inBatches(t *testing.T, most int, f func(run func(name string, f func(t *testing.T)))) {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, most)
	f(func(name string, test func(t *testing.T)) {
		wg.Add(1)
		free <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-free }()
			t.Run(name, test)
		}()
	})
}

// by is a cell of the matrix.
func (w way) by(t *testing.T, method string) {
	h := dressed(t, w.spoilt)
	h.env = h.marked()
	h.args = append(w.arguments(), "--restart", method, "--listen", freeAddress(t))
	var s *supervisor
	if method == "hand-over" {
		h.serve()
	} else {
		h.args = append(h.args, "--supervised")
		s = h.supervise(0)
	}
	before, pid := h.states(), h.pid
	h.put("color", "blue")
	h.upload("system/upgrade/stage", packedAs(t, build{"1.1.0", w.spoilt, w.format}, 2, h.key, nil)).ok(t, http.StatusCreated)
	log, clients := h.logged(), h.knock()
	h.run()
	end := h.failed(log, w.reason(method))
	counted := clients()
	if end.Run.StartedBy == "" || end.Run.FailedMember == nil || *end.Run.FailedMember != "kvd" {
		t.Errorf("who: %+v", end.Run)
	}
	aside := h.aside(log, w.spoils())
	h.back(before, aside...)
	if got := h.info(); got.Version != "1.0.0" || method != "exit" && (s == nil || w.ends == nil) && got.PID != pid {
		t.Errorf("%+v serves; pid was %d", got, pid)
	}
	if got := h.get("color"); got != "blue" {
		t.Errorf("color is %q", got)
	}
	t.Logf("clients: %v", counted)
	if (w.unused && method == "hand-over" || method != "exit" && w.ends == nil) && counted.failed > 0 { // it left, or never served
		t.Errorf("clients: %v", counted)
	}
	if s != nil {
		var want []string
		if method == "exit" {
			want = append(want, "exit status 0")
		}
		for _, status := range w.ends {
			want = append(want, fmt.Sprint("exit status ", status))
		}
		if got := s.ended(); !slices.Equal(got, want) {
			t.Errorf("the processes ended with %q, want %q", got, want)
		}
	}
	h.upload("system/upgrade/stage", packedAs(t, build{"1.1.0", w.spoilt, w.format}, 2, h.key, nil)).ok(t, http.StatusCreated)
	again := h.do(http.MethodPost, "system/upgrade/run", nil)
	if e := again.refused(t, http.StatusConflict, "PrerequisiteFailed"); !strings.Contains(strings.Join(e.Messages, " "), "failed-before") {
		t.Errorf("the program that failed is refused with %q", e.Messages)
	}
}

// dressed installs a server whose program has what must not be lost: one of root,
// or of a user where it is about what its file gives it.
func dressed(t testing.TB, w spoil.Way) *hosted {
	t.Helper()
	if w != spoil.NoCapabilities {
		h := install(t, t.TempDir(), 0, 0)
		dress(t, h.program)
		return h
	}
	h := install(t, openDir(t), 12345, 23456)
	dress(t, h.program)
	sh(t, "setcap", "cap_net_bind_service,cap_net_raw,cap_setfcap+ep", h.program)
	return h
}

// dress gives a program what must not be lost.
func dress(t testing.TB, path string) {
	t.Helper()
	if err := os.Chown(path, 12345, 23456); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o751); err != nil {
		t.Fatal(err)
	}
	sh(t, "setcap", "cap_net_bind_service,cap_net_raw+ep", path)
}

// failed returns the run once it has, and fails the test unless that was for this
// reason.
func (h *hosted) failed(log int, why string) upgrade.Status {
	h.t.Helper()
	h.await(log, "member.put-back: ")
	s := h.outcome()
	if s.Status != "failed" || s.Run.Reason == nil || *s.Run.Reason != "PutBack" {
		h.t.Fatalf("the run ended as %s: %s", s.Status, said(s))
	}
	if !regexp.MustCompile(why).MatchString(*s.FinalState) {
		h.t.Errorf("the reason is %q, want %q", *s.FinalState, why)
	}
	return s
}

// back fails the test unless the programs are what they were, and nothing of the
// upgrade is left but data that were set aside.
func (h *hosted) back(before map[string]fileState, aside ...string) {
	h.t.Helper()
	h.holds("1.0.0")
	h.tidy()
	now := h.states()
	for name, was := range before {
		is := now[name]
		is.Changed = was.Changed // links were made and removed
		if is != was {
			h.t.Errorf("%s is %+v, was %+v", name, is, was)
		}
	}
	for name, is := range now { // a second name of what runs is no leftover
		if _, there := before[name]; !there && is.Inode != now["kvd"].Inode && is.Inode != now["kvctl"].Inode {
			h.t.Errorf("%s is left: %+v", name, is)
		}
	}
	if left := h.alive(); len(left) != 1 {
		h.t.Errorf("processes: %v", left)
	}
	for _, name := range filesIn(h.t, h.data) {
		if (strings.HasPrefix(name, "kv.log.") || strings.HasSuffix(name, ".new")) && !slices.Contains(aside, name) {
			h.t.Errorf("%s is left with the data", name)
		}
	}
}

func (h *hosted) put(key, value string) {
	h.t.Helper()
	h.do(http.MethodPut, "kv/"+key, bytes.NewBufferString(value)).ok(h.t, http.StatusOK)
}

func (h *hosted) get(key string) string {
	h.t.Helper()
	var v struct{ Value string }
	h.do(http.MethodGet, "kv/"+key, nil).ok(h.t, http.StatusOK).into(h.t, &v)
	return v.Value
}

// freeAddress returns one that a server can have again and again, while its
// clients connect from others.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
