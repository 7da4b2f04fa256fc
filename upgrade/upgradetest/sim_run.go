package upgradetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// arrows are where a status may go.
var arrows = map[tracking.Status][]tracking.Status{
	tracking.None:     {tracking.Staging, tracking.Working},
	tracking.Staging:  {tracking.Staged, tracking.Failed, tracking.None},
	tracking.Staged:   {tracking.Working, tracking.Failed, tracking.None},
	tracking.Working:  {tracking.Finished, tracking.Failed},
	tracking.Finished: {tracking.None, tracking.Staging, tracking.Working},
	tracking.Failed:   {tracking.None, tracking.Staging, tracking.Working},
}

// checkSwap judges one step of the run, made by p.
func (w *world) checkSwap(p *process, old, now tracking.Run) {
	same := old.ID == now.ID
	if now.Rev != old.Rev+1 {
		w.violate("10: %s replaces revision %d by %d: it has not seen what it overwrites", p.name, old.Rev, now.Rev)
	}
	if now.Takeover < old.Takeover || now.Takeover > old.Takeover+1 || (now.Takeover == old.Takeover) != (now.Boot == old.Boot) {
		w.violate("10: takeover goes from %d by %q to %d by %q", old.Takeover, old.Boot, now.Takeover, now.Boot)
	}
	if now.Boot != old.Boot && (now.Boot != p.boot || !p.leads()) {
		w.violate("10: %s, which does not lead, lets %q coordinate", p.name, now.Boot)
	}
	if old.Status != now.Status && !slices.Contains(arrows[old.Status], now.Status) {
		w.violate("11: status goes from %q to %q", old.Status, now.Status)
	}
	begins := old.Status == tracking.Failed && now.RetryOf == old.ID
	if now.Kind == tracking.KindRollback && old.Status != tracking.Staging && old.Status != tracking.Staged && old.Status != tracking.Working {
		begins = begins || now.RetryOf == "" && old.Committed.IsZero()
	}
	if !same && now.Status != tracking.Staging && !(now.Status == tracking.Working && begins) {
		w.violate("11: run %s takes the place of %s as %q", now.ID, old.ID, now.Status)
	}
	if same && now.Status == tracking.Working && (old.Status == tracking.None || old.Status == tracking.Finished) {
		w.violate("11: run %s was %q, and works again", now.ID, old.Status)
	}
	w.checkCommitted(old, now)
	if same && (old.Status == tracking.Finished || old.Status == tracking.Failed) && now.FinalState != old.FinalState {
		w.violate("11: run %s had ended with %q, and now with %q", old.ID, old.FinalState, now.FinalState)
	}
	w.checkTranscript(old, now)
	if !same {
		if len(now.Turns) > 0 {
			w.violate("11: run %s begins with turns", now.ID)
		}
		return
	}
	if old.Status != now.Status {
		w.checkEnded(p, now)
	}
	for _, t := range now.Turns {
		if before := old.Turn(t.Member); before == nil {
			w.checkGrant(p, old, now, t)
		} else if before.State != t.State || before.Attempt != t.Attempt {
			w.checkTurn(p, old, now, *before, t)
		} else if t.Asked != before.Asked && t.Asked != "" {
			w.asked[p.boot] = time.Now()
		}
	}
	for _, t := range old.Turns {
		if now.Turn(t.Member) == nil {
			w.checkDropped(p, old, now, t)
		}
	}
}

func (w *world) checkTranscript(old, now tracking.Run) {
	if old.ID != now.ID {
		return
	}
	if now.Lines < old.Lines {
		w.violate("11: the transcript shrinks from %d lines to %d", old.Lines, now.Lines)
	}
	text := map[int]string{}
	for _, l := range old.Log {
		text[l.Seq] = l.Type + l.Text
	}
	for _, l := range now.Log {
		if was, found := text[l.Seq]; found && was != l.Type+l.Text {
			w.violate("11: line %d of the transcript changes from %q to %q", l.Seq, was, l.Type+l.Text)
		}
	}
	if old.Status != now.Status && now.Lines == old.Lines {
		w.violate("11: status goes from %q to %q without a line", old.Status, now.Status)
	}
}

// checkEnded judges the end of a run.
func (w *world) checkEnded(p *process, now tracking.Run) {
	switch now.Status {
	case tracking.Finished:
		w.seen["finished"]++
		if now.Kind == tracking.KindRollback {
			w.seen["gone back"]++
		}
		if p.boot != now.Boot {
			w.violate("10: %s ends the run and does not coordinate", p.name)
		}
		w.checkNoted(p, now)
		for _, m := range w.inRun(p) {
			if v := w.machines[m].installed(); !there(now, v) {
				w.violate("8: %s has %s when the run to %s finishes", m, v, now.Archive.Version)
			}
		}
	case tracking.Failed:
		w.seen["failed: "+now.Reason]++
		if now.Reason == "" || now.FinalState == "" || now.FailedMember == "" && now.Reason != "Cancelled" && now.Reason != "PlanConflict" {
			w.violate("9: run %s fails without a reason or a member: %q %q %q", now.ID, now.Reason, now.FailedMember, now.FinalState)
		}
		for _, m := range p.members {
			mach := w.machines[string(m.ID)]
			if mach == nil || mach.boots == 0 {
				continue
			}
			is := mach.name + " " + mach.installed()
			switch told := strings.Contains(now.FinalState, is); {
			case !strings.Contains(now.FinalState, mach.name+" "):
				w.violate("9: the final state does not tell what %s runs: %q", mach.name, now.FinalState)
			case now.Reason == "Cancelled" && !told && !strings.Contains(now.FinalState, mach.name+" ?"):
				w.violate("9: %s, and the run was cancelled with %q", is, now.FinalState)
			}
		}
	}
}

