package upgrade

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strings"
)

// The model check: every order in which the members of a small cluster, its
// environment and its operators can do things, breadth first, with the shipped
// decide in the loop. A member loads a view; later it carries out the step that
// decide gave for it, and a swap succeeds only if the run is still the one that
// was loaded. What actions do besides (act.go, leave.go, launch.go, unstage.go) is
// retold here, in pieces wherever the end of a process in between matters.
//
// There is no clock: a lease, a budget or MinHealthy may be over at any moment.
// Texts, the transcript and counters are left out, and so are the archive, the
// boot guard, a record that answers some members only, and members that seem
// down and are not. Each of these is for the simulation.
//
// Numbers of invariants (1 to 14) and of liveness (L1, L2):
//
//	1   members down by our own hand are at most MaxUnavailable
//	2   a restart is permitted only if a quorum is healthy without the member
//	3   nobody leaves while it leads, unless alone or leadership is fixed
//	4   files change, and processes end, only by a turn that this process holds
//	5   the path holds a whole program
//	6   the leader gets its turn when all others are done
//	7   who is accepted runs the target
//	8   a run is finished when all members of its plan run the target: in a
//	    rollback, which begins where something is to be undone, the old program
//	9   nothing is permitted once a run has ended
//	11  turns follow the arrows
//	12  a plan is not replaced while its run works
//	14  a cancelled run leaves nothing in flight, and is right about who runs what
//	L1  an end can always be reached, by the members alone
//	L2  without a cancel, and if all are well, "finished" can, and no limit is needed
//
// The larger searches run with -upgrade.model=large.

// An event is what leads from one world to the next.
type event struct {
	kind string
	who  int
	aux  uint32 // loads, acts: the pend
	to   string
	by   class
	bad  string // the invariant that it breaks, by number, and how
}

// A class says who makes an event happen.
type class uint32

const (
	byProtocol class = iota // the members, left to themselves
	byTimeout               // them as well, because a time is up
	byOthers                // failures, and operators
)

// reached holds the worlds that were reached, in the order of a breadth-first
// search, and the edges between them.
type reached struct {
	n      int      // members
	size   int      // bytes of a world
	worlds [][]byte // in pieces
	parent []uint32
	index  []uint32 // open addressing: number of a world plus one
	seed   maphash.Seed

	first []uint32 // of the edges of a world
	edges []uint32 // number of a world, class in the upper bits
}

const edgeBits, pieceBits = 30, 14

func newReached(n int) *reached {
	return &reached{n: n, size: worldSize(n), index: make([]uint32, 1<<16), seed: maphash.MakeSeed()}
}

func (r *reached) len() int { return len(r.parent) }

func (r *reached) at(i int) []byte {
	k := i & (1<<pieceBits - 1) * r.size
	return r.worlds[i>>pieceBits][k : k+r.size]
}

// add returns the number of the world w, and whether it is new.
func (r *reached) add(w []byte, parent int) (int, bool) {
	if 2*r.len() >= len(r.index) {
		r.grow()
	}
	mask := uint64(len(r.index) - 1)
	for h := maphash.Bytes(r.seed, w) & mask; ; h = (h + 1) & mask {
		i := r.index[h]
		if i == 0 {
			if r.len()>>pieceBits == len(r.worlds) {
				r.worlds = append(r.worlds, make([]byte, 0, r.size<<pieceBits))
			}
			last := &r.worlds[len(r.worlds)-1]
			*last = append(*last, w...)
			r.parent = append(r.parent, uint32(parent))
			r.index[h] = uint32(r.len())
			return r.len() - 1, true
		}
		if bytes.Equal(r.at(int(i-1)), w) {
			return int(i - 1), false
		}
	}
}

func (r *reached) grow() {
	r.index = make([]uint32, 2*len(r.index))
	mask := uint64(len(r.index) - 1)
	for i := range r.len() {
		h := maphash.Bytes(r.seed, r.at(i)) & mask
		for r.index[h] != 0 {
			h = (h + 1) & mask
		}
		r.index[h] = uint32(i + 1)
	}
}

// A verdict is what a search found.
type verdict struct {
	states, edges int
	broken        string   // the first invariant that was broken
	trace         []string // the shortest way there
	stuck         int      // L1: worlds from which no end of the run can be reached
	unfinished    int      // L2: working ones that cannot finish without a timeout
	unquiet       int      // ends at which something is left to undo, and nobody does
	ways          map[string][]string
	full          bool // gave up: more states than the limit
}

