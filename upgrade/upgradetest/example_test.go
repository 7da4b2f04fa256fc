package upgradetest_test

import (
	"testing"

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
