package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// judge fails the scenario if there was a problem.
func (f *fleet) judge() {
	f.t.Helper()
	f.mu.Lock()
	problems := slices.Clone(f.problems)
	f.mu.Unlock()
	if len(problems) > 0 {
		f.t.Fatalf("%s\n\n%s", strings.Join(problems, "\n"), f.story())
	}
}

// judgeExits: when a member left, it was permitted to, enough others were there,
// and it did not lead.
func (f *fleet) judgeExits() {
	e := f.eye
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.exits {
		permit := f.permitted(x)
		if permit.IsZero() {
			f.problem("%s left at %s, and no line of the record permits that", x.member, x.at.Format("05.000"))
		}
		// What the test did to others a moment before could not be known when the
		// restart was permitted.
		if f.d.size == 1 || x.lastFault.After(permit.Add(-unseen)) {
			continue
		}
		if x.others <= f.d.size/2 {
			f.problem("%s left when only %d others were up", x.member, x.others)
		}
		if how := e.ledUntil(x); how != "" {
			f.problem("%s left while it led: %s", x.member, how)
		}
	}
}

// unseen is how long the members may take to notice that one does not answer: a
// second until it has to, and one for which an answer is remembered.
const unseen = 3 * time.Second

// permitted is when the record said, in this scenario, that the member might
// leave.
func (f *fleet) permitted(x exit) time.Time {
	f.record.mu.Lock()
	defer f.record.mu.Unlock()
	at := f.began
	for _, lines := range f.record.lines {
		for _, l := range lines {
			if l.Type == "member.restarting" && l.Member == x.member && l.At.Before(x.at) && l.At.After(at) {
				at = l.At
			}
		}
	}
	if at == f.began {
		return time.Time{}
	}
	return at
}

// ledUntil proves that the member led when it left: it said so last, and whoever
// led next said after the exit that it did not yet.
func (e *eye) ledUntil(x exit) string {
	var last sighting
	for _, s := range e.sightings {
		if s.member == x.member && s.got.Before(x.last) {
			last = s
		}
	}
	if last.Role != "Leader" {
		return ""
	}
	waited := map[string]sighting{} // who did not lead after the exit
	for _, s := range e.sightings {
		switch {
		case s.member == x.member || s.Term < last.Term:
		case s.Role == "Leader" && s.Term > last.Term && s.sent.Before(x.at):
			return ""
		case s.Role == "Leader" && s.Term > last.Term:
			if w, ok := waited[s.member]; ok {
				return fmt.Sprintf("it led term %d and was gone at %s; %s did not lead at %s, and did at %s",
					last.Term, x.at.Format("05.000"), s.member, w.sent.Format("05.000"), s.got.Format("05.000"))
			}
			return ""
		case s.sent.After(x.at):
			waited[s.member] = s
		}
	}
	return ""
}

// judgeExecs: nobody starts another program once the run is over.
func (f *fleet) judgeExecs() {
	e := f.eye
	e.mu.Lock()
	defer e.mu.Unlock()
	f.record.mu.Lock()
	defer f.record.mu.Unlock()
	for _, at := range f.record.overAt {
		for _, x := range e.execs {
			if x.last.After(at) && x.at.Before(at.Add(time.Minute)) && !f.begunAfter(at, x.last) {
				f.problem("%s started %s at %s, after the run was over", x.member, f.versionOf(x.program), x.at.Format("05.000"))
			}
		}
	}
}

// begunAfter reports whether another run began between two moments. The record's
// lock is held.
func (f *fleet) begunAfter(from, to time.Time) bool {
	for _, lines := range f.record.lines {
		for _, l := range lines {
			if l.Type == "run.started" && l.At.After(from.Add(-time.Millisecond)) && l.At.Before(to) {
				return true
			}
		}
	}
	return false
}
