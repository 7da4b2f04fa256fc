package upgrade

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The hook is asked once for many, in good time, and again when its answer is old.
func TestReadyIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var ill atomic.Bool
		m := newMachine(t)
		m.edit = func(c *Config) {
			c.Ready = func(ctx context.Context) error {
				calls.Add(1)
				if limit, ok := ctx.Deadline(); !ok || time.Until(limit) >= time.Second {
					t.Error("the hook has a second or more")
				}
				if ill.Load() {
					return errors.New("no database")
				}
				return nil
			}
		}
		p := m.boot()
		defer p.end()
		synctest.Wait()
		for range 100 {
			r, err := p.PeerReport(t.Context())
			if err != nil || !r.Ready || r.Member != "m1" || r.Boot == "" || r.Version != "1.0.0" || r.Program == "" {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("the hook was called %d times", n)
		}
		ill.Store(true)
		time.Sleep(readyReuse)
		r, err := p.PeerReport(t.Context())
		if err != nil || r.Ready || r.Trouble != "no database" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// A hook that hangs is not called again meanwhile, and nobody waits for it.
func TestReadyHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		hang := make(chan struct{})
		m := newMachine(t)
		m.edit = func(c *Config) {
			c.Ready = func(context.Context) error {
				if calls.Add(1) == 1 {
					<-hang
				}
				return nil
			}
		}
		p := m.boot()
		defer p.end()
		synctest.Wait()
		for range 3 {
			begin := time.Now()
			r, err := p.PeerReport(t.Context())
			if err != nil || r.Ready || !strings.Contains(r.Trouble, "has not answered") {
				t.Errorf("%+v, %v", r, err)
			}
			if took := time.Since(begin); took >= time.Second {
				t.Errorf("answered after %v", took)
			}
			time.Sleep(readyReuse)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("the hook was called %d times at once", n)
		}
		close(hang)
		synctest.Wait()
		time.Sleep(readyReuse) // what it says now is about then
		if r, err := p.PeerReport(t.Context()); err != nil || !r.Ready || calls.Load() != 2 {
			t.Errorf("%+v, %v, %d calls", r, err, calls.Load())
		}
	})
}

// A server whose Orchestrator does not run is not ready, whatever its host says.
func TestReadyNeedsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		p.end()
		if r, err := p.PeerReport(t.Context()); err != nil || r.Ready || r.Trouble == "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Who leads is told while it is fresh.
func TestReportOfTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMachine(t).boot()
		defer p.end()
		synctest.Wait()
		if r, err := p.PeerReport(t.Context()); err != nil || r.Leader != "m1" {
			t.Errorf("%+v, %v", r, err)
		}
		time.Sleep(leaderFresh)
		if r, err := p.PeerReport(t.Context()); err != nil || r.Leader != "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
