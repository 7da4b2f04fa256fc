package upgrade

import (
	"fmt"

	"github.com/leaderlast/leaderlast/tracking"
)

// leave is the last look, and then the end of the process.
func (m *model) leave(w world, i int, d pend, readable bool, e event, emit func(event, *world)) {
	v := m.view(&w, i, 0)
	v.run = m.runs.all[d.run]
	t := v.run.Turn(v.self)
	// The journal says that the path is being replaced, which without a replaced
	// file is as good as that it was claimed.
	w.m[i].phase = atClaimed
	looks := t.State == tracking.Restarting && m.variant != "static leader" && m.variant != "no last look"
	if looks && (v.local.stale || v.mustHandOver(*t)) {
		if readable {
			m.then(w, i, pend{do: actSwap, own: true, fresh: d.fresh, run: m.next(nextKey{"lapse", d.run, i, 0}, func(v view) tracking.Run { return v.lapse(*t).run })}, e, emit)
		}
		return
	}
	if (t.State != tracking.Restarting || t.OldBoot != v.boot || t.Answer == "") && m.variant == "" {
		e.bad = "4: leaves without a permission for this process"
	}
	if int(w.leader) == i && m.voters(&w) > 1 && !(m.fixed && m.othersThere(&w, i)) {
		e.bad = "3: the leader ends its process while it leads"
	}
	m.leaves(&w, i, e, emit)
}

// leaves stops the host of member i.
func (m *model) leaves(w *world, i int, e event, emit func(event, *world)) {
	if e.bad == "" && int(w.leader) == i && m.voters(w) > 1 && !(m.fixed && m.othersThere(w, i)) {
		e.bad = "3: the leader ends its process while it leads"
	}
	m.ends(w, i, isLeaving)
	w.m[i].phase = atReplacing
	emit(e, w)
}

// ends is the end of a process: its memory goes with it.
func (m *model) ends(w *world, i int, at uint8) {
	p := &w.m[i]
	*p = peer{at: at, prog: p.prog, file: p.file, phase: p.phase, back: p.back, trouble: p.trouble, report: p.report}
	for k := range w.ops {
		if int(w.ops[k].who) == i {
			w.ops[k] = operator{who: -1}
		}
	}
	if int(w.leader) == i || m.lost(w) {
		w.leader = -1
	}
}

// lost reports whether too few are up for anybody to lead.
func (m *model) lost(w *world) bool {
	up := 0
	for k := range m.n {
		if w.healthy(k) && w.in(k) {
			up++
		}
	}
	return !m.fixed && up < m.voters(w)/2+1
}

// replace puts the new program in place, and starts it.
func (m *model) replace(w world, i int, emit func(event, *world)) {
	e := event{kind: "replaces", who: i}
	next := w
	next.m[i].file = w.m[i].goal()
	if m.variant == "not atomic" && w.m[i].file == oldProgram {
		next.m[i].file = halfProgram
	} else {
		next.m[i].at = isGone
	}
	emit(e, &next)
	if w.budget.fail > 0 {
		e.kind, e.by = "cannot be restarted", byOthers
		w.budget.fail--
		w.m[i].at, w.m[i].phase, w.m[i].trouble = isGone, atClaimed, true
		emit(e, &w)
	}
	m.crash(w, i, emit)
}

func (m *model) crash(w world, i int, emit func(event, *world)) {
	if w.budget.crash > 0 {
		w.budget.crash--
		m.ends(&w, i, isDead)
		emit(event{kind: "crashes", who: i, by: byOthers}, &w)
	}
}

// boot starts whatever lies at the path.
func (m *model) boot(w world, i int, emit func(event, *world)) {
	e := event{kind: "boots", who: i}
	p := &w.m[i]
	if p.file == halfProgram {
		e.bad = "5: what lies at the path is not whole"
	}
	p.at, p.prog = isUp, p.file
	// Its earlier processes are one older now, wherever they are named.
	w.run = m.older(i, 0, w.run, func(id uint32) uint32 { return m.runs.id(olderRun(m.runs.all[id], i)) })
	p.report = m.olderReport(i, p.report)
	for k := range m.n {
		w.m[k].read = m.older(i, 3, w.m[k].read, func(id uint32) uint32 {
			all := m.reads.all[id]
			if all[i] > 0 {
				all[i] = m.olderReport(i, all[i]-1<<20) + 1<<20
			}
			return m.reads.id(all)
		})
		w.m[k].pend = m.older(i, 2, w.m[k].pend, func(id uint32) uint32 {
			d := m.pends.all[id]
			if d.do == actSwap || d.run != 0 {
				d.run = m.runs.id(olderRun(m.runs.all[d.run], i))
			}
			return m.pends.id(d)
		})
	}
	if m.fixed && i == 0 {
		w.leader = 0
	}
	emit(e, &w)
	if w.budget.fail > 0 {
		w.budget.fail--
		p.ill = true
		emit(event{kind: "boots, and is not well", who: i, by: byOthers}, &w)
	}
}

func (m *model) olderReport(i int, id uint32) uint32 {
	return m.older(i, 1, id, func(id uint32) uint32 {
		r := m.reports.all[id]
		r.boot++
		if r.rejoin.id > 0 {
			r.rejoin.boot++
		}
		return m.reports.id(r)
	})
}

func (m *model) older(i, what int, id uint32, make func(uint32) uint32) uint32 {
	known := m.olders[what][i]
	older, ok := known[id]
	if !ok {
		older = make(id)
		known[id] = older
	}
	return older
}

