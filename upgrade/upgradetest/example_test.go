package upgradetest_test

import (
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/upgradetest"
)

// newTarget returns a Target for a Replacer of one's own, such as one that asks
// a privileged helper. See the test of this package for a whole one.
func newTarget(t *testing.T) upgradetest.Target { return upgradetest.Target{} }

// The test of an implementation is one line.
func ExampleTestReplacer() {
	_ = func(t *testing.T) { upgradetest.TestReplacer(t, newTarget) }
	// Output:
}

// The test of a server's own store, members and hooks: many seeds, each of them
// an upgrade of a whole cluster while things go wrong. What fails is repeated by
// its seed.
func ExampleSimulate() {
	_ = func(t *testing.T) {
		for seed := uint64(1); seed <= 20; seed++ {
			upgradetest.Simulate(t, upgradetest.Sim{
				Seed: seed,
				Cluster: func(members []string) upgradetest.Cluster {
					c := upgradetest.NewFake(members)
					shared := trackingtest.NewMemory() // a store of one's own
					c.Record = func(member string) tracking.Store { return shared.Handle() }
					return c
				},
				Configure: func(member string, c *upgrade.Config) { c.MinHealthy = 5 * time.Second },
			})
		}
	}
	// Output:
}
