package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// guardKilled kills the new program while it puts the old one back: whoever starts
// next goes on with that.
func (f *fleet) guardKilled() {
	l, was := f.steady(), f.look()
	f.way = spoil.NeverReady
	f.stage()
	id := f.begins(f.client().Run(f.t.Context(), startPlainly))
	s := f.record.await(f.t, "somebody rejoins", func(s upgrade.Status) bool { return rejoins(s) != "" })
	b := f.box(rejoins(s))
	for limit := time.Now().Add(waitLimit); b.journalPhase() != "returning"; {
		if time.Now().After(limit) {
			f.t.Fatalf("%s does not put its program back\n%s", b.id, f.story())
		}
	}
	b.crash()
	f.isBack(l, was, f.ended(id), `is not ready: .*it is never ready, 8s after its start`)
	if b.starts == 0 {
		f.problem("%s was not started again", b.id)
		f.judge()
	}
}

func rejoins(s upgrade.Status) string {
	for _, m := range s.Members {
		if m.State == string(tracking.Rejoining) {
			return m.ID
		}
	}
	return ""
}

// journalPhase is how far the journal says that the local part of a turn is.
func (b *box) journalPhase() string {
	var j struct{ Phase string }
	data, err := os.ReadFile(filepath.Join(b.dir, "."+product+".upgrade.json"))
	if err != nil || json.Unmarshal(data, &j) != nil {
		return ""
	}
	return j.Phase
}

// died kills a good version in a state of its first turn, where nobody but a
// watcher is there to start it again: that puts the old program back.
func died(state string) func(*fleet) {
	return func(f *fleet) {
		l, was := f.steady(), f.look()
		f.way = spoil.Good
		f.stage()
		trap := f.warden.inState(state, 0)
		id := f.begins(f.client().Run(f.t.Context(), startPlainly))
		held := f.await(trap)
		f.box(held.whom).crash()
		held.release()
		f.isBack(l, was, f.ended(id), `died before it (came to serve|was confirmed)`)
	}
}

// killedAround kills around the restart of a good version: it is accepted all the
// same, or put back and tried again.
func killedAround(g *group) {
	for _, state := range []string{"swapped", "rejoining", "accepted", "done"} {
		g.run(state, func(f *fleet) {
			l := f.steady()
			f.way = spoil.Good
			f.stage()
			trap := f.warden.inState(state, 0)
			f.start()
			held := f.await(trap)
			f.box(held.whom).crash()
			held.release()
			f.finished(l)
		})
	}
	g.run("Retry", (*fleet).putBackAndRetry)
	g.run("Rollback", (*fleet).rollsBack)
}

// putBackAndRetry kills the second member as often as it may be, when the first is
// done. The retry goes on with those that still need it.
func (f *fleet) putBackAndRetry() {
	l, was := f.steady(), f.look()
	f.way = spoil.Good
	f.stage()
	killed := ""
	for i := range 3 {
		trap := f.warden.trap(func(p point, n int) bool {
			if i == 0 {
				return p.what == "ready" && n == 1
			}
			return p.what == "ready" && p.actor == killed
		})
		if i == 0 {
			f.start()
		}
		held := f.await(trap)
		killed = held.actor
		f.box(killed).crash()
		held.release()
	}
	s := f.record.await(f.t, "the run fails", func(s upgrade.Status) bool { return s.Status == string(tracking.Failed) })
	b := f.failedWith(s, "PutBack", `ended 3 times within 30s of its start`)
	first := ""
	for _, m := range s.Members {
		if m.State == string(tracking.Done) {
			first = m.ID
		}
	}
	if b.id != killed || first == "" || first == killed {
		f.problem("%s was killed, %s is named, and %s is done", killed, b.id, first)
		f.judge()
	}
	b.answers()
	done := f.look()
	f.box(first).version = f.next
	f.runs()
	for id := range was {
		if id != first && id != killed && done[id] != was[id] && done[id].Boot != was[id].Boot {
			f.problem("%s was touched", id)
		}
	}
	f.warden.begin()
	f.warden.had(first)
	id := f.begins(f.client().Retry(f.t.Context(), retrying("failed-before")))
	f.ended(id)
	f.finished(l)
	if now := f.look()[first]; now.Boot != done[first].Boot {
		f.problem("%s was done, and had another turn", first)
		f.judge()
	}
}

// rollsBack takes a run that has finished back on all members.
func (f *fleet) rollsBack() {
	l := f.steady()
	f.way = spoil.Good
	f.stage()
	old := map[string]int{}
	for _, b := range f.boxes {
		old[b.id] = b.version
	}
	id := f.begins(f.client().Run(f.t.Context(), startPlainly))
	if s := f.ended(id); s.Status != string(tracking.Finished) {
		f.t.Fatalf("the run ends %s: %v\n%s", s.Status, *s.FinalState, f.story())
	}
	f.warden.begin()
	back := f.begins(f.client().Rollback(f.t.Context(), upgrade.RollbackOptions{}))
	s := f.ended(back)
	if s.Status != string(tracking.Finished) || !strings.Contains(*s.FinalState, "rolled back from "+versionName(f.next)) || s.Run.RollbackOf == nil || *s.Run.RollbackOf != id {
		f.t.Fatalf("the rollback ends %s: %v\n%s", s.Status, *s.FinalState, f.story())
	}
	for _, b := range f.boxes {
		b.version = old[b.id]
	}
	f.runs()
	f.settle(l, s)
	f.unstage()
	f.clean()
	f.noStrangers()
	f.judge()
}
