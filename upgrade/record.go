package upgrade

import (
	"context"
	"fmt"
	"strings"
	"time"

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
	leads   bool // the local member did at the last look

	// lull is for how long the local member has no part in what goes on, so that
	// it need not hear of every step of others.
	lull  time.Duration
	pace  time.Duration // at which to see meanwhile whether it leads
	brief bool          // run has been read without its transcript
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

// refresh reads what has changed into v, and then adds the reports of the
// members of v: of all of them if the local one leads.
func (o *Orchestrator) refresh(ctx context.Context, c *record, v *view) error {
	if c.all {
		clear(c.stale)
		clear(c.reports)
	}
	if c.all || c.stale[tracking.KeyRun] {
		data, rev, err := o.c.Tracking.Load(ctx, tracking.KeyRun)
		if err != nil {
			return fmt.Errorf("upgrade: read the run: %w", err)
		}
		// What this process wrote itself it need not decode.
		known := rev != "" && rev == c.rev && !c.brief
		o.remember(func(m *memory) {
			if !known && rev != "" && rev == m.wroteRev {
				c.run, known = m.wrote, true
			}
		})
		if !known {
			decode := c.codec.Decode
			if c.brief = c.lull > 0; c.brief {
				decode = c.codec.Brief
			}
			if c.run, err = decode(data); err != nil {
				c.rev = ""
				return err
			}
		}
		c.rev = rev
		delete(c.stale, tracking.KeyRun)
	}
	if c.all || c.stale[tracking.KeyPlan] {
		data, _, err := o.c.Tracking.Load(ctx, tracking.KeyPlan)
		if err != nil {
			return fmt.Errorf("upgrade: read the plan: %w", err)
		}
		if c.plan, err = tracking.DecodePlan(data); err != nil {
			return err
		}
		delete(c.stale, tracking.KeyPlan)
	}
	c.all = false
	v.run, v.rev, v.plan, v.codec = c.run, c.rev, c.plan, &c.codec
	if v.plan.Run != v.run.ID {
		v.plan = tracking.Plan{} // of an earlier run
	}
	return nil
}

// readReports brings the reports of the members up to date that v needs: that of
// the local member, and if it leads, or everybody is asked for, all others.
func (o *Orchestrator) readReports(ctx context.Context, c *record, v *view, everybody bool) error {
	c.leads = v.leads()
	for _, m := range v.members {
		id := string(m.ID)
		if id != o.self && !c.leads && !everybody {
			continue
		}
		key := tracking.KeyMember + id
		if _, read := c.reports[id]; read && !c.stale[key] {
			continue
		}
		data, _, err := o.c.Tracking.Load(ctx, key)
		if err != nil {
			return fmt.Errorf("upgrade: read the report of %s: %w", id, err)
		}
		if c.reports[id], err = tracking.DecodeReport(data); err != nil {
			return err
		}
		delete(c.stale, key)
	}
	v.reports = c.reports
	return nil
}

// await waits until something in the record has changed that concerns this
// member, wait is over, or something local happened. A negative wait is over
// already: this member has just done something, perhaps to the record.
func (o *Orchestrator) await(ctx context.Context, c *record, wait time.Duration) {
	if wait < 0 {
		c.changed([]string{tracking.KeyRun, tracking.KeyPlan, tracking.KeyMember + o.self})
		return
	}
	if c.lull > 0 && !o.rest(ctx, c) {
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
		if poked || waiting.Err() != nil || c.matters(o.self) {
			return
		}
	}
}
