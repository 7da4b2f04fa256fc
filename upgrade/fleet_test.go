package upgrade

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

// A fleet is a cluster of machines, each of which somebody starts again whenever
// its process ends.
type fleet struct {
	t        *testing.T
	ctx      context.Context
	sim      *clustertest.Sim
	record   *trackingtest.Memory
	machines map[string]*machine
	wg       sync.WaitGroup

	mu      sync.Mutex
	alive   map[string]*process
	left    map[string]bool // by our own hand, and not back yet
	out     []string        // members that went away to restart, in their order
	down    int             // how many of them are away now
	away    time.Duration
	elected time.Time // when somebody may have come to lead
	fixed   bool      // leadership cannot be handed over
	trap    func(tracking.Run) bool
	act     func()
}

// newFleet starts a cluster of members of version 1.0.0; m1 leads. It ends with
// the test.
func newFleet(t *testing.T, ids ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, sim: clustertest.NewSim(), record: trackingtest.NewMemory(), machines: map[string]*machine{}, alive: map[string]*process{}, left: map[string]bool{}, away: time.Second}
	var stop context.CancelFunc
	f.ctx, stop = context.WithCancel(t.Context())
	for _, id := range ids {
		f.sim.Add(cluster.Member{ID: cluster.MemberID(id), Addr: "http://" + id, Voter: true, Healthy: true, Leader: id == ids[0]})
	}
	for _, id := range ids {
		f.add(id)
	}
	t.Cleanup(func() { stop(); f.wg.Wait() })
	synctest.Wait()
	return f
}

func (f *fleet) add(id string) {
	m := newMachine(f.t)
	m.id, m.sim, m.record = id, f.sim, f.record
	m.peers = fleetWire{f}
	m.seen = func(r tracking.Run) {
		f.mu.Lock()
		act := f.act
		if f.trap == nil || !f.trap(r) {
			act = nil
		} else {
			f.trap = nil
		}
		f.mu.Unlock()
		if act != nil {
			act()
		}
	}
	m.leaving = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.out, f.left[m.id] = append(f.out, m.id), true
		if f.down++; f.down > 1 {
			f.t.Errorf("%d members are away at once", f.down)
		}
		// Who comes to lead at this very moment could not know.
		if f.leader() == m.id && len(f.machines) > 1 && !f.fixed && time.Since(f.elected) > 0 {
			f.t.Errorf("%s goes away while it leads", m.id)
		}
	}
	f.machines[id] = m
	f.wg.Go(func() { f.supervise(m) })
}

// supervise starts the program of m again and again.
func (f *fleet) supervise(m *machine) {
	for f.ctx.Err() == nil {
		p := m.boot()
		f.mu.Lock()
		f.alive[m.id] = p
		f.mu.Unlock()
		f.sim.SetHealthy(cluster.MemberID(m.id), true)
		f.elect()
		select {
		case <-p.ended:
		case <-f.ctx.Done():
			p.kill(errKilled)
			<-p.ended
			return
		}
		f.sim.SetHealthy(cluster.MemberID(m.id), false)
		f.elect()
		sleep(f.ctx, f.away)
		f.mu.Lock()
		if f.left[m.id] {
			f.down--
		}
		delete(f.left, m.id)
		f.mu.Unlock()
	}
}

func (f *fleet) elect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if before := f.leader(); string(f.sim.Elect()) != before {
		f.elected = time.Now()
	}
}

func (f *fleet) leader() string {
	all, err := f.sim.Handles()[0].Members(f.ctx)
	if err != nil {
		return ""
	}
	for _, m := range all {
		if m.Leader {
			return string(m.ID)
		}
	}
	return ""
}

func (f *fleet) at(id string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.alive[id]
}

// ends waits until the run has ended, and returns it.
func (f *fleet) ends() tracking.Run {
	f.t.Helper()
	m := f.machines["m1"]
	for since := tracking.Revision(""); ; {
		if r := m.run(); r.Status != tracking.Working && r.Status != tracking.Staging {
			return r
		}
		_, now, err := f.record.Wait(f.ctx, since)
		if err != nil {
			f.t.Fatalf("%v\n%s", err, m.transcript())
		}
		since = now
	}
}

func (f *fleet) versions() string {
	var all []string
	for id, m := range f.machines {
		all = append(all, id+" "+m.installed())
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (f *fleet) start(at string, opt StartOptions) {
	f.t.Helper()
	stage(f.t, f.at(at), "1.1.0")
	if _, err := f.at(at).Start(f.ctx, opt); err != nil {
		f.t.Fatal(err)
	}
}

// transcriptHas fails unless the transcript has a line of that type.
func (f *fleet) transcriptHas(typ, text string) {
	f.t.Helper()
	log := f.machines["m1"].transcript()
	for line := range strings.Lines(log) {
		if strings.Contains(line, typ) && strings.Contains(line, text) {
			return
		}
	}
	f.t.Errorf("no line %s with %q:\n%s", typ, text, log)
}

// once calls act when the run is as ok says, in the middle of the step that made
// it so, and returns then.
func (f *fleet) once(ok func(tracking.Run) bool, act func()) {
	f.t.Helper()
	done := make(chan struct{})
	f.mu.Lock()
	f.trap, f.act = ok, func() { act(); close(done) }
	f.mu.Unlock()
	f.t.Cleanup(func() {
		select {
		case <-done:
		default:
			f.t.Error("the run never was in that state")
		}
	})
}

// gone waits until the record is a tombstone.
func (f *fleet) gone() {
	f.t.Helper()
	for since := tracking.Revision(""); f.machines["m1"].run().Status != tracking.None; {
		_, now, err := f.record.Wait(f.ctx, since)
		if err != nil {
			f.t.Fatal(err)
		}
		since = now
	}
}

func inState(member string, state tracking.State) func(tracking.Run) bool {
	return func(r tracking.Run) bool {
		t := r.Turn(member)
		return t != nil && t.State == state
	}
}
