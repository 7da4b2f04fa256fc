package upgrade

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// Who is back with another program than that of its turn is given a moment to say
// why, from when its process was heard of first.
func TestCameBack(t *testing.T) {
	for name, c := range map[string]struct {
		state tracking.State
		r     tracking.Report
		want  bool
	}{
		"the old program, another process": {tracking.Restarting, tracking.Report{Boot: "b9", Program: "old"}, true},
		"after it had rejoined":            {tracking.Rejoining, tracking.Report{Boot: "b9", Program: "old"}, true},
		"after its word":                   {tracking.TurnFailed, tracking.Report{Boot: "b9", Program: "old"}, true},
		"it has not left yet":              {tracking.Restarting, tracking.Report{Boot: "b2", Program: "old"}, false},
		"it has not even asked":            {tracking.Prepared, tracking.Report{Boot: "b9", Program: "old"}, false},
		"the new program":                  {tracking.Restarting, tracking.Report{Boot: "b9", Program: "new"}, false},
		"the process that rejoined":        {tracking.Rejoining, tracking.Report{Boot: "b3", Program: "old"}, false},
		"nothing was heard":                {tracking.Restarting, tracking.Report{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := three()
				v.turnOf2(c.state, func(t *tracking.Turn) { t.NewBoot = "b3" })
				v.reports["m2"] = c.r
				m := &memory{budgets: map[string]since{}, steady: map[string]since{}, back: map[string]since{}}
				m.watch(v)
				time.Sleep(time.Second)
				m.watch(v)
				_, _, back := m.times()
				if d, got := back["m2"]; got != c.want || got && d != time.Second {
					t.Errorf("back for %v, %v; want %v", d, got, c.want)
				}
				v.run.Turns = nil
				m.watch(v)
				if len(m.back) > 0 {
					t.Error("remembered when the turn is over")
				}
			})
		})
	}
}

// What failed says what to do next; what was cancelled has nothing to mend.
func TestNextInRecord(t *testing.T) {
	for reason, want := range map[string]string{
		"PutBack":             "Next: stage a release without that fault, of which the log of m2 may say more; or retry without the check failed-before, to try the same one again on m2.",
		"NoWayBack":           "Next: look at the log of m2; then retry, or stage",
		"MemberTimeout":       "Next: look at the log of m2; then retry.",
		"RemovedByTheCluster": "Next: retry, which goes on without m2.",
		"PrerequisiteFailed":  "Next: mend that; then retry.",
		"Cancelled":           "",
	} {
		v := three()
		final := v.failRun(v.next(), "m2", reason, "what happened").run.FinalState
		if !strings.HasPrefix(final, "failed: what happened. Now: m1 1, m2 1, m3 1.") || want == "" && strings.Contains(final, "Next") || !strings.Contains(final, want) {
			t.Errorf("%s: %q, want %q", reason, final, want)
		}
	}
}

// Where it is nothing but that a program was put back before, the way on is to say
// that one means it; a check would find nothing elsewhere.
func TestNextAfterFailedBefore(t *testing.T) {
	for check, want := range map[string]string{
		"failed-before": "Next: stage a release without that fault, of which the log of m2 may say more; or retry without the check failed-before, to try the same one again on m2.",
		"dir-space":     "Next: mend that; then retry.",
		"":              "Next: mend that; then retry.",
	} {
		no := &Refusal{Reason: "PrerequisiteFailed", Checks: []Check{{ID: check}, {ID: "container"}}}
		if check != "" {
			no.Checks = no.Checks[:1]
		}
		v := three()
		v.run.Started, v.run.Plan = v.now, "p"
		v.report("m2", func(r *tracking.Report) {
			r.Checked = &tracking.Checked{Run: v.run.ID, Reason: no.Reason, Text: "so it is", Check: no.onlyCheck()}
		})
		v.run = v.failRun(v.next(), "m2", no.Reason, "what happened").run
		if !strings.HasSuffix(v.run.FinalState, want) {
			t.Errorf("%s: %q, want %q", check, v.run.FinalState, want)
		}
		if got := v.statusRun().FailedCheck; check == "" && got != nil || check != "" && (got == nil || *got != check) {
			t.Errorf("%s: the status names %v", check, got)
		}
	}
}

// While a program puts back the one before, that is what the record says of it, and
// not that its journal is closed for that.
func TestSaysItPutsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.edit = func(c *Config) { c.Ready = func(context.Context) error { return errors.New("no licence") } }
		p := m.boot()
		stage(t, p, "1.1.0")
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		q := m.boot()
		defer q.dies()
		time.Sleep(time.Minute)
		if err := q.c.Started.ledger.seal(func(j *journal) { j.Phase, j.Why = phaseReturning, "has no licence" }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if w := m.run().Waiting; w == nil || w.Reason != "PuttingBack" || !strings.Contains(w.Message, "puts the program from before back: 1.1.0 has no licence") {
			t.Errorf("the record waits for %+v", w)
		}
	})
}

// The final line has what a member runs that was put back, even if its report is
// still that of the program which is gone.
func TestFinalLineAfterPutBack(t *testing.T) {
	for program, want := range map[string]string{"new": "m2 1", "old": "m2 1.9"} { // 1.9: what its own report says
		v := three()
		v.turnOf2(tracking.TurnFailed, func(t *tracking.Turn) { t.Reason, t.Digest = "PutBack", "new" })
		r := v.reports["m2"]
		r.Program, r.Version, r.Previous = program, "1.9", "1"
		v.reports["m2"] = r
		final := v.failRun(v.next(), "m2", "PutBack", "what happened").run.FinalState
		if !strings.Contains(final, "Now: m1 1, "+want+", m3 1.") {
			t.Errorf("report of the %s program: %q, want %s", program, final, want)
		}
	}
}
