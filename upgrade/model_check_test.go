package upgrade

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
)

// setRun is a swap of the run that succeeds. Whoever else has loaded the old one
// has lost. It returns the invariant that is broken, if one is.
func (m *model) setRun(w *world, id uint32, own bool) string {
	before := w.run
	if m.twoKeys() {
		id = m.merged(before, id, own)
	}
	w.run = id
	for i := range m.n {
		if p := w.m[i].pend; p != 0 {
			w.m[i].pend = m.stale(p, own)
		}
	}
	for k := range w.ops {
		if w.ops[k].who >= 0 {
			w.ops[k] = operator{who: -1} // it looks again: there is nothing to retry
		}
	}
	return m.judge(before, w)
}

// stale is what a member is still about to do once the run has changed.
func (m *model) stale(id uint32, own bool) uint32 {
	d := m.pends.all[id]
	if m.twoKeys() && d.own != own {
		return id // another key has changed
	}
	to, ok := m.stales[id]
	if !ok {
		switch {
		case d.do == actFreeze:
			to = id
		case d.do == actSwap || d.done:
			to = 0
		case !d.fresh:
			to = id
		default:
			d.fresh = false
			to = m.pends.id(d)
		}
		m.stales[id] = to
	}
	return to
}

var arrows = map[tracking.State]string{
	"":                  "granted",
	tracking.Granted:    "claimed failed",
	tracking.Claimed:    "claimed prepared rejoining failed",
	tracking.Prepared:   "prepared claimed restarting rejoining failed",
	tracking.Restarting: "prepared claimed rejoining failed",
	tracking.Rejoining:  "rejoining accepted failed",
	tracking.Accepted:   "",
}

func ended(s tracking.Status) bool { return s == tracking.Finished || s == tracking.Failed }

// judge looks at one change of the run.
func (m *model) judge(before uint32, w *world) string {
	old, r := &m.runs.all[before], &m.runs.all[w.run]
	for _, t := range r.Turns {
		from := tracking.State("")
		if p := old.Turn(t.Member); p != nil {
			from = p.State
		}
		if t.State == tracking.Accepted && w.m[memberIndex(t.Member)].prog != m.target(w) {
			return "7: accepted, and does not run the target"
		}
		if from != t.State && !strings.Contains(arrows[from], string(t.State)) {
			return fmt.Sprintf("11: the turn of %s goes from %q to %q", t.Member, from, t.State)
		}
	}
	if old.ID == r.ID && ended(old.Status) && (r.Status == tracking.Working || len(r.Turns) > 0 && !slices.Equal(old.Turns, r.Turns)) {
		return fmt.Sprintf("9: something is permitted after the run was %s", old.Status)
	}
	if r.Status == tracking.Finished && old.Status != r.Status {
		for i := range m.n {
			named := w.frozen>>i&1 > 0 || slices.Contains(r.Joined, memberName(i)) // else it came since
			if named && w.in(i) && (w.m[i].prog != m.target(w) || w.m[i].file != m.target(w)) {
				return fmt.Sprintf("8: finished, and %s does not run the target", memberName(i))
			}
		}
	}
	if r.Status == tracking.Failed && old.Status != r.Status && r.Reason == "Cancelled" || r.Status == tracking.None && old.Reason == "Cancelled" {
		return m.exact(w)
	}
	return ""
}

// exact judges a cancellation: nothing is in flight.
func (m *model) exact(w *world) string {
	for i := range m.n {
		p := &w.m[i]
		d := m.pends.all[p.pend]
		switch {
		case !w.in(i):
		case p.at == isLeaving || p.at == isGone || d.do == actLeave && !p.late || p.file != p.prog:
			return fmt.Sprintf("14: cancelled, and %s still restarts", memberName(i))
		case m.turn(w, i) != nil:
			return fmt.Sprintf("14: cancelled, and the turn of %s is %s", memberName(i), m.turn(w, i).State)
		}
	}
	return ""
}

