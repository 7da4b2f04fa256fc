package upgrade

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// In a large cluster the members rest, and nobody waits for them: who is granted
// its turn is told, and who comes to lead sees it.
func TestClusterOfMany(t *testing.T) {
	for _, dies := range []bool{false, true} {
		t.Run(fmt.Sprintf("leader dies %v", dies), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ids []string
				for i := range crowd + 2 {
					ids = append(ids, fmt.Sprintf("m%02d", i+1))
				}
				ids[0] = "m1" // whose record the fleet reads
				f := newFleet(t, ids...)
				limit := time.Duration(len(ids)) * 11150 * time.Millisecond
				if dies {
					f.once(inState("m06", tracking.Claimed), func() { f.at(f.leader()).kill(errKilled) })
					limit += time.Second
				}
				begin := time.Now()
				f.start("m04", StartOptions{})
				if r := f.ends(); r.Status != tracking.Finished {
					t.Fatalf("ended %s: %s", r.Status, r.FinalState)
				}
				if took := time.Since(begin); took > limit {
					t.Errorf("took %v, want %v at most: somebody was waited for while it rested", took, limit)
				} else {
					t.Log(took)
				}
			})
		})
	}
}