// explore searches everything that m can reach, up to limit states. Liveness is
// judged if live is set; that takes memory for the edges.
func explore(m *model, limit int, live bool) verdict {
	r := newReached(m.n)
	start := m.start()
	buf := make([]byte, r.size)
	start.encode(buf, m.n)
	r.add(buf, 0)
	v := verdict{ways: map[string][]string{}}
	var w world
	for i := 0; i < r.len(); i++ {
		if r.len() > limit {
			v.full = true
			break
		}
		w.decode(r.at(i), m.n)
		r.first = append(r.first, uint32(len(r.edges)))
		bad := ""
		m.successors(w, func(e event, next *world) {
			v.edges++
			next.encode(buf, m.n)
			to, fresh := r.add(buf, i)
			if live {
				r.edges = append(r.edges, uint32(to)|uint32(e.by)<<edgeBits)
			}
			if m.counts(e.bad) && !m.counts(bad) {
				bad = e.bad
				v.trace = append(m.way(r, i), m.describe(e))
			}
			if fresh && !m.counts(bad) {
				if bad = m.breaks(next); m.counts(bad) {
					v.trace = append(m.way(r, i), m.describe(e))
				}
			}
		})
		if m.counts(bad) {
			v.broken = bad
			break
		}
	}
	v.states = r.len()
	if live && v.broken == "" && !v.full {
		r.first = append(r.first, uint32(len(r.edges)))
		m.liveness(r, &v)
	}
	return v
}

// way returns the events that lead to world i.
func (m *model) way(r *reached, i int) []string {
	var steps []string
	buf := make([]byte, r.size)
	for i != 0 {
		p := int(r.parent[i])
		var w world
		w.decode(r.at(p), m.n)
		found := false
		m.successors(w, func(e event, next *world) {
			next.encode(buf, m.n)
			if !found && bytes.Equal(buf, r.at(i)) {
				found = true
				steps = append(steps, m.describe(e))
			}
		})
		i = p
	}
	for a, b := 0, len(steps)-1; a < b; a, b = a+1, b-1 {
		steps[a], steps[b] = steps[b], steps[a]
	}
	return steps
}

// canReach returns, for each world, whether one of goal can be reached from it
// over edges of the classes up to last.
func (r *reached) canReach(goal []bool, last class) []bool {
	can := append([]bool(nil), goal...)
	for again := true; again; {
		again = false
		for i := r.len() - 1; i >= 0; i-- {
			if can[i] {
				continue
			}
			for _, e := range r.edges[r.first[i]:r.first[i+1]] {
				if class(e>>edgeBits) <= last && can[e&(1<<edgeBits-1)] {
					can[i], again = true, true
					break
				}
			}
		}
	}
	return can
}

// liveness judges L1 and L2, and that whoever is left to himself at the end of a
// run has cleaned up.
func (m *model) liveness(r *reached, v *verdict) {
	ends, finished := make([]bool, r.len()), make([]bool, r.len())
	kind := make([]liveKind, r.len())
	var w world
	for i := range r.len() {
		w.decode(r.at(i), m.n)
		kind[i] = m.kind(&w)
		ends[i], finished[i] = kind[i].ended, kind[i].finished
	}
	canEnd, canFinish := r.canReach(ends, byTimeout), r.canReach(finished, byProtocol)
	note := func(name string, i int, count *int) {
		if *count++; *count == 1 {
			v.ways[name] = m.way(r, i)
		}
	}
	for i, k := range kind {
		if !canEnd[i] && !k.paused {
			note("L1", i, &v.stuck)
		}
		if k.mustFinish && !canFinish[i] {
			note("L2", i, &v.unfinished)
		}
		alone := true
		for _, e := range r.edges[r.first[i]:r.first[i+1]] {
			alone = alone && class(e>>edgeBits) == byOthers
		}
		if alone && k.ended && k.untidy {
			note("unquiet", i, &v.unquiet)
		}
	}
}

// liveKind is what a world is, as far as liveness goes.
type liveKind struct{ ended, finished, mustFinish, paused, untidy bool }

func (v verdict) String() string {
	s := fmt.Sprintf("%d states, %d steps", v.states, v.edges)
	if v.full {
		s += ", gave up"
	}
	if v.broken != "" {
		s += "\nbroken: " + v.broken + "\n  " + strings.Join(v.trace, "\n  ")
	}
	if v.stuck+v.unfinished+v.unquiet > 0 {
		s += fmt.Sprintf("; stuck %d, cannot finish %d, not cleaned up %d", v.stuck, v.unfinished, v.unquiet)
		for name, way := range v.ways {
			s += "\n" + name + ":\n  " + strings.Join(way, "\n  ")
		}
	}
	return s
}
