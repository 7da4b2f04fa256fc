package upgrade

import (
	"github.com/leaderlast/leaderlast/tracking"
)

// A choice is what time does to one look at the record.
type choice uint8

const (
	leaseOver  choice = 1 << iota // of our own question
	budgetOver                    // of whoever is waited for; so is each lease that was given
	heldWell                      // MinHealthy is over
	justNow                       // whoever is waited for has only just gone

	// Above these: how often this process has tried to hand leadership over, which
	// says to whom it does so next. The world does not count the tries: whoever has
	// to let go may have made any number of them. That is more than the shipped code
	// can do, so what is never broken here is never broken there; and a try that
	// comes to nothing leads from each number to the next, so what can be reached
	// here can be reached there.
	tryShift = 4
)

// memoKey is everything that a view is made of.
type memoKey struct {
	run      uint32
	planned  bool
	leader   int8
	up       uint8
	out      uint8
	frozen   uint8
	who      uint8
	choice   choice
	prog     uint8
	flags    uint8
	nonce    uint8
	unsettle bool
	reports  [modelMax]uint32
}

// nextKey is what the run that an action leads to depends on.
type nextKey struct {
	what  string
	run   uint32
	who   int // -1: nobody
	nonce uint8
}

// next returns the run that make leads to, as member k.who sees the run k.run.
func (m *model) next(k nextKey, make func(view) tracking.Run) uint32 {
	id, ok := m.nexts[k]
	if !ok {
		v := view{now: modelNow, run: m.runs.all[k.run]}
		if k.who >= 0 {
			v.self, v.boot = memberName(k.who), bootName(k.who, 0)
		}
		id = m.runs.id(canonRun(make(v)))
		m.nexts[k] = id
	}
	return id
}

// A decision is what decide says to one view, and what about it is judged where
// the world is known.
type decision struct {
	pend    uint32
	grants  int  // member that is granted its turn, plus one
	permits int  // member that is permitted to restart, plus one
	leaves  int  // member that leaves without permission, plus one
	cancels bool // says that the run is cancelled
}

// decide returns what member i of w would do.
func (m *model) decide(w *world, i int, c choice) decision {
	p := &w.m[i]
	k := memoKey{
		run: w.run, planned: m.planned(w), leader: w.leader, up: w.up(m.n), out: w.out, frozen: w.frozen, who: uint8(i), choice: c,
		prog: p.prog, flags: bit(p.untidy(), 0) | bit(p.drained, 1) | bit(p.holds, 2) | bit(p.fixed, 3) | bit(p.trouble, 4) | bit(p.late, 5) | bit(p.ill, 6), nonce: p.nonce,
		unsettle: m.variant != "" && p.phase >= atClaimed,
	}
	for j := range m.n {
		k.reports[j] = m.known(w, i, j)
	}
	d, ok := m.memo[k]
	if !ok {
		v := m.view(w, i, c)
		d = m.interpret(w, i, v, m.wraps(v))
		m.memo[k] = d
	}
	return d
}

// interpret turns a step into what the member is about to do.
func (m *model) interpret(w *world, i int, v view, s step) (d decision) {
	pd := pend{do: s.do, fresh: true}
	t := v.run.Turn(v.self)
	switch s.do {
	case actNothing:
		return d
	case actSwap:
		pd.run = m.runs.id(canonRun(s.run))
		if pd.run == w.run {
			return d // only what the model does not keep
		}
		pd.own = t != nil && (m.runs.all[pd.run].Turn(v.self) == nil || m.runs.all[pd.run].Turn(v.self).State != t.State) && s.run.Status == v.run.Status
		d.cancels = s.run.Status == tracking.Failed && s.run.Reason == "Cancelled"
		for _, next := range s.run.Turns {
			old := v.run.Turn(next.Member)
			if next.State == tracking.Restarting && (old == nil || old.State != tracking.Restarting) {
				d.permits = memberIndex(next.Member) + 1
				pd.own = m.variant == "two keys"
			}
			if old == nil {
				d.grants = memberIndex(next.Member) + 1
			}
		}
	case actReport, actCheck, actFreeze:
		pd.id, pd.fresh = runNumber(v.run.ID), false
		if s.do == actFreeze {
			pd.members = (1<<m.n - 1) &^ w.out
		}
		if t != nil && t.State == tracking.Accepted {
			pd.last = t.Attempt
		}
		if v.local.rejoin != nil {
			pd.rejoin, pd.ill = v.local.rejoin.Attempt, v.local.rejoin.Trouble != ""
		}
	case actPrepare, actAsk, actLeave:
		pd.run, pd.own = w.run, true
		if s.do == actLeave && (t.State != tracking.Restarting || t.Answer != v.local.nonce) {
			d.leaves = i + 1
		}
	case actHandOver:
		pd.to, pd.fresh = s.to, false
	default:
		pd.fresh = false
	}
	d.pend = m.pends.id(pd)
	return d
}
