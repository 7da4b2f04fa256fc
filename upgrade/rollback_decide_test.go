package upgrade

import (
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// A rollback needs no release; who ran the old program before is passed over, and
// who cannot go back ends it before anybody is touched.
func TestDecideRollback(t *testing.T) {
	back := func() view {
		v := three()
		v.run.Kind, v.run.RollbackOf, v.run.From = tracking.KindRollback, "Q", "2"
		v.run.Archive = tracking.Archive{Product: "kvd", Version: "1"}
		v.local.program, v.local.version, v.local.holds = "new", "2", ""
		for _, id := range v.plan.Members {
			v.report(id, func(r *tracking.Report) {
				r.Program, r.Version, r.Holds = "new", "2", ""
				r.Checked = &tracking.Checked{Run: "R", Target: "old", Version: "1"}
			})
		}
		return v
	}
	v := back()
	if s := decide(v); s.do != actSwap || len(s.run.Turns) != 1 || s.run.Turns[0].Member != "m2" || s.run.Turns[0].Digest != "old" {
		t.Errorf("%s %+v", s.do, s.run.Turns)
	}
	v.report("m2", func(r *tracking.Report) { r.Program = "old" })
	if s := decide(v); s.do != actSwap || len(s.run.Turns) != 1 || s.run.Turns[0].Member != "m3" {
		t.Errorf("m2 ran the old one before: %s %+v", s.do, s.run.Turns)
	}
	v = back()
	v.report("m3", func(r *tracking.Report) { r.Checked.Reason, r.Checked.Text = "NoPrevious", "keeps nothing" })
	if s := decide(v); s.run.Status != tracking.Failed || s.run.Reason != "NoPrevious" || !strings.Contains(s.run.FinalState, "nobody was touched") {
		t.Errorf("m3 cannot: %+v", s.run)
	}
	v = back()
	v.report("m1", func(r *tracking.Report) { r.Checked = nil })
	if s := decide(v); s.do != actCheck {
		t.Errorf("not looked at yet: %s", s.do)
	}
	for _, id := range v.plan.Members {
		v = back()
		v.report(id, func(r *tracking.Report) { r.Checked.Version = "0.9" })
		if v.into(id) != "0.9" || v.into("m4") != "1" {
			t.Errorf("%s goes to %s", id, v.into(id))
		}
	}
}

// The way back is given up once the run that is committed has ended, after
// everything else that there is to do, and once.
func TestDecideForget(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		edit func(*view)
		want action
	}{
		"finished":          {func(v *view) {}, actForget},
		"not committed":     {func(v *view) { v.run.Committed = time.Time{} }, actNothing},
		"done":              {func(v *view) { v.local.forgot = true }, actNothing},
		"done, and said":    {func(v *view) { v.local.forgot = true; v.report("m1", func(r *tracking.Report) { r.Previous = "1" }) }, actReport},
		"not tidied":        {func(v *view) { v.local.untidy = true }, actTidy},
		"works":             {func(v *view) { v.run.Status = tracking.Working; v.local.forgot = false; v.run.Wish = tracking.Pause }, actNothing},
		"failed":            {func(v *view) { v.run.Status = tracking.Failed }, actNothing},
		"removed":           {func(v *view) { v.run.Status = tracking.None }, actForget},
		"removed, litter":   {func(v *view) { v.run.Status = tracking.None; v.local.litter = true }, actSweep},
		"belongs to nobody": {func(v *view) { v.members = v.members[1:] }, actNothing},
	} {
		v := three()
		v.run.Status, v.run.Committed = tracking.Finished, at
		v.report("m1", func(r *tracking.Report) { r.Previous = "" })
		c.edit(&v)
		if s := decide(v); s.do != c.want {
			t.Errorf("%s: %q, want %q", name, s.do, c.want)
		}
	}
}
