package upgradetest

import (
	"flag"
	"maps"
	"slices"
	"testing"
	"time"
)

var (
	seedFlag = flag.Uint64("upgradetest.seed", 0, "run the simulation of this seed alone")
	soakFlag = flag.Duration("upgradetest.soak", 0, "run simulations of fresh seeds for so long")
	fromFlag = flag.Uint64("upgradetest.from", 0, "the first of the fresh seeds; the clock chooses if 0")
)

// A fixed set of seeds, or the one that is asked for.
func TestSimulation(t *testing.T) {
	n := uint64(20)
	if testing.Short() || raceEnabled {
		n = 4
	}
	seeds := func(yield func(uint64) bool) {
		for seed := uint64(1); seed <= n && yield(seed); seed++ {
		}
	}
	if *seedFlag != 0 {
		seeds = func(yield func(uint64) bool) { yield(*seedFlag) }
	}
	seen := map[string]int{}
	for seed := range seeds {
		simulate(t, Sim{Seed: seed}, seen)
	}
	told(t, seen)
	for _, what := range []string{"program is put back", "gone back", "committed"} {
		if n == 20 && *seedFlag == 0 && seen[what] == 0 {
			t.Errorf("never %s: the seeds do not show any more what becomes of that", what)
		}
	}
}

func TestSoak(t *testing.T) {
	if *soakFlag == 0 {
		t.Skip("runs for as long as -upgradetest.soak says")
	}
	seed := *fromFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	seen := map[string]int{}
	first := seed
	for begin := time.Now(); time.Since(begin) < *soakFlag; seed++ {
		simulate(t, Sim{Seed: seed}, seen)
	}
	t.Logf("%d seeds from %d", seed-first, first)
	told(t, seen)
}

// simulate runs a simulation, and counts what has happened.
func simulate(t *testing.T, s Sim, seen map[string]int) {
	t.Helper()
	out := s.run(t)
	if out.err != nil {
		t.Errorf("seed %d: %v\n%s\nagain: go test ./upgrade/upgradetest -run TestSimulation -upgradetest.seed=%[1]d", s.Seed, out.err, out.log)
	}
	for what, n := range out.seen {
		seen[what] += n
	}
	seen["steps"] += out.steps
	seen["simulated seconds"] += int(out.took.Seconds())
}

func told(t *testing.T, seen map[string]int) {
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%7d %s", seen[what], what)
	}
}
