package main

import (
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
)

// lease is how long a permission to restart holds, where members are frozen.
const lease = 2 * time.Second

// frozen lets members stand still, by SIGSTOP.
func frozen(t *testing.T, p *proof, size int, states []string) {
	g := &group{t: t, make: func(t *testing.T) *fleet {
		return newFleet(t, p.program, size, 0, "--restart-lease", lease.String())
	}}
	g.run("target", (*fleet).freezeTarget)
	g.run("leader", func(f *fleet) { f.freezeLeader("asked", 0) })
	g.run("permitted", (*fleet).freezePermitted)
	eachState(size, states, func(name, state string, turn int) {
		g.run("leader/"+name, func(f *fleet) { f.freezeLeader(state, turn) })
	})
}

// freezeTarget lets the member stand still that leadership is handed to.
func (f *fleet) freezeTarget() {
	l := f.steady()
	f.stage()
	trap := f.warden.inState("handing", 0)
	f.start()
	held := f.await(trap)
	target := f.box(held.whom)
	target.freeze()
	held.release()
	f.record.await(f.t, "the leader does without it, or waits for it", func(s upgrade.Status) bool {
		return s.Leader.Member != held.actor || s.Waiting != nil
	})
	target.thaw()
	target.back()
	f.finished(l)
}

// freezeLeader lets whoever leads stand still for longer than the lease, so that
// it wakes up as a leader that is none any more.
func (f *fleet) freezeLeader(state string, turn int) {
	l := f.steady()
	f.stage()
	trap := f.warden.inState(state, turn)
	f.start()
	held := f.await(trap)
	leader := f.leader()
	began := time.Now()
	leader.freeze()
	held.release() // if it is the one that was held, it goes on as soon as it wakes up
	f.leader(leader.id)
	f.record.await(f.t, "somebody else coordinates", func(s upgrade.Status) bool { return s.Leader.Member != leader.id || s.Status == "finished" })
	time.Sleep(time.Until(began.Add(lease + 500*time.Millisecond))) // the time itself is what this is about
	leader.thaw()
	leader.back()
	f.finished(l)
}

// freezePermitted lets a member stand still for longer than the lease when it was
// permitted to restart, and does not know yet.
func (f *fleet) freezePermitted() {
	l := f.steady()
	f.stage()
	trap := f.warden.inState("asked", 0)
	f.start()
	held := f.await(trap)
	member := f.box(held.whom)
	member.freeze()
	held.release()
	s := f.record.await(f.t, held.whom+" is permitted to restart", func(s upgrade.Status) bool {
		for _, m := range s.Members {
			if m.ID == held.whom && m.State == "restarting" {
				return true
			}
		}
		return false
	})
	time.Sleep(lease + 500*time.Millisecond) // the time itself is what this is about
	member.thaw()
	member.back()
	f.finished(l)
	lapsed := false
	for _, line := range f.record.transcript(s.Run.ID) {
		lapsed = lapsed || line.Member == held.whom && strings.Contains(line.Text, "lapse")
	}
	if !lapsed {
		f.problem("%s used a permission that was over", held.whom)
		f.judge()
	}
}
