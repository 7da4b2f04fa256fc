package upgrade

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

func TestUpgradeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		begin := time.Now()
		p := m.boot()
		stage(t, p, "1.1.0")
		if got := m.run().Status; got != tracking.Staged {
			t.Fatalf("status %q after Stage", got)
		}
		run, err := p.Start(t.Context(), StartOptions{By: "jane"})
		if err != nil {
			t.Fatal(err)
		}
		<-p.ended // by exec
		if got := m.installed(); got != "1.1.0" {
			t.Fatalf("installed %s at the exec", got)
		}
		r := m.live()
		if r.Status != tracking.Finished || r.ID != run {
			t.Fatalf("run %s ended %s: %s", r.ID, r.Status, r.FinalState)
		}
		if m.boots != 2 || m.execs != 1 {
			t.Errorf("%d boots, %d execs", m.boots, m.execs)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("took %v: MinHealthy is 10s, and nothing else takes time", took)
		}
		if left := m.leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		var types []string
		for _, l := range r.Log {
			types = append(types, l.Type)
		}
		want := "archive.verified run.staged run.started member.granted member.claimed member.prepared " +
			"member.restarting member.rejoining member.accepted member.done run.finished"
		if got := strings.Join(types, " "); got != want {
			t.Errorf("transcript\n got %s\nwant %s", got, want)
		}
	})
}

// The process is killed at every operation on the record, before it is applied
// and after; whatever it was, the next process goes on and finishes.
func TestKilledAnywhere(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			done := false
			t.Run(fmt.Sprintf("after=%v/%d", after, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMachine(t)
					m.crash, m.after = n, after
					for m.run().Status != tracking.Finished {
						if m.boots > 10 {
							t.Fatalf("does not finish:\n%s", m.transcript())
						}
						p := m.boot()
						m.drive(p)
						p.kill(errKilled)
						<-p.ended
						m.installed() // is complete, old or new
					}
					if got := m.installed(); got != "1.1.0" {
						t.Errorf("finished with %s", got)
					}
					if left := m.leftovers(); len(left) > 0 {
						t.Errorf("left over: %v", left)
					}
					done = m.killed.Load() == 0
				})
			})
			if done || t.Failed() {
				break
			}
		}
	}
}

// drive does what an operator does until the run ends or the process.
func (m *machine) drive(p *process) {
	for p.ctx.Err() == nil {
		switch m.run().Status {
		case tracking.None:
			p.Stage(p.ctx, strings.NewReader(string(packed(m.t, "1.1.0"))), StageOptions{Size: -1})
		case tracking.Staged:
			p.Start(p.ctx, StartOptions{})
		case tracking.Staging, tracking.Working:
			p.endOfRun()
		default:
			return
		}
	}
}

func TestThreeUpgradesInOneLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		for _, version := range []string{"1.1.0", "1.2.0", "1.3.0"} {
			p := m.boot()
			stage(t, p, version)
			if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			if r := m.live(); r.Status != tracking.Finished {
				t.Fatalf("%s: %s", version, r.FinalState)
			}
			if got := m.installed(); got != version {
				t.Fatalf("installed %s, not %s", got, version)
			}
		}
	})
}
