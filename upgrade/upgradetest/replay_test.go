package upgradetest

import "testing"

// The same seed repeats the same calls in the same order, and another does not.
func TestSeedRepeats(t *testing.T) {
	var traces []uint64
	for _, seed := range []uint64{7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14} {
		out := Sim{Seed: seed, Members: 3}.run(t)
		traces = append(traces, out.trace)
	}
	for i := 0; i < len(traces); i += 2 {
		if traces[i] != traces[i+1] {
			t.Errorf("pair %d: %x, then %x", i, traces[i], traces[i+1])
		}
	}
	if traces[0] == traces[2] {
		t.Error("two seeds give the same simulation")
	}
}