// tells reports whether the line that member i writes when a run was cancelled is
// right about who runs what. Of a member that was not heard from in this run it
// says so.
func (m *model) tells(w *world, i int) bool {
	run := runNumber(m.runs.all[w.run].ID) + 1
	for k := range m.n {
		r := &m.reports.all[m.known(w, i, k)]
		heard := r.holds == run || r.checked == run || r.last[0] == run
		if k != i && w.in(k) && heard && r.prog != w.m[k].prog {
			return false
		}
	}
	return true
}

// counts reports whether a broken invariant ends the search: all do, or the one
// that a broken variant is searched for.
func (m *model) counts(bad string) bool {
	number, _, _ := strings.Cut(bad, ":")
	return bad != "" && (m.only == "" || m.only == number)
}

// breaks looks at one world.
func (m *model) breaks(w *world) string {
	down := 0
	for i := range m.n {
		if at := w.m[i].at; w.in(i) && (at == isLeaving || at == isGone) {
			down++
		}
	}
	if down > m.plan.Rules.MaxUnavailable {
		return fmt.Sprintf("1: %d members are down by our own hand", down)
	}
	return ""
}

// kind says what liveness asks of w.
func (m *model) kind(w *world) (k liveKind) {
	r := &m.runs.all[w.run]
	k.finished = r.Status == tracking.Finished
	k.ended = k.finished || r.Status == tracking.None || r.Status == tracking.Failed && r.Wish != tracking.Cancel
	// Two voters that were more at the start wait for a third, or the operator.
	k.paused = r.Wish == tracking.Pause || m.n > 2 && m.voters(w) == 2
	k.mustFinish = r.Status == tracking.Working && r.Wish == tracking.Go && !k.paused
	for _, t := range r.Turns {
		if t.State == tracking.TurnFailed || !w.in(memberIndex(t.Member)) {
			k.mustFinish = false
		}
	}
	for i := range m.n {
		p := &w.m[i]
		d := m.pends.all[p.pend]
		if d.fresh && (d.do == actSwap || d.done && d.do != actFreeze) {
			next := &m.runs.all[d.run]
			if next.Status == tracking.Failed || next.Turn(memberName(i)) != nil && next.Turn(memberName(i)).State == tracking.TurnFailed {
				k.mustFinish = false // a time is up, and only has to be written down
			}
		}
		if p.trouble || p.ill {
			k.mustFinish = false
		}
		k.untidy = k.untidy || p.at == isUp && p.untidy()
	}
	return k
}

// describe tells an event.
func (m *model) describe(e event) string {
	s := e.kind
	if e.who >= 0 {
		s = memberName(e.who) + " " + s
	}
	if e.kind == "loads" || e.kind == "does" || e.kind == "fails" {
		d := m.pends.all[e.aux]
		s += ": " + string(d.do)
		if d.do == actFreeze {
			s += " the plan of " + runName(d.id)
		} else if d.do == actSwap || d.done {
			s += " -> " + m.tell(d.run)
		}
		if !d.fresh && (d.do == actPrepare || d.do == actAsk || d.do == actLeave) {
			s += " (as of an older run)"
		}
		if d.to != "" {
			s += " to " + d.to
		}
	}
	if e.to != "" {
		s += ": " + e.to
	}
	if e.by == byTimeout {
		s += " (a time is up)"
	}
	if e.bad != "" {
		s += "   <- " + e.bad
	}
	return s
}

// tell is a run in few words.
func (m *model) tell(id uint32) string {
	r := m.runs.all[id]
	s := fmt.Sprintf("%s %s by %s", r.ID, r.Status, r.Boot)
	if r.Reason != "" {
		s += " " + r.Reason
	}
	if r.Wish != "" {
		s += " " + string(r.Wish)
	}
	for _, t := range r.Turns {
		s += fmt.Sprintf(", %s %s", t.Member, t.State)
		if t.Asked != "" {
			s += " asked"
		}
		if t.To != "" {
			s += " to " + t.To
		}
		if t.Attempt > 1 {
			s += fmt.Sprintf(" attempt %d", t.Attempt)
		}
	}
	if r.Waiting != nil {
		s += ", waits"
	}
	return s
}
