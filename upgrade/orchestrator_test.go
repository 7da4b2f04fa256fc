package upgrade

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// started is a machine whose first process has staged 1.1.0 and started it.
func started(t *testing.T, edit func(*Config)) (*machine, *process) {
	t.Helper()
	m := newMachine(t)
	m.edit = edit
	p := m.boot()
	stage(t, p, "1.1.0")
	if _, err := p.Start(t.Context(), StartOptions{By: "jane"}); err != nil {
		t.Fatal(err)
	}
	return m, p
}

// end ends a process that is still there.
func (p *process) end() {
	p.kill(errKilled)
	<-p.ended
}

func wantRefusal(t *testing.T, err error, kind Kind, reason string) *Refusal {
	t.Helper()
	var no *Refusal
	if !errors.As(err, &no) {
		t.Fatalf("error %v is no Refusal, want %s", err, reason)
	}
	if no.Kind != kind || no.Reason != reason {
		t.Fatalf("refused as %s %s (%s), want %s %s", no.Kind, no.Reason, no.Message, kind, reason)
	}
	if no.Message == "" || no.Remedy == "" {
		t.Errorf("%s has no message or remedy: %+v", reason, no)
	}
	return no
}

// The restart fails: the old program is on disk again, serves on, and the run
// says what happened.
// The same after Stop: the host cannot serve any more, so the old program is
// started over.
// Neither can be started: Run says so, and the host has to end.
// The new program never gets ready: the run fails when the time of the member is
// up, and names the reason.
func TestNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		m, p := started(t, func(c *Config) {
			c.StartLimit = -1 // or the old program would be put back
			c.Ready = func(context.Context) error { return errors.New("no database") }
		})
		<-p.ended
		r := m.live()
		if r.Status != tracking.Failed || r.Reason != "MemberTimeout" || !strings.Contains(r.FinalState, "no database") {
			t.Fatalf("%s %s %s", r.Status, r.Reason, r.FinalState)
		}
		if took := time.Since(begin); took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("gave up after %v, the limit is 1h", took)
		}
	})
}

// The time of a member does not begin anew with each process.
func TestBudgetOutlivesProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := started(t, func(c *Config) {
			c.StartLimit = -1 // or the old program would be put back
			c.Ready = func(context.Context) error { return errors.New("no database") }
		})
		<-p.ended
		begin := time.Now()
		for range 3 {
			p := m.boot()
			time.Sleep(15 * time.Minute)
			p.end()
		}
		m.live()
		if took := time.Since(begin); took < 55*time.Minute || took > 65*time.Minute {
			t.Errorf("gave up after %v, the limit is 1h", took)
		}
	})
}

// A cancellation does not wait for a program that may never get ready, and a
// version that was never well keeps no older one out.
func TestCancelUnwell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := started(t, func(c *Config) {
			c.StartLimit = -1 // or the old program would be put back
			c.Ready = func(context.Context) error { return errors.New("no database") }
		})
		<-p.ended
		q := m.boot()
		defer q.end()
		q.until(t.Context(), func(r tracking.Run) bool { return r.Waiting != nil && r.Waiting.Reason == "ReadyHookNotReady" })
		begin := time.Now()
		if err := q.Unstage(t.Context(), UnstageOptions{By: "joe"}); err != nil {
			t.Fatal(err)
		}
		q.until(t.Context(), func(r tracking.Run) bool { return r.Status == tracking.None })
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("cancelled after %v", took)
		}
		if r := m.run(); r.Reason != "Cancelled" || !strings.Contains(r.FinalState, "m1 1.1.0") || !strings.Contains(m.transcript(), "no database") {
			t.Errorf("final state %q\n%s", r.FinalState, m.transcript())
		}
		if floor := q.policy().Floor; floor != 0 {
			t.Errorf("the counter floor is %d", floor)
		}
	})
}

// The record cannot be written any more once clients have left: they are let in
// again while it is tried, and it goes on when it can.
// The journal cannot be written any more: the run fails by name, and clients are
// let in again.
// Somebody replaces the program while clients leave: it is not overwritten, and
// nothing older is put back.
// The journal cannot be written after the restart: the run says so and ends, by
// its limit or by the operator.
// What the record says of counter and signature moves no trust.
func TestTrustIsLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		stage(t, p, "1.1.0")
		data, rev, err := m.record.Load(t.Context(), tracking.KeyRun)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tracking.DecodeRun(data)
		r.Archive.Counter, r.Archive.Unsigned = 1<<60, false
		forged, err2 := r.Encode()
		_, err3 := m.record.Swap(t.Context(), tracking.KeyRun, rev, forged)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		m.live()
		q := m.boot()
		defer q.end()
		if p := q.policy(); p.Floor != 1 || !p.AllowUnsigned {
			t.Errorf("floor %d, unsigned allowed %v", p.Floor, p.AllowUnsigned)
		}
	})
}

