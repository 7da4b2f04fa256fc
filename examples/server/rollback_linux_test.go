package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// TestRollbackAgain: a program that was gone back to and died on trial is still there to
// go back to, whoever has put the one from before back.
func TestRollbackAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for programs to be well")
	}
	t.Parallel()
	for _, by := range []string{"guard", "watcher"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
			h.args = []string{"--start-limit", "1", "--min-healthy", "5s", "--confirm-timeout", "5m", "--listen", freeAddress(t)}
			var s *supervisor
			if by == "guard" {
				h.args = append(h.args, "--supervised")
				s = h.supervise(0)
			} else {
				h.env = unsupervised(h.marked())
				h.serve()
			}
			before := stateOf(t, h.program)
			h.upgradeTo(build{version: "1.1.0"}, 2)
			h.put("color", "red")

			log := h.logged()
			h.do(http.MethodPost, "system/upgrade/rollback", nil).ok(t, http.StatusAccepted)
			line := h.await(log, "serving:")
			if s != nil {
				s.signal(os.Kill)
			} else {
				killed(t, h.pidIn(line))
			}
			h.failed(log, `1\.0\.0 (ended|died|was ended)`)
			if got := h.info().Version + " " + h.get("color"); got != "1.1.0 red" {
				t.Errorf("after the death: %s", got)
			}
			if got := h.operate(upgradecmd.CodeRefused, "rollback", "--yes"); !strings.Contains(got, "failed-before") {
				t.Errorf("the rollback is refused with %s", got)
			}
			h.operate(upgradecmd.CodeOK, "rollback", "--yes", "--skip-check", "failed-before")
			if end := h.outcome(); end.Status != "finished" {
				t.Errorf("the second rollback ended as %s: %s", end.Status, said(end))
			}
			if got := h.info().Version + " " + h.get("color"); got != "1.0.0 red" {
				t.Errorf("in the end: %s", got)
			}
			now := stateOf(t, h.program)
			if before.Changed = now.Changed; now != before { // links were made and removed
				t.Errorf("the program is %+v, was %+v", now, before)
			}
			h.holds("1.0.0")
			h.tidy()
		})
	}
}
