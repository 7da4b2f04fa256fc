package upgrade

import (
	"github.com/leaderlast/leaderlast/tracking"
)

// swap replaces the run, if it is still the one that was loaded.
func (m *model) swap(w world, i int, d pend, e event, emit func(event, *world)) {
	if !d.fresh {
		emit(e, &w) // lost: somebody was faster
		return
	}
	if d.nonce > 0 && w.budget.fail > 0 {
		lost := w // the swap happens, and its reply does not arrive
		lost.budget.fail--
		m.setRun(&lost, d.run, d.own)
		emit(event{kind: "asks, and hears of no answer", who: i, by: byOthers}, &lost)
	}
	if d.nonce > 0 {
		w.m[i].nonce, w.m[i].late = d.nonce, false
	}
	if m.variant == "by rpc" {
		w.orders |= m.newlyGranted(w.run, d.run)
	}
	e.bad = m.setRun(&w, d.run, d.own)
	emit(e, &w)
}

// freeze looks at the plan and once more at the run; then writes the plan, if
// nobody else did so meanwhile.
func (m *model) freeze(w world, i int, d pend, e event, emit func(event, *world)) {
	switch {
	case !d.done && !m.planned(&w) && d.id == runNumber(m.runs.all[w.run].ID):
		w.m[i].pend = m.pends.id(pend{do: actFreeze, done: true, id: d.id, members: d.members, fresh: true})
	case d.done && d.fresh:
		w.plan, w.frozen = uint8(d.id)+1, d.members
		for k := range m.n {
			if p := m.pends.all[w.m[k].pend]; p.do == actFreeze && p.done {
				p.fresh = false
				w.m[k].pend = m.pends.id(p)
			}
		}
		if m.runs.all[w.run].ID != runName(d.id) && m.runs.all[w.run].Status == tracking.Working {
			e.bad = "12: the plan of an earlier run is written over that of this one"
		}
	}
	emit(e, &w)
}

// report writes what member i says of itself.
func (m *model) report(w *world, i int, d pend) {
	p := &w.m[i]
	r := m.reports.all[p.report]
	r.boot, r.prog, r.rejoin = 0, p.prog, rejoinState{}
	if p.holds {
		r.holds = d.id + 1
	}
	if int(p.checked) == d.id+1 {
		r.checked = d.id + 1
	}
	if d.rejoin > 0 {
		r.rejoin = rejoinState{d.id + 1, d.rejoin, 0, d.ill}
	}
	if d.last > 0 {
		r.last = [2]int{d.id + 1, d.last}
	}
	p.report = m.reports.id(r)
}

// prepare puts the new program beside the old one; then says so.
func (m *model) prepare(w world, i int, d pend, e event, emit func(event, *world)) {
	p := &w.m[i]
	t := m.runs.all[d.run].Turn(memberName(i))
	if t == nil || t.OldBoot != bootName(i, 0) && m.variant != "own view" {
		e.bad = "4: files change without a claim of this process"
	}
	p.phase, p.trouble = atClaimed, false
	p.back = runNumber(m.runs.all[d.run].ID) >= firstBack
	if t == nil || m.variant == "own view" {
		emit(e, &w)
		return
	}
	said := pend{do: actPrepare, done: true, own: true, fresh: d.fresh}
	said.run = m.next(nextKey{"prepared", d.run, i, 0}, func(v view) tracking.Run {
		return v.turnStep(v.self, tracking.Prepared, "", nil).run
	})
	m.then(w, i, said, e, emit)
	if w.budget.fail > 0 {
		w.budget.fail--
		e.kind, e.by = "fails", byOthers
		said.run = m.next(nextKey{"failed", d.run, i, 0}, func(v view) tracking.Run {
			return v.failTurn(*v.run.Turn(v.self), "PrepareFailed", "").run
		})
		m.then(w, i, said, e, emit)
	}
}

// then leaves the swap of the run to a step of its own, if it can succeed.
func (m *model) then(w world, i int, d pend, e event, emit func(event, *world)) {
	if d.fresh {
		w.m[i].pend = m.pends.id(d)
	}
	emit(e, &w)
}

// ask makes the clients leave; then asks.
func (m *model) ask(w world, i int, d pend, e event, emit func(event, *world)) {
	w.m[i].drained = true
	asked := m.runs.all[d.run].Turn(memberName(i)).Asked
	nonce := uint8(1)
	for nonce == w.m[i].nonce || asked == nonceName(nonce) {
		nonce++
	}
	next := m.next(nextKey{"ask", d.run, i, nonce}, func(v view) tracking.Run {
		r := v.next()
		n := r.Turn(v.self)
		n.Asked, n.Answer = nonceName(nonce), ""
		return r
	})
	m.then(w, i, pend{do: actAsk, done: true, own: true, fresh: d.fresh, nonce: nonce, run: next}, e, emit)
}

// handOver lets go of leadership: it moves, or stays, or is nobody's.
func (m *model) handOver(w world, i int, d pend, e event, emit func(event, *world)) {
	p := &w.m[i]
	p.drained, p.nonce, p.late = false, 0, false
	stays := w
	if m.fixed {
		stays.m[i].fixed = true
		emit(e, &stays)
		return
	}
	e.to = "stays"
	emit(e, &stays)
	if int(w.leader) != i {
		return
	}
	if to := memberIndex(d.to); w.healthy(to) && w.in(to) {
		moved := w
		moved.leader = int8(to)
		e.to = "moves"
		emit(e, &moved)
	}
	w.leader = -1
	e.to = "nobody"
	emit(e, &w)
}
