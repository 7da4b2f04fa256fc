package upgrade

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// Who goes back, and where, is decided by the journal of each member.
func TestWhoGoesBack(t *testing.T) {
	by := func(run, old, now string) *way {
		return &way{Run: run, Old: archive.Digest("d" + old), New: archive.Digest("d" + now), OldVersion: old, NewVersion: now}
	}
	rollback := tracking.Run{Kind: tracking.KindRollback, RollbackOf: "R1", From: "2", Archive: tracking.Archive{Version: "1"}}
	same := rollback // of a release that calls itself as the one before
	same.Archive.Version = "2"
	for _, c := range []struct {
		name string
		run  tracking.Run
		runs string // version; its digest is that with a d before
		way  *way
		to   string // version it goes to; "" if it stays
		why  string
	}{
		{"brought by that run", rollback, "2", by("R1", "1", "2"), "1", ""},
		{"brought by that run, from elsewhere", rollback, "2", by("R1", "0", "2"), "0", ""},
		{"brought by another run, by the same step", rollback, "2", by("R0", "1", "2"), "1", ""},
		{"brought by another run, from elsewhere", rollback, "2", by("R0", "0", "2"), "", "keeps 0, and not 1"},
		{"installed by hand", rollback, "2", nil, "", "keeps no program from before 2"},
		{"what the journal knows is something else", rollback, "2", by("R1", "1", "3"), "", "keeps no program from before 2"},
		{"never touched, and keeps an older one", rollback, "1", by("R0", "0", "1"), "", ""},
		{"put back", rollback, "1", nil, "", ""},
		{"on a version of its own", rollback, "7", by("R0", "6", "7"), "", ""},
		{"went back already", rollback, "1", by("R2", "2", "1"), "", ""},
		{"same version, brought by that run", same, "2", &way{Run: "R1", Old: "dother", New: "d2", OldVersion: "2", NewVersion: "2"}, "2", ""},
		{"same version, not touched", same, "2", by("R0", "1", "2"), "", ""},
	} {
		w, why := journal{Kept: c.way}.back(c.run, archive.Digest("d"+c.runs), c.runs)
		to := ""
		if w != nil {
			to = w.OldVersion
		}
		if to != c.to || why != c.why {
			t.Errorf("%s: goes to %q (%s), want %q (%s)", c.name, to, why, c.to, c.why)
		}
	}
}

// The way back outlives a turn that comes to nothing, and ends with what took its
// place.
func TestJournalKeepsTheWay(t *testing.T) {
	j := journal{Phase: phaseRunning, Run: "R2", Origin: "R1", Old: "a", New: "b", OldVersion: "1", NewVersion: "2", Confirmed: true}
	want := way{Run: "R1", Old: "a", New: "b", OldVersion: "1", NewVersion: "2"}
	if w := j.way(); w == nil || *w != want {
		t.Fatalf("%+v", w)
	}
	next := j.closed()
	next.Phase, next.Run, next.Old, next.New = phaseClaimed, "R3", "b", "c"
	if w := next.way(); w == nil || *w != want {
		t.Errorf("in the next turn: %+v", w)
	}
	if w := next.closed().way(); w == nil || *w != want {
		t.Errorf("after it was cancelled: %+v", w)
	}
	running := next
	running.Phase, running.NoWayBack = phaseRunning, true
	if w := running.way(); w == nil || w.Old != "b" || !w.Shut {
		t.Errorf("once the next program runs: %+v", w)
	}
	if w := next.returned(true).way(); w != nil {
		t.Errorf("once it was put back: %+v", w)
	}
	if w := j.forgotten().way(); w != nil {
		t.Errorf("once it was forgotten: %+v", w)
	}
}

// A program that no longer starts, or failed here before, is not gone back to.
func TestRollbackChecksTheProgram(t *testing.T) {
	f := func(t *testing.T, spoil func(p *process, m *machine)) error {
		m := swapped(t)
		p := m.boot()
		if r, err := p.endOfRun(); err != nil || r.Status != tracking.Finished {
			t.Fatalf("%v: %s", err, r.FinalState)
		}
		defer p.dies()
		synctest.Wait() // until it rests: what is spoilt is its own
		spoil(p, m)
		_, err := p.Rollback(t.Context(), RollbackOptions{})
		return err
	}
	inBubble(t, "does not start", func(t *testing.T) {
		err := f(t, func(p *process, m *machine) {
			broken := "#!/bin/sh\nexit 3\n"
			m.spoil(".kvd.previous", broken)
			if err := p.journalize(func(j *journal) { j.Old = archive.DigestOf([]byte(broken)) }); err != nil {
				t.Fatal(err)
			}
		})
		if no := refusedFor(t, err, "PrerequisiteFailed"); !strings.Contains(no.Message, "The program from before does not start") {
			t.Error(no)
		}
	})
	inBubble(t, "failed before", func(t *testing.T) {
		err := f(t, func(p *process, m *machine) {
			if err := p.journalize(func(j *journal) {
				j.Failed = append(j.Failed, failedProgram{Program: j.Old, Version: j.OldVersion, Why: "hung"})
			}); err != nil {
				t.Fatal(err)
			}
		})
		if no := refusedFor(t, err, "PrerequisiteFailed"); no.Checks[0].ID != "failed-before" {
			t.Error(no)
		}
	})
	inBubble(t, "cannot read the data", func(t *testing.T) {
		broken := errors.New("table users has no column name")
		asked := ""
		err := f(t, func(p *process, m *machine) {
			p.c.Readable = func(_ context.Context, version string) error {
				asked = version
				return broken
			}
		})
		if refusedFor(t, err, "DataNotReadable"); !errors.Is(err, broken) || asked != "1.0.0" {
			t.Errorf("%v, asked about %q", err, asked)
		}
		if strings.Count(err.Error(), broken.Error()) != 1 {
			t.Errorf("the reason is not said once: %v", err)
		}
	})
}
