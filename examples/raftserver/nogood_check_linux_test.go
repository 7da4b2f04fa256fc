package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

var startPlainly = upgrade.StartOptions{}

func retrying(skip ...string) upgrade.RetryOptions { return upgrade.RetryOptions{Skip: skip} }

// look is what every member says of itself.
func (f *fleet) look() map[string]nodeInfo {
	f.t.Helper()
	all := map[string]nodeInfo{}
	ctx, cancel := f.ctx()
	defer cancel()
	for _, b := range f.boxes {
		i, err := b.info(ctx, b.fresh)
		f.must(err)
		all[b.id] = i
	}
	return all
}

// untouched: all but one are the processes that they were, with the program that
// they had.
func (f *fleet) untouched(was map[string]nodeInfo, but *box) {
	f.t.Helper()
	for id, now := range f.look() {
		if w := was[id]; (but == nil || id != but.id) && (now.PID != w.PID || now.Boot != w.Boot || now.Version != w.Version) {
			f.problem("%s was touched: it was pid %d boot %s version %s, and is pid %d boot %s version %s", id, w.PID, w.Boot, w.Version, now.PID, now.Boot, now.Version)
		}
	}
}

// begins is the run that was asked for.
func (f *fleet) begins(id string, err error) string {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("it does not begin: %v\n%s", err, f.story())
	}
	f.logf("run %s begins", id)
	return id
}

// ended waits until that run is over.
func (f *fleet) ended(id string) upgrade.Status {
	f.t.Helper()
	return f.record.await(f.t, "run "+id+" is over", func(s upgrade.Status) bool {
		return s.Run != nil && s.Run.ID == id && (s.Status == string(tracking.Finished) || s.Status == string(tracking.Failed))
	})
}

func (r *recorder) latestNow() upgrade.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// failedWith: the run failed for that reason; the final line says why, what every
// member runs, and what to do next. It returns the member that is named.
func (f *fleet) failedWith(s upgrade.Status, reason, why string) *box {
	f.t.Helper()
	if s.Status != string(tracking.Failed) || s.FinalState == nil || s.Run.FailedMember == nil || s.Run.Reason == nil {
		f.t.Fatalf("the run ends %s: %+v\n%s", s.Status, s, f.story())
	}
	b := f.box(*s.Run.FailedMember)
	f.logf("failed: %s", *s.FinalState)
	if *s.Run.Reason != reason {
		f.problem("it failed with %s, want %s: %s", *s.Run.Reason, reason, *s.FinalState)
	}
	if reason == "PutBack" {
		why = fmt.Sprintf("put back %s, which serves: %s %s", versionName(b.version), s.Run.To, why)
	}
	if pattern := "^failed: " + b.id + " " + why; !regexp.MustCompile(pattern).MatchString(*s.FinalState) {
		f.problem("the final line is %q, want %s", *s.FinalState, pattern)
	}
	if !strings.Contains(*s.FinalState, " Next: ") {
		f.problem("the final line does not say what to do next: %q", *s.FinalState)
	}
	if reason == "PutBack" && !slices.ContainsFunc(f.record.transcript(s.Run.ID), func(l tracking.Line) bool {
		return l.Type == "member.put-back" && l.Member == b.id
	}) {
		f.problem("%s has not said itself that its program was put back", b.id)
	}
	return b
}

// isBack ends a scenario in which a member put its program back.
func (f *fleet) isBack(l *load, was map[string]nodeInfo, s upgrade.Status, why string) {
	f.t.Helper()
	b := f.failedWith(s, "PutBack", why)
	all := []string{}
	for _, b := range f.boxes {
		all = append(all, b.id+" "+versionName(b.version))
	}
	if want := ". Now: " + strings.Join(all, ", ") + ". Next: stage a release without that fault"; !strings.Contains(*s.FinalState, want) {
		f.problem("the final line is %q, want %q", *s.FinalState, want)
	}
	f.inPlace(l, was, s, b)
}

// inPlace: everybody serves the program that it has to, only b was touched, and
// nothing is left of the run.
func (f *fleet) inPlace(l *load, was map[string]nodeInfo, s upgrade.Status, b *box) {
	f.t.Helper()
	for _, b := range f.boxes {
		b.answers()
	}
	f.runs()
	f.untouched(was, b)
	f.settle(l, s)
	l.mu.Lock()
	f.t.Logf("failed after %v; %d writes and %d reads, none failed for good, %d answered by another member; longest gap of writes %v",
		s.Run.FinishedAt.Sub(*s.Run.StartedAt).Round(time.Millisecond), l.writes.Sent, l.reads.Sent, l.writes.Errors+l.reads.Errors, l.gap.Round(time.Millisecond))
	l.mu.Unlock()
	f.unstage()
	f.clean()
	f.noStrangers()
	f.allow(false)
	f.runs()
	f.judge()
}

// noStrangers: the members are all the processes there are of their programs.
func (f *fleet) noStrangers() {
	f.t.Helper()
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		pids := map[string]bool{}
		for _, b := range f.boxes {
			pids[fmt.Sprint(b.runs())] = true
		}
		var strangers []string
		exes, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range exes {
			exe, err := os.Readlink(link)
			if pid := filepath.Base(filepath.Dir(link)); err == nil && strings.HasPrefix(exe, f.d.Dir+"/") && !pids[pid] {
				strangers = append(strangers, pid+" "+exe)
			}
		}
		if len(strangers) == 0 {
			return
		}
		if time.Now().After(limit) {
			f.problem("these processes are left: %q", strangers)
			return
		}
	}
}