// Nothing is staged on a server whose Orchestrator does not run.
func TestNotRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		p.end()
		_, err := p.Stage(t.Context(), strings.NewReader(string(packed(t, "1.1.0"))), StageOptions{Size: -1})
		wantRefusal(t, err, Unavailable, "NotRunning")
		_, err = p.Start(t.Context(), StartOptions{})
		wantRefusal(t, err, Unavailable, "NotRunning")
	})
}

// MinHealthy starts over when the new program is not well in between.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		m, p := started(t, func(c *Config) {
			c.Ready = func(context.Context) error {
				if !well.Load() {
					return errors.New("overloaded")
				}
				return nil
			}
		})
		<-p.ended
		well.Store(true)
		begin := time.Now()
		q := m.boot()
		defer q.end()
		time.Sleep(9 * time.Second)
		well.Store(false)
		time.Sleep(time.Second)
		well.Store(true)
		if r, err := q.endOfRun(); err != nil || r.Status != tracking.Finished {
			t.Fatalf("%s %v", r.Status, err)
		}
		if took := time.Since(begin); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("accepted after %v: 9s, then a second of trouble, then 10s", took)
		}
	})
}

// A cancellation in each state of the turn leaves one complete program, nothing
// beside it, and says which it is.
func TestCancel(t *testing.T) {
	for _, state := range []tracking.State{tracking.Granted, tracking.Claimed, tracking.Prepared, tracking.Restarting, tracking.Rejoining} {
		t.Run(string(state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				order := []tracking.State{tracking.Granted, tracking.Claimed, tracking.Prepared, tracking.Restarting, tracking.Rejoining, tracking.Accepted}
				cancel := func(p *process) { // as an operator does, at another moment each time
					p.until(p.ctx, func(r tracking.Run) bool {
						turn := r.Turn("m1")
						return turn != nil && slices.Index(order, turn.State) >= slices.Index(order, state) ||
							r.Status == tracking.Finished || r.Status == tracking.Failed
					})
					p.Unstage(p.ctx, UnstageOptions{By: "joe"})
				}
				p := m.boot()
				stage(t, p, "1.1.0")
				go cancel(p)
				if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
					t.Fatal(err)
				}
				for begin := time.Now(); m.run().Status != tracking.None; {
					if time.Since(begin) > time.Hour {
						t.Fatalf("not gone after an hour:\n%s", m.transcript())
					}
					select {
					case <-p.ended:
						p = m.boot()
						go cancel(p)
					case <-time.After(time.Second):
					}
				}
				synctest.Wait()
				r := m.run()
				version := m.installed()
				if !strings.Contains(r.FinalState, "m1 "+version) && r.Reason == "Cancelled" {
					t.Errorf("%s is installed, but the final state is %q", version, r.FinalState)
				}
				if left := m.leftovers(); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
				for info := range m.blobs.List(t.Context()) {
					t.Errorf("left in the store: %v", info)
				}
				p.end()
			})
		})
	}
}

// A drain that does not come to its end is tried again, and then fails the turn
// with nothing touched.
// Without Drain a restart waits, so that replies get out.
// What is staged already runs: nothing is replaced, and that is said.
func TestSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		defer p.end()
		stage(t, p, "1.0.0")
		if same, err := p.Installed(t.Context()); err != nil || !same {
			t.Errorf("Installed: %v, %v", same, err)
		}
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := p.endOfRun()
		if err != nil || r.Status != tracking.Finished || m.execs != 0 || !strings.Contains(r.FinalState, "already") {
			t.Errorf("%s with %d restarts: %v", r.FinalState, m.execs, err)
		}
		if s, err := p.Status(t.Context()); err != nil || s.Progress.Skipped != 1 {
			t.Errorf("progress %+v, %v", s.Progress, err)
		}
	})
}

func TestStatusDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		s, err := p.Status(t.Context())
		if err != nil || s.Status != "none" || s.Run != nil || !slices.Equal(s.Actions, []string{"stage"}) {
			t.Fatalf("at first: %+v, %v", s, err)
		}
		if rep, _, _ := m.record.Load(t.Context(), tracking.KeyMember+"m1"); rep != nil {
			t.Errorf("something was written while nothing is staged: %s", rep)
		}
		stage(t, p, "1.1.0")
		plan, err := p.Plan(t.Context(), CheckOptions{})
		if err != nil || plan.From != "1.0.0" || plan.To != "1.1.0" || len(plan.Steps) != 1 {
			t.Fatalf("plan %+v, %v", plan, err)
		}
		if _, err := p.Start(t.Context(), StartOptions{Plan: plan.ID, By: "jane"}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		m.live()
		p = m.boot()
		defer p.end()
		s, err = p.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Status != "finished" || s.Run.Plan != plan.ID || s.Run.StartedBy != "jane" || *s.Run.Result != "finished" || s.Members[0].Version != "1.1.0" {
			t.Errorf("at last: %+v %+v", s, s.Run)
		}
		if s.Members[0].Previous == nil || *s.Members[0].Previous != "1.0.0" {
			t.Errorf("the previous version is not told: %+v", s.Members[0])
		}
	})
}
