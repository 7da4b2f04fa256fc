package upgradetest

import (
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// checkTurn judges one step of a turn.
func (w *world) checkTurn(p *process, old, now tracking.Run, was, is tracking.Turn) {
	coordinator, own := p.boot == old.Boot, p.m.name == is.Member
	ok := false
	again := was.Attempt+1 == is.Attempt
	switch step := [2]tracking.State{was.State, is.State}; step {
	case [2]tracking.State{tracking.Granted, tracking.Claimed}:
		ok = own && old.Wish != tracking.Cancel && is.OldBoot == p.boot
	case [2]tracking.State{tracking.Claimed, tracking.Claimed}, [2]tracking.State{tracking.Prepared, tracking.Claimed},
		[2]tracking.State{tracking.Restarting, tracking.Claimed}:
		ok = own && again && is.OldBoot == p.boot && was.OldBoot != p.boot
	case [2]tracking.State{tracking.Claimed, tracking.Prepared}:
		ok = own && was.OldBoot == p.boot
	case [2]tracking.State{tracking.Prepared, tracking.Prepared}:
		ok = own && again
	case [2]tracking.State{tracking.Prepared, tracking.Restarting}:
		ok = coordinator && old.Wish != tracking.Cancel && is.Answer == was.Asked && was.Asked != ""
		w.granted[was.OldBoot] = true
		w.spare("B", p, is.Member)
		w.seen["restart granted"]++
		for _, m := range p.members {
			if m.Leader && string(m.ID) == is.Member && len(p.members) > 1 && !(own && !p.canHandOver()) {
				w.violate("3: %s may restart, and leads", is.Member)
			}
		}
	case [2]tracking.State{tracking.Restarting, tracking.Prepared}:
		ok = own && was.OldBoot == p.boot
	case [2]tracking.State{tracking.Claimed, tracking.Rejoining}, [2]tracking.State{tracking.Prepared, tracking.Rejoining},
		[2]tracking.State{tracking.Restarting, tracking.Rejoining}:
		ok = own && is.NewBoot == p.boot && p.digest == is.Digest
	case [2]tracking.State{tracking.Rejoining, tracking.Accepted}:
		ok = coordinator
		w.checkAccepted(is)
	}
	if is.State == tracking.TurnFailed && was.State != tracking.TurnFailed {
		ok = own && is.Text != "" && is.Reason != ""
	}
	if !ok {
		w.violate("11: %s moves the turn of %s from %q to %q (attempt %d to %d)", p.name, is.Member, was.State, is.State, was.Attempt, is.Attempt)
	}
	if old.Status != tracking.Working {
		w.violate("9: the turn of %s goes from %q to %q while the run is %q", is.Member, was.State, is.State, old.Status)
	}
	if was.State != is.State && now.Lines == old.Lines {
		w.violate("11: the turn of %s goes from %q to %q without a line", is.Member, was.State, is.State)
	}
	if is.Budget > was.Budget {
		w.violate("L1: the time that %s has left grows from %v to %v", is.Member, was.Budget, is.Budget)
	}
}

// checkAccepted judges whether the process of a turn has earned it.
func (w *world) checkAccepted(t tracking.Turn) {
	w.seen["accepted"]++
	for _, p := range w.procs {
		if p.boot != t.NewBoot {
			continue
		}
		switch {
		case p.digest != t.Digest || p.boot == t.OldBoot:
			w.violate("7: %s is accepted, and its process runs %s", t.Member, p.version)
		case !p.everSynced:
			w.violate("7: %s is accepted, and has never caught up", t.Member)
		case w.smooth() && p.wasReady() < w.plan.Rules.MinHealthy-3*time.Second:
			w.violate("7: %s is accepted, and was ready for %v", t.Member, p.wasReady())
		}
		return
	}
	w.violate("7: %s is accepted with a process that there never was: %q", t.Member, t.NewBoot)
}

// wasReady is for how long the process was ready at most without a break.
func (p *process) wasReady() time.Duration {
	if p.readyAt.IsZero() {
		return p.longest
	}
	return max(p.longest, time.Since(p.readyAt))
}

// smooth reports whether what a process says reaches the others soon.
func (w *world) smooth() bool {
	return w.late == 0 && w.lossy == 0 && w.seen["a machine is slow"] == 0 && w.seen["a machine is cut off"] == 0 &&
		w.seen["nobody leads for a while"] == 0
}
