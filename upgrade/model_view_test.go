package upgrade

import (
	"math/bits"
	"slices"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// modelConfig is what one search is about.
type modelConfig struct {
	members int
	budget  budgets
	fixed   bool   // leadership is always m0's, and cannot be handed over
	outage  bool   // allowed by the operator
	frozen  bool   // members may be, past the lease of their question, and not notice
	cached  bool   // the reports of others may be older than the run
	checked bool   // begin when all members have looked at their machines
	variant string // what is broken in it; "" for the shipped machine
	only    string // the only invariant that is looked at; "" for all
}

// A model is one search's machine: the configuration, and what was interned.
type model struct {
	modelConfig
	n       int
	plan    tracking.Plan
	runs    table[tracking.Run]
	pends   table[pend]
	reports table[reportState]
	reads   table[[modelMax]uint32]
	memo    map[memoKey]decision
	stales  map[uint32]uint32 // pends, after the run changed
	olders  [4][modelMax]map[uint32]uint32
	nexts   map[nextKey]uint32
	wraps   func(v view) step // decide, or a broken one
}

func newModel(c modelConfig) *model {
	m := &model{modelConfig: c, n: c.members, memo: map[memoKey]decision{}, stales: map[uint32]uint32{}, nexts: map[nextKey]uint32{}}
	for k := range m.olders {
		for i := range m.olders[k] {
			m.olders[k][i] = map[uint32]uint32{}
		}
	}
	m.plan = tracking.Plan{Rules: tracking.Rules{
		MaxUnavailable: 1, MemberTimeout: time.Hour, RestartLease: 30 * time.Second, MinHealthy: 10 * time.Second, AllowOutage: c.outage,
	}}
	m.pends.id(pend{}) // 0 is nothing
	m.reads.id([modelMax]uint32{})
	m.wraps = decide
	if c.variant != "" {
		m.wraps = m.broken
	}
	return m
}

// start is a run that just began: m0 leads, and served the request.
func (m *model) start() world {
	w := world{budget: m.budget}
	w.run = m.runs.id(canonRun(tracking.Run{
		ID: "R0", Kind: "upgrade", Status: tracking.Working, Leader: "m0", Boot: bootName(0, 0), Archive: tracking.Archive{Sums: "sums"},
		Started: modelNow, Rules: m.plan.Rules,
	}))
	report := reportState{holds: 1}
	if m.checked {
		report.checked = 1
	}
	for i := range m.n {
		w.m[i] = peer{tidied: true, holds: true, report: m.reports.id(report), checked: bit(m.checked || i == 0, 0)}
	}
	for k := range w.ops {
		w.ops[k].who = -1
	}
	// The last are newcomers: they run the old program, and belong to nothing yet.
	for i := m.n - int(m.budget.join); i < m.n; i++ {
		w.out |= 1 << i
		w.m[i] = peer{tidied: true, report: m.reports.id(reportState{boot: 9})}
	}
	return w
}

// in reports whether member i belongs to the cluster.
func (w *world) in(i int) bool { return w.out>>i&1 == 0 }

// voters is how many do.
func (m *model) voters(w *world) int { return m.n - bits.OnesCount8(w.out) }

// healthy reports whether member i answers.
func (w *world) healthy(i int) bool { return w.m[i].at == isUp }

func (w *world) up(n int) (mask uint8) {
	for i := range n {
		mask |= bit(w.healthy(i), uint8(i))
	}
	return mask
}

func (m *model) turn(w *world, i int) *tracking.Turn { return m.runs.all[w.run].Turn(memberName(i)) }

// untidy says what observe says.
func (p *peer) untidy() bool {
	return !p.tidied || p.drained || p.phase == atClaimed || p.phase == atReplacing && p.prog != p.goal()
}

// goal is the program that the turn in the journal leads to.
func (p *peer) goal() uint8 {
	if p.back {
		return oldProgram
	}
	return newProgram
}

// target is the program that the run on record leads to.
func (m *model) target(w *world) uint8 { return targetOf(runNumber(m.runs.all[w.run].ID)) }

// planned reports whether the plan in the record is that of the run.
func (m *model) planned(w *world) bool { return int(w.plan) == runNumber(m.runs.all[w.run].ID)+1 }

// rejoins reports whether member i has to show evidence, as observeRejoin does.
func (m *model) rejoins(w *world, i int) *tracking.Turn {
	if t := m.turn(w, i); t != nil && t.State == tracking.Rejoining && t.NewBoot == bootName(i, 0) {
		return t
	}
	return nil
}

// known is the report of member k that member i knows.
func (m *model) known(w *world, i, k int) uint32 {
	if read := w.m[i].read; read != 0 && k != i {
		return m.reads.all[read][k] - 1<<20
	}
	return w.m[k].report
}

// readAll is what a member knows that has read all reports.
func (m *model) readAll(w *world, i int) uint32 {
	all := [modelMax]uint32{}
	for k := range m.n {
		if k != i {
			all[k] = w.m[k].report + 1<<20 // never all zero
		}
	}
	return m.reads.id(all)
}

// view is what member i sees of w.
func (m *model) view(w *world, i int, c choice) view {
	p, r := &w.m[i], m.runs.all[w.run]
	v := view{now: modelNow, self: memberName(i), boot: bootName(i, 0), run: r, reports: map[string]tracking.Report{}}
	if m.planned(w) {
		v.plan = m.plan
		v.plan.Run = r.ID
		for k := range m.n {
			if w.frozen>>k&1 > 0 {
				v.plan.Members = append(v.plan.Members, memberName(k))
			}
		}
	}
	for k := range m.n {
		if !w.in(k) {
			continue
		}
		name := memberName(k)
		v.members = append(v.members, cluster.Member{
			ID: cluster.MemberID(name), Addr: "http://" + name, Voter: true, Leader: int(w.leader) == k, Healthy: w.healthy(k),
		})
		v.reports[name] = m.reports.all[m.known(w, i, k)].report(k)
	}
	v.local = local{
		program: modelDigest[p.prog], version: modelDigest[p.prog], addr: "http://" + v.self,
		untidy: p.untidy(), drained: p.drained, stale: c&leaseOver > 0 || p.late, fixed: p.fixed,
		spent: map[string]time.Duration{}, steady: map[string]time.Duration{},
	}
	if p.holds {
		v.local.holds = "sums"
	}
	if p.nonce > 0 {
		v.local.nonce = nonceName(p.nonce)
	}
	if p.trouble {
		v.local.trouble = "could not be started"
	}
	if t := m.rejoins(w, i); t != nil {
		v.local.rejoin = evidence(r.ID, t.Attempt, v.boot, p.prog, p.ill)
	}
	since := 10 * time.Second // long enough to be missed, and less than a lease
	switch {
	case c&justNow > 0:
		since = 0
	case c&budgetOver > 0:
		since = time.Hour
		v.run.Started = modelNow.Add(-since)
	}
	v.run.Turns = slices.Clone(v.run.Turns)
	for i := range v.run.Turns {
		v.run.Turns[i].Since = modelNow.Add(-since)
	}
	v.local.handovers = int(c >> tryShift)
	for _, t := range r.Turns {
		if c&budgetOver > 0 {
			v.local.spent[t.Member] = t.Budget
		}
		if c&heldWell > 0 {
			v.local.steady[t.Member] = m.plan.Rules.MinHealthy
		}
	}
	return v
}

func nonceName(n uint8) string { return string("0abc"[n]) }
