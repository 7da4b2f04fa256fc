package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
)

// turnStates are the states of a turn, those between the words of the record too.
var turnStates = []string{"granted", "claimed", "prepared", "asked", "handing", "restarting", "swapped", "rejoining", "accepting", "accepted", "done"}

// eachState calls f for each state of each turn; without -raftserver.full once
// for each state.
func eachState(size int, states []string, f func(name, state string, turn int)) {
	for i, state := range states {
		for turn := range size {
			if state == "handing" && (size == 1 || turn < size-1) {
				continue // only the last one has to hand over
			}
			if *full || turn == i%size || state == "handing" {
				f(fmt.Sprintf("%s/turn%d", state, turn+1), state, turn)
			}
		}
	}
}

// killed ends whoever leads in each state of each turn, by SIGKILL.
func killed(t *testing.T, p *proof, size int, states []string) {
	g := &group{t: t, make: func(t *testing.T) *fleet { return newFleet(t, p.program, size, 0) }}
	g.run("nobody", (*fleet).slow)
	eachState(size, states, func(name, state string, turn int) {
		g.run(name, func(f *fleet) { f.killLeader(state, turn) })
	})
}

// slow kills nobody. The first that leaves is away for a while: nobody else may.
func (f *fleet) slow() {
	l := f.steady()
	f.stage()
	trap := f.warden.trap(func(p point, _ int) bool { return p.what == before["swapped"] })
	f.start()
	held := f.await(trap)
	time.Sleep(2 * time.Second) // the others look at it twice in that time
	held.release()
	f.finished(l)
}

func (f *fleet) killLeader(state string, turn int) {
	l := f.steady()
	f.stage()
	trap := f.warden.inState(state, turn)
	f.start()
	held := f.await(trap)
	leader := f.boxes[0]
	if f.d.size > 1 { // one alone may have drained, and does not answer
		leader = f.leader()
	}
	leader.kill()
	held.release()
	if f.d.size > 1 {
		f.leader(leader.id)
	}
	leader.back()
	f.finished(l)
}

// killedMembers ends the member itself in its turn, whoever leads.
func killedMembers(t *testing.T, p *proof, size int, states []string) {
	g := &group{t: t, make: func(t *testing.T) *fleet { return newFleet(t, p.program, size, 0) }}
	eachState(size, states, func(name, state string, turn int) {
		g.run(name, func(f *fleet) {
			l := f.steady()
			f.stage()
			trap := f.warden.inState(state, turn)
			f.start()
			held := f.await(trap)
			whom := held.whom
			if state == "handing" {
				whom = held.actor
			}
			f.box(whom).kill()
			held.release()
			f.box(whom).back()
			f.finished(l)
		})
	})
	if size == 3 {
		g.run("bystander", (*fleet).killBystander)
	}
}

// killBystander ends a member that the one in its turn cannot be spared without.
func (f *fleet) killBystander() {
	l := f.steady()
	f.stage()
	trap := f.warden.inState("prepared", 0)
	f.start()
	held := f.await(trap)
	b := f.absent(held, true)
	f.answers(b, false)
	held.release()
	f.record.await(f.t, "gate B holds "+held.whom+" back", func(s upgrade.Status) bool {
		return s.Waiting != nil && s.Waiting.Gate == "B" && s.Waiting.Member == held.whom
	})
	b.back()
	f.finished(l)
}
