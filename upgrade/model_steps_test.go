package upgrade

import (
	"github.com/leaderlast/leaderlast/tracking"
)

// successors calls emit for everything that may happen next in w.
func (m *model) successors(w world, emit func(event, *world)) {
	m.environment(w, emit)
	readable := w.leader >= 0 // the record can be read and written
	for i := range m.n {
		switch p := w.m[i]; {
		case p.at == isUp && p.pend == 0 && readable:
			if m.cached && int(w.leader) == i {
				if all := m.readAll(&w, i); p.read == 0 {
					w.m[i].read = all // at the first look as the leader
				} else if all != p.read {
					next := w
					next.m[i].read = all
					emit(event{kind: "reads all reports", who: i}, &next)
				}
			}
			m.load(w, i, emit)
			w.m[i].read = p.read
		case p.at == isUp && p.pend != 0:
			m.act(w, i, m.pends.all[p.pend], readable, emit)
		case p.at == isLeaving:
			m.replace(w, i, emit)
		case p.at == isGone || p.at == isDead:
			m.boot(w, i, emit)
		}
		if m.ordered(&w, i) {
			next := w
			next.orders &^= 1 << i
			m.leaves(&next, i, event{kind: "obeys", who: i}, emit)
		}
	}
}

// load lets member i look at the record and decide, once for each thing that
// time may have done to it.
func (m *model) load(w world, i int, emit func(event, *world)) {
	plain := m.decide(&w, i, 0)
	m.loaded(w, i, plain, byProtocol, emit)
	t, turns := m.turn(&w, i), m.runs.all[w.run].Turns
	try := func(c choice, by class) {
		if d := m.decide(&w, i, c); d.pend != plain.pend {
			m.loaded(w, i, d, by, emit)
		}
	}
	if t != nil && t.State == tracking.Prepared && int(w.leader) == i {
		for n := 1; n < m.n-1; n++ { // as many as there may be successors
			try(choice(n)<<tryShift, byProtocol)
		}
	}
	if t != nil && w.m[i].nonce > 0 && !w.m[i].late && (t.State == tracking.Prepared || t.State == tracking.Restarting) {
		try(leaseOver, byTimeout)
	}
	if int(w.leader) == i && m.runs.all[w.run].Status == tracking.Working {
		later := w
		for k := range m.n {
			// Time passes for all, as far as they notice.
			later.m[k].late = later.m[k].nonce > 0 && !m.frozen
		}
		if d := m.decide(&later, i, budgetOver); d.pend != plain.pend {
			m.loaded(later, i, d, byTimeout, emit)
		}
		for _, t := range turns {
			if t.State == tracking.Rejoining {
				try(heldWell, byProtocol)
			}
			if !w.healthy(memberIndex(t.Member)) {
				try(justNow, byProtocol)
			}
		}
	}
}

// loaded is w once member i has decided on d.
func (m *model) loaded(w world, i int, d decision, by class, emit func(event, *world)) {
	e := event{kind: "loads", who: i, aux: d.pend, by: by}
	before := w.m[i]
	w.m[i].pend = d.pend
	if m.rejoins(&w, i) != nil { // the evidence is gathered on the way, and confirms the program
		w.m[i].phase = atRunning
	}
	if w.m[i] == before && d.pend == 0 {
		return
	}
	switch {
	case d.permits > 0 && !m.spare(&w, d.permits-1):
		e.bad = "2: a restart is permitted that leaves less than a quorum"
	case d.leaves > 0 && !m.spare(&w, i):
		e.bad = "2: a restart that nobody permitted leaves less than a quorum"
	case d.cancels && !m.tells(&w, i):
		e.bad = "14: cancelled, and the line is wrong about who runs what"
	case d.grants > 0 && d.grants-1 == int(w.leader) && !m.othersThere(&w, d.grants-1):
		e.bad = "6: the leader is granted its turn before all others are done"
	}
	if d.grants > 0 && m.variant == "signal first" {
		w.orders |= 1 << (d.grants - 1)
	}
	emit(e, &w)
}

// spare reports whether the healthy others are a quorum, or were not needed.
func (m *model) spare(w *world, i int) bool {
	others := 0
	for k := range m.n {
		if k != i && w.healthy(k) && w.in(k) {
			others++
		}
	}
	n := m.voters(w)
	return n == 1 || others >= n/2+1 || m.outage && others == n-1
}

func (m *model) othersThere(w *world, i int) bool {
	for k := range m.n {
		if k != i && w.in(k) && w.m[k].prog != m.target(w) {
			return false
		}
	}
	return true
}

// act lets member i carry out what it decided.
func (m *model) act(w world, i int, d pend, readable bool, emit func(event, *world)) {
	e := event{kind: "does", who: i, aux: w.m[i].pend}
	p := &w.m[i]
	p.pend = 0
	switch {
	case d.do == actFreeze:
		if readable {
			m.freeze(w, i, d, e, emit)
		}
	case d.do == actSwap || d.done:
		if readable {
			m.swap(w, i, d, e, emit)
		}
	case d.do == actReport, d.do == actCheck:
		if readable {
			if d.do == actCheck {
				p.checked = uint8(d.id) + 1
			}
			m.report(&w, i, d)
			emit(e, &w)
		}
	case d.do == actHold:
		p.holds = true
		emit(e, &w)
	case d.do == actTidy:
		p.drained, p.nonce, p.late, p.tidied = false, 0, false, true
		if p.phase == atClaimed || p.phase == atReplacing {
			p.phase, p.trouble = atNone, false
		}
		emit(e, &w)
	case d.do == actLetIn:
		p.drained, p.nonce, p.late = false, 0, false
		emit(e, &w)
	case d.do == actPrepare:
		m.prepare(w, i, d, e, emit)
	case d.do == actAsk:
		m.ask(w, i, d, e, emit)
	case d.do == actHandOver:
		if readable {
			m.handOver(w, i, d, e, emit)
		}
	case d.do == actLeave:
		m.leave(w, i, d, readable, e, emit)
	}
}
