package upgradetest

import (
	"errors"
	"fmt"
	"time"
)

// A climate says how much goes wrong, and of what kinds.
type climate struct {
	memberTimeout time.Duration
	left          int     // faults still to come
	rate          float64 // of a fault at a call that matters
	lossy         float64 // of a reply of the record being lost
	late          float64 // of a call being late
	kinds         []fault
	handover      string // what becomes of a wish to hand leadership over
	drained       string // what comes to a process just when its clients have left
}

// A fault is one thing that goes wrong, or that somebody does.
type fault struct {
	name string
	do   func(w *world)
}

// newClimate draws a climate. Most seeds have few kinds of trouble, so that each
// meets the others' absence too.
func (w *world) newClimate() climate {
	c := climate{memberTimeout: pick(w, []time.Duration{2 * time.Minute, 3 * time.Minute, 5 * time.Minute})}
	if w.sim.Calm {
		return c
	}
	c.left = w.rng.IntN(16)
	c.rate = pick(w, []float64{0.02, 0.05, 0.15})
	c.lossy = pick(w, []float64{0, 0, 0.01, 0.05})
	c.late = pick(w, []float64{0, 0, 0.01, 0.05})
	c.handover = pick(w, []string{"", "", "", "refused", "elsewhere", "ignored"})
	c.drained = pick(w, []string{"", "", "cancel", "lead"})
	for _, f := range faults {
		if w.chance(0.5) {
			c.kinds = append(c.kinds, f)
		}
	}
	return c
}

// disturb has something happen to p, whose clients have just left: the moment
// between that and the restart is too short to be met by chance.
func (w *world) disturb(p *process) {
	if w.calm || w.drained == "" || p.dead || !w.chance(0.4) {
		return
	}
	switch {
	case w.drained == "cancel":
		w.ask(p, "unstage", func() {})
	case w.cluster.Lead == nil || p.m.apart || p.m.removed || !p.serves:
		return
	default:
		w.cluster.Lead(p.m.name)
		w.log.add("", "leader is %s", p.m.name)
	}
	w.seen["disturbed when its clients had left: "+w.drained]++
}

// weight is how likely something goes wrong at a call, against the others: the
// few that replace programs count for more than the many that look.
func (o *op) weight() float64 {
	switch o.what {
	case "load", "wait", "members", "sync", "open", "peer":
		return 0.02
	case "put", "delete", "discard":
		return 0.3
	case "woken": // the rest of a wait
		return 0
	case "prepare", "drain", "stop", "commit", "exec", "transfer", "restore":
		return 5
	}
	return 1.5
}

// lateness is for how long an op is held up.
func (w *world) lateness(o *op) time.Duration {
	p := w.late
	if o.p.m.slow {
		p = 0.3
	}
	if w.calm || p == 0 || !w.chance(p) {
		return 0
	}
	return w.between(time.Millisecond, pick(w, []time.Duration{100 * time.Millisecond, 2 * time.Second, 40 * time.Second}))
}

// fate decides what becomes of an op, and lets other things go wrong just
// before it.
func (w *world) fate(o *op) verdict {
	onRecord := o.what == "load" || o.what == "swap" || o.what == "wait"
	if onRecord && w.cluster.Elect != nil && !w.quorate(o.p) {
		return failBefore
	}
	if w.calm {
		return pass
	}
	if w.left > 0 && w.chance(w.rate*o.weight()) {
		w.left--
		if i := w.rng.IntN(len(w.kinds) + 4); i < len(w.kinds) {
			f := w.kinds[i]
			w.seen[f.name]++
			w.log.add("", "fault: %s", f.name)
			f.do(w)
		} else {
			return pick(w, []verdict{killBefore, killAfter, failBefore})
		}
	}
	if (onRecord || o.what == "peer") && w.chance(w.lossy) {
		return pick(w, []verdict{failBefore, failAfter})
	}
	return pass
}

// hand is what a call of TransferLeadership comes to.
func (w *world) hand(p *process, to string, transfer func() error) error {
	w.mu.Lock()
	how := w.handover
	if w.calm && how != "refused" {
		how = ""
	}
	all := w.alive()
	w.mu.Unlock()
	switch how {
	case "refused":
		return fmt.Errorf("leadership stays: %w", errors.ErrUnsupported)
	case "ignored":
		return nil
	case "elsewhere":
		for _, m := range all {
			if m != p.m && m.name != to && m.proc.serves && !m.apart && w.cluster.Lead != nil {
				w.cluster.Lead(m.name)
				return nil
			}
		}
	}
	return transfer()
}

// quorate reports whether the record of the default cluster can be used: a
// leader that can be reached, by a process that is not cut off.
func (w *world) quorate(p *process) bool {
	if p.m.apart && len(w.alive()) > 0 {
		return false
	}
	leader := w.leader()
	return leader != "" && w.machines[leader].proc != nil && !w.machines[leader].apart
}

// superviseLocked has the supervisor of m start it over, or not.
func (w *world) superviseLocked(m *machine) {
	after := w.between(5*time.Millisecond, 3*time.Second)
	if !w.calm && w.chance(0.1) {
		after = pick(w, []time.Duration{30 * time.Second, 2 * time.Minute, 24 * time.Hour})
		w.log.add(m.name, "its supervisor starts it after %v only", after)
	}
	w.later(after, "boot", func() { w.bootDown(m) })
}

func (w *world) bootDown(m *machine) {
	if m.proc == nil && !m.removed && w.violation == nil {
		m.boot()
	}
}

// electSoon lets an election happen after a while without a leader.
func (w *world) electSoon() {
	if w.cluster.Elect == nil {
		return
	}
	w.later(w.between(100*time.Millisecond, 3*time.Second), "election", func() {
		before := w.leader()
		w.cluster.Elect()
		if now := w.leader(); now != before {
			w.log.add("", "leader is %q, was %q", now, before)
		}
	})
}

// leader is who leads now, as the handle of any member tells.
func (w *world) leader() string {
	for _, name := range w.order {
		if m := w.machines[name]; m.removed {
			continue
		}
		members, err := w.cluster.Membership(name).Members(w.t.Context())
		if err != nil {
			continue
		}
		for _, x := range members {
			if x.Leader {
				return string(x.ID)
			}
		}
		if len(members) > 0 {
			return ""
		}
	}
	return ""
}

// alive returns the machines whose server runs.
func (w *world) alive() []*machine {
	var all []*machine
	for _, name := range w.order {
		if m := w.machines[name]; m.proc != nil {
			all = append(all, m)
		}
	}
	return all
}

// belonging returns the machines that belong to the cluster.
func (w *world) belonging() []*machine {
	var all []*machine
	for _, name := range w.order {
		if m := w.machines[name]; !m.removed {
			all = append(all, m)
		}
	}
	return all
}
