package upgrade

import (
	"context"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// observe gathers what a decision needs.
func (o *Orchestrator) observe(ctx context.Context) (view, error) {
	v := view{self: o.self, boot: o.c.Started.BootID, reports: map[string]tracking.Report{}}
	data, rev, err := o.c.Tracking.Load(ctx, tracking.KeyRun)
	v.rev = rev
	if err != nil {
		return v, fmt.Errorf("upgrade: read the run: %w", err)
	}
	if v.run, err = tracking.DecodeRun(data); err != nil {
		return v, err
	}
	if data, _, err = o.c.Tracking.Load(ctx, tracking.KeyPlan); err != nil {
		return v, fmt.Errorf("upgrade: read the plan: %w", err)
	}
	if v.plan, err = tracking.DecodePlan(data); err != nil {
		return v, err
	}
	if v.plan.Run != v.run.ID {
		v.plan = tracking.Plan{}
	}
	if v.members, err = o.c.Cluster.Members(ctx); err != nil {
		return v, fmt.Errorf("upgrade: members: %w", err)
	}
	for _, m := range v.members {
		if data, _, err = o.c.Tracking.Load(ctx, tracking.KeyMember+string(m.ID)); err != nil {
			return v, fmt.Errorf("upgrade: read the report of %s: %w", m.ID, err)
		}
		if v.reports[string(m.ID)], err = tracking.DecodeReport(data); err != nil {
			return v, err
		}
	}
	var program archive.Digest
	if o.c.Started.Program.Path != "" { // else the prerequisites say so
		if program, err = o.c.Started.Program.Digest(ctx); err != nil {
			return v, err
		}
	}
	v.now = time.Now().UTC()
	o.remember(func(m *memory) {
		m.program = program
		v.local = m.view(v.run, o.c, string(program), v.addr(o.self), len(o.uploads) > 0)
		m.watch(v)
		v.local.spent, v.local.steady = m.times()
	})
	return v, nil
}

// view is the part of m that decisions rest on.
func (m *memory) view(r tracking.Run, c Config, program, addr string, uploading bool) local {
	l := local{
		program: program, version: c.Started.Identity.Version, addr: addr,
		drained: m.drained, nonce: m.nonce,
	}
	if !m.verified.IsZero() {
		l.holds = string(m.verified.Release().Sums)
	}
	l.untidy = !m.tidied || m.drained || m.journal.Phase == phaseClaimed ||
		m.journal.Phase == phaseReplacing && m.program != m.journal.New
	l.litter = m.sweptFor != sweepKey(r) && !uploading // an upload sweeps for itself
	if j := m.journal; j.Trouble != "" && j.Run == r.ID {
		l.trouble = j.Trouble
	}
	if m.nonce != "" {
		// Wall and monotonic clock: one of them stands still while the machine
		// sleeps, the other jumps when it is set.
		mono, wall := time.Since(m.asked), time.Since(m.asked.Round(0))
		l.stale = max(mono, wall) >= c.RestartLease || wall < 0
	}
	if t := r.Turn(string(c.Cluster.Self())); t != nil && t.State == tracking.Prepared && c.Drain == nil {
		if key := fmt.Sprint(r.ID, t.Attempt); m.graceFor != key {
			m.graceFor, m.graceEnd = key, time.Now().Add(c.GraceTime)
		}
		l.grace = time.Until(m.graceEnd)
	}
	return l
}

// watch notes since when budgets and good evidence have been what they are.
func (m *memory) watch(v view) {
	now := time.Now()
	keep := func(all map[string]since, id, what string) {
		if all[id].what != what {
			all[id] = since{what, now}
		}
	}
	for _, t := range v.run.Turns {
		keep(m.budgets, t.Member, fmt.Sprint(v.run.ID, t.Attempt, t.Budget))
		e := v.reports[t.Member].Rejoin
		if t.State != tracking.Rejoining || e == nil || e.Trouble != "" || e.Run != v.run.ID || e.Attempt != t.Attempt || e.Boot != t.NewBoot {
			delete(m.steady, t.Member)
			continue
		}
		keep(m.steady, t.Member, e.Boot)
	}
	for id := range m.budgets {
		if v.run.Turn(id) == nil {
			delete(m.budgets, id)
			delete(m.steady, id)
		}
	}
}

func (m *memory) times() (spent, steady map[string]time.Duration) {
	spent, steady = map[string]time.Duration{}, map[string]time.Duration{}
	for id, s := range m.budgets {
		spent[id] = time.Since(s.at)
	}
	for id, s := range m.steady {
		steady[id] = time.Since(s.at)
	}
	return spent, steady
}

// observeRejoin asks the host and the cluster whether this process is well, if
// the record waits for that.
// Only Run does so: it writes the journal, and calls the host.
func (o *Orchestrator) observeRejoin(ctx context.Context, v view) (*tracking.Rejoin, error) {
	r := v.run
	t := r.Turn(o.self)
	if t == nil || t.State != tracking.Rejoining || t.NewBoot != o.c.Started.BootID {
		return nil, nil
	}
	e := tracking.Rejoin{Run: r.ID, Attempt: t.Attempt, Boot: o.c.Started.BootID, Program: v.local.program}
	ask, cancel := context.WithTimeoutCause(ctx, 5*time.Second, fmt.Errorf("no answer within 5s"))
	defer cancel()
	if err := o.confirm(ask, *t, r); err != nil {
		e.Reason, e.Trouble = "JournalNotWritable", fmt.Sprintf("cannot write its journal %s: %v", o.c.Started.Program.journalPath(), errnoOf(err))
	} else if err := o.c.Cluster.Sync(ask); err != nil {
		e.Reason, e.Trouble = "CatchingUp", "is catching up: "+err.Error()
	} else if o.c.Ready != nil {
		if err := o.c.Ready(ask); err != nil {
			e.Reason, e.Trouble = "ReadyHookNotReady", "is not ready: "+err.Error()
		}
	}
	return &e, ctx.Err()
}