// environment is what happens to the members: elections, failures, operators.
func (m *model) environment(w world, emit func(event, *world)) {
	for i := range m.n {
		if !w.healthy(i) {
			continue
		}
		m.crash(w, i, emit)
		if !w.in(i) {
			continue
		}
		next := w
		next.leader = int8(i)
		switch {
		case m.fixed || int(w.leader) == i:
		case w.leader < 0 && !m.lost(&w):
			emit(event{kind: "is elected", who: i}, &next)
		case w.leader >= 0 && w.budget.move > 0:
			next.budget.move--
			emit(event{kind: "takes leadership", who: i, by: byOthers}, &next)
		}
	}
	if w.leader < 0 {
		return
	}
	r := &m.runs.all[w.run]
	e := event{kind: "operator cancels", who: -1, by: byOthers}
	if w.budget.cancel > 0 && r.Wish != tracking.Cancel {
		next := w
		next.budget.cancel--
		switch r.Status {
		case tracking.Working:
			e.bad = m.setRun(&next, m.next(nextKey{"cancel", w.run, -1, 0}, func(v view) tracking.Run {
				v.run.Wish = tracking.Cancel
				return v.run
			}), false)
			emit(e, &next)
		case tracking.Failed, tracking.Finished:
			e.kind = "operator unstages"
			e.bad = m.setRun(&next, m.next(nextKey{"unstage", w.run, -1, 0}, func(v view) tracking.Run { return v.tombstone("").run }), false)
			emit(e, &next)
		}
	}
	m.members(w, emit)
	m.pauses(w, emit)
	m.operators(w, emit)
}

// members come to the cluster, and are removed from it.
func (m *model) members(w world, emit func(event, *world)) {
	for i := range m.n {
		next := w
		next.out ^= 1 << i
		switch {
		case !w.in(i) && w.budget.join > 0 && w.healthy(i) && m.reports.all[w.m[i].report].boot == 9:
			next.budget.join--
			emit(event{kind: "joins the cluster", who: i, by: byOthers}, &next)
		case w.in(i) && w.budget.part > 0 && int(w.leader) != i && m.voters(&w) > 2:
			next.budget.part--
			if m.lost(&next) {
				next.leader = -1
			}
			emit(event{kind: "is removed from the cluster", who: i, by: byOthers}, &next)
		}
	}
}

// pauses are operators that pause the run, and let it go on.
func (m *model) pauses(w world, emit func(event, *world)) {
	e := event{kind: "operator resumes", who: -1, by: byOthers}
	wish := tracking.Go
	switch r := &m.runs.all[w.run]; {
	case r.Status != tracking.Working:
		return
	case r.Wish == tracking.Pause:
	case r.Wish == tracking.Go && w.budget.pause > 0:
		e.kind, wish = "operator pauses", tracking.Pause
		w.budget.pause--
	default:
		return
	}
	e.bad = m.setRun(&w, m.next(nextKey{"wish" + string(wish), w.run, -1, 0}, func(v view) tracking.Run {
		v.run.Wish = wish
		return v.run
	}), false)
	emit(e, &w)
}

// operators retry what failed, or undo it: one looks, and then begins another run, if the
// run is still the one that it looked at.
func (m *model) operators(w world, emit func(event, *world)) {
	r := m.runs.all[w.run]
	e := event{who: -1, by: byOthers}
	id := uint8(runNumber(r.ID)) + 1
	for k, o := range w.ops {
		if o.who < 0 {
			continue
		}
		id = max(id, o.id+1)
		next := w
		next.ops[k] = operator{who: -1}
		next.m[o.who].checked = o.id + 1
		again := tracking.Run{
			Leader: r.Leader, Boot: r.Boot, ID: runName(int(o.id)), RetryOf: r.ID, RollbackOf: r.RollbackOf, Kind: r.Kind, Archive: r.Archive,
			Status: tracking.Working, Started: modelNow, Rules: m.plan.Rules,
		}
		if o.id >= firstBack && r.Kind != tracking.KindRollback {
			again.RetryOf, again.RollbackOf, again.Kind, again.Archive = "", r.ID, tracking.KindRollback, tracking.Archive{}
		}
		e.kind = fmt.Sprintf("operator at %s begins R%d", memberName(int(o.who)), o.id)
		e.bad = m.setRun(&next, m.runs.id(canonRun(again)), false)
		emit(e, &next)
	}
	if r.Wish == tracking.Cancel || !ended(r.Status) {
		return
	}
	look := func(next world, i int, id uint8, what string) {
		k := 0
		if next.ops[0].who >= 0 {
			k = 1
		}
		next.ops[k] = operator{who: int8(i), id: id}
		emit(event{kind: fmt.Sprintf("operator at %s looks at what %s", memberName(i), what), who: -1, by: byOthers}, &next)
	}
	for i := range m.n {
		if !w.healthy(i) || !w.in(i) || m.view(&w, i, 0).startable(launch{again: true, StartOptions: StartOptions{AllowOutage: m.outage}}) != nil {
			continue
		}
		if w.budget.retry > 0 && r.Status == tracking.Failed {
			next := w
			next.budget.retry--
			look(next, i, id, "failed")
		}
		if w.budget.back > 0 && r.Kind != tracking.KindRollback && m.anyNew(&w) {
			next := w
			next.budget.back--
			look(next, i, max(id, firstBack), "is to be undone")
		}
	}
}

// anyNew reports whether there is something to undo.
func (m *model) anyNew(w *world) bool {
	for i := range m.n {
		if w.in(i) && w.m[i].prog == newProgram {
			return true
		}
	}
	return false
}
