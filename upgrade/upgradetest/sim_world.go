package upgradetest

import (
	"cmp"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A world is one simulation. Its loop is the only goroutine that decides
// anything, and decides only while all others rest.
type world struct {
	t       *testing.T
	sim     Sim
	dir     string
	cluster Cluster
	log     *eventLog
	seen    map[string]int // what has happened, how often

	mu       sync.Mutex // never held while waiting
	rng      *rand.Rand
	machines map[string]*machine
	order    []string // of their names
	procs    []*process
	ops      []*op
	opSeq    int
	events   []event
	arrived  chan struct{}
	steps    int

	breath     time.Time // when the latest short time began
	breathless int       // steps since then

	trace hash.Hash64 // of what was carried out, in order

	climate
	driver
	record
	violation error
}

// An event is something that happens at a time.
type event struct {
	at   time.Time
	what string
	do   func()
}

func newWorld(t *testing.T, s Sim) *world {
	w := &world{
		t: t, sim: s, dir: t.TempDir(), log: &eventLog{begin: time.Now()}, seen: map[string]int{},
		rng: rand.New(rand.NewPCG(s.Seed, 0x6c656164)), machines: map[string]*machine{}, arrived: make(chan struct{}, 1),
		trace: fnv.New64(),
	}
	n := s.Members
	if n == 0 {
		n = []int{1, 2, 3, 3, 3, 3, 4, 5}[w.rng.IntN(8)]
	}
	w.climate = w.newClimate()
	w.record = newRecord()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range n {
		w.newMachine(fmt.Sprintf("m%d", i+1))
	}
	w.packAll()
	make := s.Cluster
	if make == nil {
		make = NewFake
	}
	w.cluster = make(slices.Clone(w.order))
	for _, name := range w.order {
		w.machines[name].boot()
	}
	return w
}

// between draws a duration.
func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func pick[T any](w *world, of []T) T { return of[w.rng.IntN(len(of))] }

// later has do called after d, with the mutex held.
func (w *world) later(d time.Duration, what string, do func()) {
	w.events = append(w.events, event{time.Now().Add(d), what, do})
}

func (w *world) violate(format string, args ...any) {
	if w.violation == nil {
		w.violation = fmt.Errorf("invariant "+format, args...)
		w.log.add("", "VIOLATION: %v", w.violation)
	}
}

// stepsDone is how many steps there were.
func (w *world) stepsDone() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps
}

// play is the loop. It returns what is wrong.
func (w *world) play() error {
	for {
		synctest.Wait()
		w.mu.Lock()
		wait, done := w.step()
		violation := w.violation
		w.mu.Unlock()
		switch {
		case violation != nil:
			return violation
		case done:
			return nil
		case wait == 0:
			// No two calls return at the same instant: timers that a process sets
			// after each of them would be due at the same one, and then the machine
			// would say which is first.
			time.Sleep(time.Nanosecond)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-w.arrived:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Limits of the steps of a simulation, and of those in a short time: somebody is
// going round in circles then.
const (
	maxSteps  = 300_000
	maxBreath = 15_000
	breath    = time.Second
)

// step does one thing. It returns for how long there is nothing to do.
func (w *world) step() (wait time.Duration, done bool) {
	now := time.Now()
	if w.steps++; now.Sub(w.breath) > breath {
		w.breath, w.breathless = now, 0
	}
	if w.breathless++; w.breathless > maxBreath || w.steps > maxSteps {
		w.violate("L1: %d steps within %v, and %d in all", w.breathless, now.Sub(w.breath), w.steps)
	}
	if i := w.dueEvent(now); i >= 0 {
		e := w.events[i]
		w.events = slices.Delete(w.events, i, i+1)
		e.do()
		return 0, false
	}
	if done = w.drive(now); done || w.violation != nil {
		return 0, done
	}
	// In an order that does not depend on which goroutine was faster.
	slices.SortFunc(w.ops, func(a, b *op) int {
		return cmp.Or(cmp.Compare(a.p.m.name, b.p.m.name), cmp.Compare(a.p.m.boots, b.p.m.boots),
			cmp.Compare(a.who, b.who), cmp.Compare(a.by, b.by), cmp.Compare(a.what, b.what), cmp.Compare(a.key, b.key),
			cmp.Compare(a.seq, b.seq))
	})
	var ready []*op
	next := w.nextDrive
	for _, e := range w.events {
		next = earlier(next, e.at)
	}
	for _, o := range w.ops {
		if !o.weighed {
			o.weighed, o.notBefore = true, now.Add(w.lateness(o))
		}
		if o.notBefore.After(now) {
			next = earlier(next, o.notBefore)
		} else {
			ready = append(ready, o)
		}
	}
	if len(ready) == 0 {
		return max(next.Sub(now), time.Nanosecond), false
	}
	w.grant(pick(w, ready))
	return 0, false
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// dueEvent returns the index of the next event that is due, -1 if none is.
func (w *world) dueEvent(now time.Time) int {
	best := -1
	for i, e := range w.events {
		if !e.at.After(now) && (best < 0 || e.at.Before(w.events[best].at)) {
			best = i
		}
	}
	return best
}

// grant lets an op go on, as the climate has it.
func (w *world) grant(o *op) {
	v := w.fate(o)
	if o.p.dead {
		return // the weather has killed it
	}
	w.ops = slices.DeleteFunc(w.ops, func(x *op) bool { return x == o })
	fmt.Fprintln(w.trace, o.p.name, o, v, time.Since(w.log.begin))
	if v != pass {
		w.seen[fmt.Sprint(o.what, v)]++
		w.log.add(o.p.name, "%s%v", o, v)
	}
	if v == killBefore {
		o.p.die("killed before " + o.String())
		w.superviseLocked(o.p.m)
		return
	}
	o.grant <- v
}

// end ends every process and waits for them.
func (w *world) end() {
	w.mu.Lock()
	for _, p := range w.procs {
		p.die("the simulation is over")
	}
	w.mu.Unlock()
	for _, p := range w.procs {
		<-p.ended
	}
	w.calls.Wait()
	synctest.Wait()
}
