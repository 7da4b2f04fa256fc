package upgrade

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// A Stop that outlasts the permission to restart puts nothing in place: by then
// the run may have failed without this member. Its old program asks again.
func TestStopOutlastsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		stops := 0
		m.edit = func(c *Config) {
			c.RestartLease, c.StopTimeout = 5*time.Second, time.Minute
			c.Stop = func(context.Context) error {
				if stops++; stops == 1 {
					time.Sleep(6 * time.Second)
				}
				return nil
			}
		}
		p := m.boot()
		stage(t, p, "1.1.0")
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		if got := m.installed(); got != "1.0.0" {
			t.Errorf("installed %s after the permission had lapsed", got)
		}
		if r := m.live(); r.Status != tracking.Finished || m.installed() != "1.1.0" || stops != 2 {
			t.Errorf("%s with %s after %d stops: %s", r.Status, m.installed(), stops, r.FinalState)
		}
	})
}
