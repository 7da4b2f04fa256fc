package upgradetest

import (
	"slices"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// own is what a process itself has looked at last: not what a request that it
// serves meanwhile has seen, by which it does not act yet.
type own struct {
	run     tracking.Run
	members []cluster.Member
}

// mayKeepOut reports whether the clients of p may be kept out while it rests: it
// has asked for its restart, and nothing is known to be in the way of that.
func (p *process) mayKeepOut() bool {
	t := p.own.run.Turn(p.m.name)
	if t == nil || p.own.run.Status != tracking.Working || t.OldBoot != p.boot {
		return false
	}
	switch t.State {
	case tracking.Prepared:
		w := p.own.run.Waiting
		return w == nil || w.Gate != "B" || w.Member != p.m.name
	case tracking.Restarting, tracking.TurnFailed: // its host may be stopped
		return true
	}
	return false
}

// checkClients judges at a call of p whether its clients are kept out for nothing.
func (w *world) checkClients(o *op) {
	p := o.p
	if p.drained == 0 {
		return
	}
	switch {
	case o.what == "drain":
		w.violate("17: %s has its clients leave again, and has not let them in since", p.name)
	case o.what == "transfer" || o.what == "discard":
		w.violate("17: %s keeps its clients out at %s", p.name, o)
	case o.what == "wait" && o.who == "" && !p.mayKeepOut():
		w.violate("17: %s keeps its clients out and rests: %s", p.name, waits(p.own.run))
	}
}

// checkNoted judges whether the record tells who came and who left since the plan
// was frozen, when p grants a turn or finishes the run.
func (w *world) checkNoted(p *process, now tracking.Run) {
	known := slices.Concat(w.plan.Members, now.Joined)
	var is []string
	for _, m := range p.own.members {
		is = append(is, string(m.ID))
		if !slices.Contains(known, string(m.ID)) {
			w.violate("15: %s has joined, and the transcript of run %s does not say so", m.ID, now.ID)
		}
	}
	for _, id := range known {
		if !slices.Contains(is, id) && !slices.Contains(now.Left, id) && !slices.Contains(w.plan.Forgotten, id) {
			w.violate("15: %s has left, and the transcript of run %s does not say so", id, now.ID)
		}
	}
}
