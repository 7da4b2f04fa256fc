package upgrade

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

// A new program that does not find its way into a cluster whose members answer it
// is put back; one that reaches nobody has lost contact, and is left alone.
func TestShutOut(t *testing.T) {
	for name, cut := range map[string]bool{"others answer": false, "nobody answers": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "m1", "m2", "m3")
				var out atomic.Bool
				out.Store(true)
				f.machines["m2"].edit = func(c *Config) {
					if c.Started.Identity.Version != "1.1.0" {
						return
					}
					if cut {
						c.PeerClient = &http.Client{Transport: deafWire{}}
					}
					c.Tracking = trackingtest.Faulty(c.Tracking, func(string, string) (bool, error) {
						if out.Load() {
							return false, errors.New("unknown log entry")
						}
						return true, nil
					})
				}
				f.start("m1", StartOptions{})
				if cut {
					time.Sleep(50 * time.Minute)
					synctest.Wait()
					if got := f.machines["m2"].installed(); got != "1.1.0" {
						t.Errorf("m2 runs %s: put back although it reached nobody", got)
					}
					return
				}
				r := f.ends()
				synctest.Wait()
				if r.Status != tracking.Failed || r.Reason != "PutBack" || r.FailedMember != "m2" || !strings.Contains(r.FinalState, "m1 m3 answer and m1 leads: ") {
					t.Errorf("%s %s: %s", r.Status, r.Reason, r.FinalState)
				}
				if got := f.versions(); got != "m1 1.0.0, m2 1.0.0, m3 1.0.0" {
					t.Error(got)
				}
			})
		})
	}
}

// deafWire reaches nobody.
type deafWire struct{}

func (deafWire) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}
