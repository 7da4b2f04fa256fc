package upgradetest

import "testing"

// Without trouble every run finishes at once.
func TestSimulationCalm(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		out := Sim{Seed: 1, Members: n, Calm: true}.run(t)
		if out.err != nil {
			t.Fatalf("%d members: %v\n%s", n, out.err, out.log)
		}
		t.Logf("%d members: %d steps, %v simulated", n, out.steps, out.took)
	}
}
