package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// observe gathers what there is to know, all of it anew.
func (o *Orchestrator) observe(ctx context.Context) (view, error) {
	return o.look(ctx, newRecord(), true)
}

// look gathers what a decision needs, and of the record only what has changed
// since c was last read; with everybody also the reports that only a leader
// needs.
func (o *Orchestrator) look(ctx context.Context, c *record, everybody bool) (view, error) {
	v := view{self: o.self, boot: o.c.Started.BootID}
	if err := o.refresh(ctx, c, &v); err != nil {
		return v, err
	}
	var err error
	if v.members, err = o.c.Cluster.Members(ctx); err != nil {
		return v, fmt.Errorf("upgrade: members: %w", err)
	}
	if err := o.readRest(ctx, c, &v, everybody); err != nil {
		return v, err
	}
	var program archive.Digest
	if o.c.Started.Program.Path != "" { // else the prerequisites say so
		if program, err = o.c.Started.Program.Digest(ctx); err != nil {
			return v, err
		}
	}
	v.now = time.Now().UTC()
	o.remember(func(m *memory) {
		m.reached(time.Now())
		m.program = program
		v.local = m.view(v.run, o.c, string(program), v.addr(o.self), len(o.uploads) > 0)
		m.watch(v)
		m.leader = v.seen()
		v.local.spent, v.local.steady, v.local.back = m.times()
	})
	return v, nil
}

// view is the part of m that decisions rest on.
func (m *memory) view(r tracking.Run, c Config, program, addr string, uploading bool) local {
	l := local{
		program: program, version: c.Started.Identity.Version, addr: addr,
		forgot:  m.forgot == forgetKey(r),
		drained: m.drained, nonce: m.nonce,
		stuck: cmp.Or(c.Started.Stuck, c.Started.trial.sticks()), fixed: m.fixed, handovers: m.handovers, refused: m.refused, retry: max(0, time.Until(m.handoverAt)),
	}
	if !m.verified.IsZero() {
		l.holds = string(m.verified.Release().Sums)
	}
	m.fetched.view(&l, r)
	j := c.Started.ledger.now()
	l.untidy = !m.tidied || m.drained || j.Phase == phaseClaimed ||
		(j.Phase == phaseReplacing || j.Phase == phaseReturning) && m.program != j.New
	l.litter = m.sweptFor != sweepKey(r) && !uploading && !l.pulling // an upload sweeps for itself
	if w := j.way(); w != nil {
		l.previous = w.OldVersion
	}
	if j.Run == r.ID {
		l.trouble, l.putBack = j.Trouble, j.PutBack
	}
	l.stale = m.stale(c.RestartLease)
	if t := r.Turn(string(c.Cluster.Self())); t != nil && t.State == tracking.Prepared && c.Drain == nil && !c.Restart.Overlaps {
		if key := fmt.Sprint(r.ID, t.Attempt); m.graceFor != key {
			m.graceFor, m.graceEnd = key, time.Now().Add(c.GraceTime)
		}
		l.grace = time.Until(m.graceEnd)
	}
	return l
}

// stale reports whether the lease of the restart question is over.
func (m *memory) stale(lease time.Duration) bool {
	if m.nonce == "" {
		return false
	}
	// Wall and monotonic clock: one of them stands still while the machine
	// sleeps, the other jumps when it is set.
	mono, wall := time.Since(m.asked), time.Since(m.asked.Round(0))
	return max(mono, wall) >= lease || wall < 0
}

// reached notes that the record could be read. The time for which it could not
// counts towards no limit: nobody could have made a step.
func (m *memory) reached(now time.Time) {
	if m.unreached {
		away := now.Sub(m.seen)
		for id, s := range m.budgets {
			s.at = s.at.Add(away)
			m.budgets[id] = s
		}
		clear(m.steady) // nobody saw whether it stayed well
	}
	m.seen, m.unreached = now, false
}

// cameBack reports whether r is of another process than those that the turn t
// knows, and of another program than it is about.
func (v view) cameBack(t tracking.Turn, r tracking.Report) bool {
	left := t.State == tracking.Restarting || t.State == tracking.Rejoining || t.State == tracking.TurnFailed
	return left && r.Boot != "" && r.Boot != t.OldBoot && r.Boot != t.NewBoot && r.Program != t.Digest
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
		if r := v.reports[t.Member]; v.cameBack(t, r) {
			keep(m.back, t.Member, r.Boot)
		} else {
			delete(m.back, t.Member)
		}
		e := v.reports[t.Member].Rejoin
		if t.State != tracking.Rejoining || !v.healthy(t.Member) || e == nil || e.Trouble != "" || e.Run != v.run.ID || e.Attempt != t.Attempt || e.Boot != t.NewBoot {
			delete(m.steady, t.Member)
			continue
		}
		keep(m.steady, t.Member, e.Boot)
	}
	for id := range m.budgets {
		if v.run.Turn(id) == nil {
			delete(m.budgets, id)
			delete(m.steady, id)
			delete(m.back, id)
		}
	}
}

func (m *memory) times() (spent, steady, back map[string]time.Duration) {
	spent, steady, back = map[string]time.Duration{}, map[string]time.Duration{}, map[string]time.Duration{}
	for id, s := range m.budgets {
		spent[id] = time.Since(s.at)
	}
	for id, s := range m.steady {
		steady[id] = time.Since(s.at)
	}
	for id, s := range m.back {
		back[id] = time.Since(s.at)
	}
	return spent, steady, back
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
	if err := o.confirm(ask, *t, r); errors.Is(err, errReturning) {
		e.Reason, e.Trouble = "PuttingBack", fmt.Sprintf("puts the program from before back: %s %s", v.into(o.self), o.journal().Why)
	} else if err != nil {
		e.Reason, e.Trouble = "JournalNotWritable", fmt.Sprintf("cannot write its journal %s: %v", o.c.Started.Program.journalPath(), errnoOf(err))
	} else if err := o.c.Cluster.Sync(ask); err != nil {
		e.Reason, e.Trouble = "CatchingUp", "is catching up: "+err.Error()
	} else if o.c.Ready != nil {
		if err := o.c.Ready(ask); err != nil {
			e.Reason, e.Trouble = "ReadyHookNotReady", "is not ready: "+err.Error()
		}
	}
	o.c.Started.trial.judged(time.Now(), e.Trouble)
	return &e, ctx.Err()
}