// inRun returns the members that a run is about, as p sees the cluster.
func (w *world) inRun(p *process) []string {
	var all []string
	for _, m := range p.members {
		if !slices.Contains(w.plan.Forgotten, string(m.ID)) {
			all = append(all, string(m.ID))
		}
	}
	return all
}

// checkGrant judges gate A.
func (w *world) checkGrant(p *process, old, now tracking.Run, t tracking.Turn) {
	switch {
	case t.State != tracking.Granted:
		w.violate("11: the turn of %s begins as %q", t.Member, t.State)
	case p.boot != old.Boot:
		w.violate("10: %s grants a turn and does not coordinate", p.name)
	case old.Wish != tracking.Go || now.Status != tracking.Working:
		w.violate("6: %s gets a turn while the run is %q and the operator wants %q", t.Member, now.Status, old.Wish)
	case len(now.Turns) > max(1, w.plan.Rules.MaxUnavailable):
		w.violate("1: %d turns are in flight", len(now.Turns))
	}
	w.checkNoted(p, now)
	w.spare("A", p, t.Member)
	for _, m := range p.members {
		if !m.Leader || string(m.ID) != t.Member {
			continue
		}
		for _, other := range w.inRun(p) {
			if v := w.machines[other].installed(); other != t.Member && !there(now, v) {
				w.violate("6: %s leads and gets its turn, and %s still has %s", t.Member, other, v)
			}
		}
	}
}

// spare judges whether p, which lets member go, saw that the cluster can do
// without it.
func (w *world) spare(gate string, p *process, member string) {
	if len(p.members) == 1 {
		return
	}
	err := cluster.SafeToStop(p.members, cluster.MemberID(member))
	if err != nil && w.plan.Rules.AllowOutage {
		err = nil
		for _, m := range p.members {
			if !m.Healthy && string(m.ID) != member && slices.Contains(w.inRun(p), string(m.ID)) {
				err = fmt.Errorf("%s does not answer, and an outage is allowed for one", m.ID)
			}
		}
	}
	if err != nil {
		w.violate("2: gate %s lets %s go: %v", gate, member, err)
	}
}

// checkDropped judges the end of a turn.
func (w *world) checkDropped(p *process, old, now tracking.Run, t tracking.Turn) {
	coordinator, own := p.boot == old.Boot, p.m.name == t.Member
	ok := false
	switch {
	case now.Status != tracking.Working:
		ok = true // the run ends with all its turns
	case t.State == tracking.Accepted:
		ok = coordinator
	case t.State == tracking.Granted:
		gone := !slices.ContainsFunc(p.own.members, func(m cluster.Member) bool { return string(m.ID) == t.Member })
		ok = coordinator && (old.Wish == tracking.Cancel || gone)
	case t.State == tracking.Claimed:
		ok = own && old.Wish == tracking.Cancel
	case t.State == tracking.Prepared:
		ok = own && (old.Wish == tracking.Cancel || p.fixed)
	case t.State == tracking.Rejoining:
		ok = coordinator && old.Wish == tracking.Cancel
	}
	if !ok {
		w.violate("11: %s ends the turn of %s, which is %q", p.name, t.Member, t.State)
	}
}

// describe says what a swap of the run changes.
func describe(old, now tracking.Run) string {
	s := ""
	if old.ID != now.ID || old.Status != now.Status || old.Wish != now.Wish {
		s += fmt.Sprintf("%s %q %s; ", now.ID, now.Status, now.Wish)
	}
	if old.Takeover != now.Takeover {
		s += fmt.Sprintf("takeover %d by %s; ", now.Takeover, now.Leader)
	}
	for _, t := range now.Turns {
		asks := ""
		if t.Asked != "" && t.Asked != t.Answer {
			asks = " asks"
		}
		s += fmt.Sprintf("%s %s/%d%s; ", t.Member, t.State, t.Attempt, asks)
	}
	if now.Waiting != nil {
		s += fmt.Sprintf("waits (%s %s %s); ", now.Waiting.Gate, now.Waiting.Reason, now.Waiting.Member)
	}
	for _, l := range now.Log {
		if old.ID != now.ID || l.Seq > old.Lines {
			s += fmt.Sprintf("%s %q ", l.Type, l.Text)
		}
	}
	return s
}
