package upgradetest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A Sim is a cluster of simulated machines that is upgraded while things go
// wrong. Every machine has a directory with a program, a journal and an archive
// store that outlive its processes; every process runs the Orchestrator that is
// shipped. What goes wrong, and when, is drawn from Seed. The zero Sim is ready.
type Sim struct {
	// Seed chooses all that happens: members, faults, what operators do, and in
	// which order the members' calls are carried out.
	Seed uint64

	// Members is the number of machines at first; drawn from Seed if zero.
	Members int

	// Calm leaves everything out that goes wrong.
	Calm bool

	// Cluster makes what the members share; NewFake if nil. It is called once,
	// inside the bubble.
	Cluster func(members []string) Cluster

	// Configure changes the configuration of a process before it starts. What it
	// sets is then wrapped, so that calls can be watched and fail. Not all fields
	// can be changed: Started is read only.
	Configure func(member string, c *upgrade.Config)
}

// A Cluster is what the members share, and how the simulation acts on it. It
// must be made for use in a testing/synctest bubble: it waits on channels and
// timers only. Functions that are nil stand for what never happens there.
type Cluster struct {
	// Record and Membership open the handles of a process of member. They are
	// called at each of its starts.
	Record     func(member string) tracking.Store
	Membership func(member string) cluster.Membership

	// Answers says that a member can be reached by the others from now on, or
	// cannot. A process that starts can be; one that has ended cannot.
	Answers func(member string, yes bool)

	// Elect has the members elect a leader if they have none that answers.
	Elect func()

	// Lead moves leadership to a member as if by an election; "" is nobody.
	Lead func(member string)

	// Add makes member one of the cluster, a voter or not, and Remove removes it.
	Add    func(member string, voter bool)
	Remove func(member string)
}

// Simulate runs one simulation, in a bubble of its own. The test fails if one
// of these does not hold, with the seed and the last events:
//
//   - at most MaxUnavailable members are down by their own hand;
//   - a restart begins only while its permission is fresh, was given by the
//     coordinator while a quorum was left without the member, and, unless the
//     member is alone or leadership cannot be handed over, while another leads;
//   - files change only under a committed claim, once for each attempt, and the
//     path of the program always holds a complete program, the old or the new;
//   - the leader is granted its turn last;
//   - a member is accepted only if its new process runs the target, has synced
//     and was ready without a break for MinHealthy;
//   - states follow their arrows and only who may moves them, final ones stay,
//     the transcript only grows, the plan of a run stays;
//   - finished means that every member runs the target, or, after a rollback, that
//     nobody runs what was undone any more and each went to what it had run before;
//     failed says who and why; a cancellation says truly which member runs what;
//   - who joins or leaves in the middle of a run is named in its transcript before
//     anybody else gets a turn;
//   - clients are kept out only between Drain and the restart: not while a member
//     hands leadership over, has its restart refused, or has given its turn back;
//   - a program that is kept to go back to is removed once somebody has committed,
//     in no turn, and then everywhere;
//   - nothing is removed that a turn in flight needs; afterwards nothing is left
//     on any machine, no client kept out and no journal open;
//   - once nothing goes wrong any more, every run ends within its limits, and one
//     started then finishes without reaching any.
//
// The members' calls on the record, the membership, the archives, the files and
// the host are carried out one at a time, each when every process rests, in an
// order drawn from the seed; crashes, lost replies and delays happen at these
// points. So a seed repeats the same events as long as the code that runs makes
// the same calls; names drawn by the code itself (of runs and processes) differ.
// Where a process has a choice of its own, a select of which several cases are
// ready for instance, the Go runtime draws, and not the seed: the same seed may
// then go another way.
// A Cluster with goroutines of its own is repeated as far as it repeats itself.
// Code between two calls is never interrupted: what happens inside of a call, to
// the files of a Replacer for instance, is for the suites of the contracts.
func Simulate(t *testing.T, s Sim) {
	t.Helper()
	if out := s.run(t); out.err != nil {
		t.Errorf("seed %d: %v\n%s", s.Seed, out.err, out.log)
	}
}

// An outcome is what a simulation came to.
type outcome struct {
	err   error
	log   string // last events
	steps int
	took  time.Duration // simulated
	seen  map[string]int
	trace uint64 // of what was carried out, in order
}

func (s Sim) run(t *testing.T) (out outcome) {
	t.Helper()
	ok := t.Run(fmt.Sprintf("seed=%d", s.Seed), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, s)
			begin := time.Now()
			out.err = w.play()
			w.end()
			if out.err == nil {
				out.err = w.violation
			}
			out.log, out.steps, out.took, out.seen = w.log.String(), w.steps, time.Since(begin), w.seen
			out.trace = w.trace.Sum64()
		})
	})
	if !ok && out.err == nil {
		out.err = fmt.Errorf("the simulation itself failed")
	}
	return out
}
