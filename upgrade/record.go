package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// A record is what one reader has seen of the shared record. It reads again only
// what Wait said has changed: in a cluster of many members most changes are the
// reports of others, and only whoever leads needs those.
type record struct {
	place tracking.Revision // all that changed up to here is in, or marked as changed; "" at first
	all   bool              // nothing that was read counts any more
	stale map[string]bool   // keys that have changed since they were read

	codec   tracking.RunCodec
	run     tracking.Run
	rev     tracking.Revision // of run
	plan    tracking.Plan
	reports map[string]tracking.Report
	members []cluster.Member // whose reports are all in reports, or marked as changed

	asPlanned string // id of the plan that has those members, as far as was looked
	leads     bool   // the local member did at the last look

	// lull is for how long the local member has no part in what goes on, so that
	// it need not hear of every step of others.
	lull   time.Duration
	pace   time.Duration // at which to see meanwhile whether it leads; 0: it cannot
	gather time.Duration // for which changes that do not concern it may come together
}

func newRecord() *record {
	return &record{all: true, stale: map[string]bool{}, reports: map[string]tracking.Report{}}
}

// forget makes the next look read everything.
func (c *record) forget() { c.all, c.place = true, "" }

// changed notes that the keys may have changed, nil for all of them.
func (c *record) changed(keys []string) {
	if keys == nil {
		c.all = true
	}
	for _, k := range keys {
		c.stale[k] = true
	}
}

// matters reports whether anything that changed may concern the local member,
// self: the reports of others do only if it leads.
func (c *record) matters(self string) bool {
	if c.all || c.leads {
		return true
	}
	for k := range c.stale {
		if !strings.HasPrefix(k, tracking.KeyMember) || k == tracking.KeyMember+self {
			return true
		}
	}
	return false
}

// place finds out where to wait from, if that is not known.
func (o *Orchestrator) place(ctx context.Context, c *record) error {
	if c.place != "" {
		return nil
	}
	_, now, err := o.c.Tracking.Wait(ctx, "")
	if err != nil {
		return err
	}
	c.place, c.all = now, true
	return nil
}

// refresh reads the run into v if it has changed.
func (o *Orchestrator) refresh(ctx context.Context, c *record, v *view) error {
	if c.all {
		clear(c.stale)
		clear(c.reports)
		c.members = nil
		c.stale[tracking.KeyRun], c.stale[tracking.KeyPlan] = true, true
		c.all = false
	}
	if c.stale[tracking.KeyRun] {
		data, rev, err := o.c.Tracking.Load(ctx, tracking.KeyRun)
		if err != nil {
			return fmt.Errorf("upgrade: read the run: %w", err)
		}
		// What this process wrote itself it need not decode.
		known := rev != "" && rev == c.rev
		o.remember(func(m *memory) {
			if !known && rev != "" && rev == m.wroteRev {
				c.run, known = m.wrote, true
			}
		})
		if !known {
			if c.run, err = c.codec.Decode(data); err != nil {
				c.rev = ""
				return err
			}
		}
		c.rev = rev
		delete(c.stale, tracking.KeyRun)
	}
	v.run, v.rev, v.codec = c.run, c.rev, &c.codec
	return nil
}

// readRest reads into v what else it needs beside the run: the report of the
// local member, and if that leads, or everybody is asked for, the plan and the
// reports of all members of v. Of what only a leader needs nothing is kept while
// another leads: it would be old when leadership comes back.
func (o *Orchestrator) readRest(ctx context.Context, c *record, v *view, everybody bool) error {
	c.leads = v.leads()
	var again []string
	for key := range c.stale {
		id, found := strings.CutPrefix(key, tracking.KeyMember)
		if !found {
			continue
		}
		if _, read := c.reports[id]; read {
			again = append(again, id)
		}
		delete(c.reports, id)
		delete(c.stale, key)
	}
	v.reports = c.reports
	if !c.leads && !everybody {
		c.plan, c.members = tracking.Plan{}, nil
		if len(c.reports) > 1 {
			clear(c.reports)
		}
		return o.readReport(ctx, c, o.self)
	}
	if c.stale[tracking.KeyPlan] || v.run.Status == tracking.Working && c.plan.Run != v.run.ID {
		data, _, err := o.c.Tracking.Load(ctx, tracking.KeyPlan)
		if err != nil {
			return fmt.Errorf("upgrade: read the plan: %w", err)
		}
		if c.plan, err = tracking.DecodePlan(data); err != nil {
			return err
		}
		delete(c.stale, tracking.KeyPlan)
	}
	if c.plan.Run == v.run.ID { // else it is of an earlier run, or not frozen yet
		v.plan = c.plan
	}
	slices.Sort(again) // so that a simulation can be repeated
	for _, id := range again {
		if err := o.readReport(ctx, c, id); err != nil {
			return err
		}
	}
	same := func(a, b cluster.Member) bool { return a.ID == b.ID }
	if slices.EqualFunc(c.members, v.members, same) {
		if c.asPlanned != v.plan.ID && v.plannedMembers() {
			c.asPlanned = v.plan.ID
		}
		v.asPlanned = v.plan.ID != "" && c.asPlanned == v.plan.ID
		return nil
	}
	for _, m := range v.members {
		if err := o.readReport(ctx, c, string(m.ID)); err != nil {
			return err
		}
	}
	c.members, c.asPlanned = v.members, ""
	return nil
}

// readReport reads the report of a member unless c has it.
func (o *Orchestrator) readReport(ctx context.Context, c *record, id string) error {
	if _, read := c.reports[id]; read {
		return nil
	}
	data, rev, err := o.c.Tracking.Load(ctx, tracking.KeyMember+id)
	if err != nil {
		return fmt.Errorf("upgrade: read the report of %s: %w", id, err)
	}
	if id == o.self && rev != "" {
		known := false
		o.remember(func(m *memory) {
			if known = rev == m.reportRev; known {
				c.reports[id] = m.report
			}
		})
		if known {
			return nil
		}
	}
	r, err := tracking.DecodeReport(data)
	if err == nil {
		c.reports[id] = r
	}
	return err
}

// await waits until something in the record has changed that concerns this
// member, wait is over, or something local happened. A negative wait is over
// already: this member has just done something, perhaps to the record.
func (o *Orchestrator) await(ctx context.Context, c *record, wait time.Duration) {
	if wait < 0 {
		c.changed([]string{tracking.KeyRun, tracking.KeyMember + o.self})
		return
	}
	if c.lull > 0 {
		o.rest(ctx, c)
		return
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if wait > 0 {
		var stop context.CancelFunc
		waiting, stop = context.WithTimeout(waiting, wait)
		defer stop()
	}
	type change struct {
		keys []string
		now  tracking.Revision
		err  error
	}
	for {
		woken := make(chan change, 1)
		go func() {
			keys, now, err := o.c.Tracking.Wait(waiting, c.place)
			woken <- change{keys, now, err}
		}()
		var got change
		poked := false
		select {
		case got = <-woken:
		case <-o.poke:
			poked = true
			c.changed([]string{tracking.KeyRun})
			cancel()
			got = <-woken
		}
		switch {
		case got.err == nil:
			c.place = got.now
			c.changed(got.keys)
		case waiting.Err() == nil: // the store has trouble
			c.forget()
		}
		if poked || waiting.Err() != nil || c.matters(o.self) || !o.pass(waiting, c) {
			return
		}
	}
}
