package upgradetest

import (
	"fmt"
	"time"
)

// faults are all that goes wrong besides calls that fail and processes that die
// at them.
var faults = []fault{
	{"a machine dies", func(w *world) {
		if m, ok := w.anyAlive(); ok {
			m.proc.die("killed")
			w.superviseLocked(m)
		}
	}},
	{"the leader dies", func(w *world) {
		if m := w.machines[w.leader()]; m != nil && m.proc != nil {
			m.proc.die("killed")
			w.superviseLocked(m)
		}
	}},
	{"all machines die", func(w *world) {
		for _, m := range w.alive() {
			m.proc.die("killed")
			w.superviseLocked(m)
		}
	}},
	{"leadership moves", func(w *world) {
		if m, ok := w.anyAlive(); ok && w.cluster.Lead != nil && !m.apart && !m.removed && m.proc.serves {
			w.cluster.Lead(m.name)
			w.log.add("", "leader is %s", m.name)
		}
	}},
	{"nobody leads for a while", func(w *world) {
		if w.cluster.Lead != nil && w.cluster.Elect != nil {
			w.cluster.Lead("")
			w.later(w.between(time.Second, time.Minute), "election", w.electSoon)
		}
	}},
	{"a machine is cut off", func(w *world) {
		if m, ok := w.anyAlive(); ok {
			m.apart = true
			w.later(w.between(0, time.Second), "is missed", m.answers)
			w.later(w.between(500*time.Millisecond, pick(w, []time.Duration{2 * time.Second, time.Minute, 5 * time.Minute})), "is back", func() {
				m.apart = false
				m.answers()
			})
		}
	}},
	{"a machine is slow", func(w *world) {
		if m, ok := w.anyAlive(); ok {
			m.slow = true
			w.later(w.between(time.Second, 5*time.Minute), "is fast again", func() { m.slow = false })
		}
	}},
	{"a server is not ready", func(w *world) {
		if m, ok := w.anyMachine(); ok {
			m.unready = true
			w.log.add(m.name, "is not ready")
			w.later(w.between(time.Second, pick(w, []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute})), "is ready", func() {
				m.unready = m.stuck
			})
		}
	}},
	{"a server is never ready", func(w *world) {
		if m, ok := w.anyMachine(); ok {
			m.unready, m.stuck = true, true
			w.log.add(m.name, "is never ready")
		}
	}},
	{"a newcomer joins", func(w *world) {
		if w.cluster.Add == nil || len(w.order) > 6 {
			return
		}
		m := w.newMachine(fmt.Sprintf("m%d", len(w.order)+1))
		w.cluster.Add(m.name, w.chance(0.7))
		w.log.add(m.name, "joins")
		w.later(w.between(0, time.Minute), "boot", func() { w.bootDown(m) })
	}},
	{"a member is removed", func(w *world) {
		all := w.belonging()
		if w.cluster.Remove == nil || len(all) < 3 {
			return
		}
		m := pick(w, all)
		m.removed = true
		w.cluster.Remove(m.name)
		w.log.add(m.name, "is removed from the cluster")
		if m.proc != nil {
			m.proc.die("removed")
		}
		w.electSoon()
	}},
	{"an operator cancels", func(w *world) { w.operate("unstage") }},
	{"an operator pauses", func(w *world) { w.operate("pause") }},
	{"an operator resumes", func(w *world) { w.operate("resume") }},
	{"an operator retries", func(w *world) { w.operate("retry") }},
	{"an operator gives members up", func(w *world) { w.operate("forget") }},
	{"an operator starts", func(w *world) { w.operate("start") }},
	{"an operator stages", func(w *world) { w.operate("stage") }},
	{"an operator goes back", func(w *world) { w.operate("rollback") }},
	{"an operator commits", func(w *world) { w.operate("commit") }},
	{"two operators at once", func(w *world) {
		w.operate(pick(w, []string{"start", "stage", "unstage", "retry", "resume", "rollback"}))
		w.operate(pick(w, []string{"start", "stage", "unstage", "retry", "pause", "commit", "rollback"}))
	}},
	{"an operator wants the next version", func(w *world) {
		if w.target < len(versions)-1 {
			w.target++
			w.operate("unstage")
		}
	}},
}

func (w *world) anyAlive() (*machine, bool) {
	all := w.alive()
	if len(all) == 0 {
		return nil, false
	}
	return pick(w, all), true
}

func (w *world) anyMachine() (*machine, bool) {
	all := w.belonging()
	if len(all) == 0 {
		return nil, false
	}
	return pick(w, all), true
}

// mend ends all that goes wrong.
func (w *world) mend() {
	w.calm = true
	w.log.add("", "from here on nothing goes wrong")
	for _, name := range w.order {
		m := w.machines[name]
		m.slow, m.apart, m.unready = false, false, m.stuck
		if m.proc == nil && !m.removed {
			w.later(w.between(0, 2*time.Second), "boot", func() { w.bootDown(m) })
		} else if !m.removed {
			m.answers()
		}
	}
	for _, o := range w.ops {
		o.notBefore = time.Time{}
	}
}

// unstick gives a member that was never ready another chance, after a run has
// failed because of it.
func (w *world) unstick() {
	for _, name := range w.order {
		m := w.machines[name]
		m.unready, m.stuck = false, false
	}
}
