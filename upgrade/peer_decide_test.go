package upgrade

import (
	"testing"

	"github.com/leaderlast/leaderlast/tracking"
)

// Staged is what every member holds for this run: what it held for an earlier
// one may have been removed since. Who has been given up is not waited for, and
// who will not take it ends the staging.
func TestStagingWaitsForAll(t *testing.T) {
	v := three()
	v.run.Status = tracking.Staging
	if s := v.staging(); s.run.Status != tracking.Staged {
		t.Errorf("all hold it, but the run is %q", s.run.Status)
	}
	v.report("m3", func(r *tracking.Report) { r.HoldsFor = "Q" })
	if s := v.staging(); s.do != actNothing {
		t.Errorf("m3 held it for another run, but: %s %s", s.do, s.run.Status)
	}
	v.report("m3", func(r *tracking.Report) { r.Lacks = &tracking.Lack{Run: "R", Reason: "NoSpace", Text: "has no room"} })
	if s := v.staging(); s.do != actNothing {
		t.Errorf("m3 still tries, but: %s %s", s.do, s.run.Status)
	}
	v.report("m3", func(r *tracking.Report) { r.Lacks.Refused = true })
	if s := v.staging(); s.run.Status != tracking.Failed || s.run.FailedMember != "m3" || s.run.Reason != "NoSpace" {
		t.Errorf("m3 refuses it, but: %s %q %s", s.do, s.run.Status, s.run.FailedMember)
	}
	v.plan.Forgotten = []string{"m3"}
	if s := v.staging(); s.run.Status != tracking.Staged {
		t.Errorf("m3 is given up, but: %s %q", s.do, s.run.Status)
	}
}
