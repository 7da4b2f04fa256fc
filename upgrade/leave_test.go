package upgrade

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

func TestRestartRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		undone := 0
		m, p := started(t, func(c *Config) {
			c.Drain = func(context.Context) (func(), error) { return func() { undone++ }, nil }
			c.Restart.Restart = func(context.Context, string) error { return syscall.ENOEXEC }
		})
		defer p.end()
		r, err := p.endOfRun()
		if err != nil || r.Status != tracking.Failed || r.Reason != "RestartFailed" || r.FailedMember != "m1" {
			t.Fatalf("%s %s %s: %v", r.Status, r.Reason, r.FinalState, err)
		}
		synctest.Wait()
		if got := m.installed(); got != "1.0.0" {
			t.Errorf("installed %s", got)
		}
		if undone != 1 {
			t.Errorf("Drain undone %d times", undone)
		}
		if left := m.leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		if !strings.Contains(r.FinalState, "exec format error") || !strings.Contains(r.FinalState, "m1 1.0.0") {
			t.Errorf("final state: %s", r.FinalState)
		}
	})
}

func TestRestartRefusedAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		m, p := started(t, func(c *Config) {
			c.Stop = func(context.Context) error { return nil }
			exec := c.Restart.Restart
			c.Restart.Restart = func(ctx context.Context, path string) error {
				if tries++; tries == 1 {
					return syscall.ENOEXEC
				}
				return exec(ctx, path)
			}
		})
		<-p.ended
		if got := m.installed(); got != "1.0.0" {
			t.Errorf("installed %s when the old program is started over", got)
		}
		r := m.live()
		if r.Status != tracking.Failed || r.Reason != "RestartFailed" {
			t.Fatalf("%s %s %s", r.Status, r.Reason, r.FinalState)
		}
	})
}

func TestNothingStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := started(t, func(c *Config) {
			c.Stop = func(context.Context) error { return nil }
			c.Restart.Restart = func(context.Context, string) error { return syscall.EPERM }
		})
		<-p.ended
		if !errors.Is(p.err, syscall.EPERM) {
			t.Errorf("Run returns %v", p.err)
		}
		if got := m.installed(); got != "1.0.0" {
			t.Errorf("installed %s", got)
		}
		p.end()
	})
}

func TestRecordFailsWhileDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		drained, undone := 0, 0
		m, p := started(t, func(c *Config) {
			c.Tracking = trackingtest.Faulty(c.Tracking, func(op, key string) (bool, error) {
				if broken.Load() && op == trackingtest.OpSwap {
					return false, syscall.ENOSPC
				}
				return true, nil
			})
			c.Drain = func(context.Context) (func(), error) {
				if drained++; drained == 1 {
					broken.Store(true)
				}
				return func() { undone++ }, nil
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if drained < 2 || undone != drained {
			t.Errorf("drained %d times, let in again %d times", drained, undone)
		}
		broken.Store(false)
		<-p.ended
		if r := m.live(); r.Status != tracking.Finished {
			t.Errorf("%s: %s", r.Status, r.FinalState)
		}
	})
}

func TestJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		undone := 0
		m, p := started(t, func(c *Config) {
			journal := c.Started.Program.journalPath()
			c.Drain = func(context.Context) (func(), error) {
				// A directory in its place cannot be renamed over, even by root.
				os.Remove(journal)
				if err := os.MkdirAll(journal+"/x", 0o755); err != nil {
					t.Error(err)
				}
				return func() { undone++; os.RemoveAll(journal) }, nil
			}
		})
		defer p.end()
		r, err := p.endOfRun()
		if err != nil || r.Status != tracking.Failed || r.Reason != "RestartFailed" || !strings.Contains(r.FinalState, "journal") {
			t.Fatalf("%s %s %s: %v", r.Status, r.Reason, r.FinalState, err)
		}
		synctest.Wait()
		if undone != 1 || m.installed() != "1.0.0" || len(m.leftovers()) > 0 {
			t.Errorf("undone %d times, installed %s, beside it %v", undone, m.installed(), m.leftovers())
		}
	})
}

func TestReplacedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		stage(t, p, "1.1.0")
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		m.live() // .previous is 1.0.0 now
		m.edit = func(c *Config) {
			c.Drain = func(context.Context) (func(), error) {
				other := m.path + ".new"
				if err := errors.Join(os.WriteFile(other, []byte(script("1.3.0")), 0o755), os.Rename(other, m.path)); err != nil {
					t.Error(err)
				}
				return func() {}, nil
			}
		}
		q := m.boot()
		defer q.end()
		stage(t, q, "1.2.0")
		if _, err := q.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := q.endOfRun()
		if err != nil || r.Status != tracking.Failed || !strings.Contains(r.FinalState, "replaced by somebody else") {
			t.Errorf("%s %s: %v", r.Status, r.FinalState, err)
		}
		if got := m.installed(); got != "1.3.0" {
			t.Errorf("%s lies at the path, not what somebody put there", got)
		}
	})
}

func TestJournalFailsAfterRestart(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m, p := started(t, func(c *Config) { c.MemberTimeout = time.Minute })
			<-p.ended
			m.edit = func(c *Config) {
				journal := c.Started.Program.journalPath()
				if err := errors.Join(os.Remove(journal), os.MkdirAll(journal+"/x", 0o755)); err != nil {
					t.Error(err)
				}
			}
			q := m.boot()
			defer q.end()
			q.until(t.Context(), func(r tracking.Run) bool { return r.Waiting != nil && r.Waiting.Reason == "JournalNotWritable" })
			if cancel {
				if err := q.Unstage(t.Context(), UnstageOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			r, err := q.endOfRun()
			want := map[bool]string{false: "MemberTimeout", true: "Cancelled"}[cancel]
			if err != nil || r.Reason != want {
				t.Errorf("%s %s %s: %v", r.Status, r.Reason, r.FinalState, err)
			}
		})
	}
}

func TestDrainFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		m, p := started(t, func(c *Config) {
			c.Drain = func(context.Context) (func(), error) { tries++; return nil, errors.New("2 uploads go on") }
		})
		defer p.end()
		r, err := p.endOfRun()
		if err != nil || r.Reason != "DrainFailed" || !strings.Contains(r.FinalState, "2 uploads go on") || tries != maxAttempts {
			t.Fatalf("%s %s after %d tries: %v", r.Status, r.FinalState, tries, err)
		}
		synctest.Wait()
		if m.installed() != "1.0.0" || len(m.leftovers()) > 0 {
			t.Errorf("installed %s, beside it %v", m.installed(), m.leftovers())
		}
	})
}

func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, p := started(t, func(c *Config) { c.Drain = nil })
		<-p.ended
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("restarted after %v, the grace is 2s", took)
		}
	})
}

// A permission that is not used is given back with the reason, for those who read
// the transcript.
func TestLapseSaysWhy(t *testing.T) {
	for why, edit := range map[string]func(*view){
		"leadership came here":           func(v *view) { v.lead("m2"); v.run.Leader, v.run.Boot = "m2", "b2" },
		"it was asked for too long ago":  func(v *view) { v.local.stale = true },
		"it answers an earlier question": func(v *view) { v.local.drained, v.local.nonce = false, "" },
	} {
		v := three()
		v.self, v.boot, v.local.addr = "m2", "b2", "http://m2"
		v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.Asked, t.Answer = "n", "n" })
		v.local.drained, v.local.nonce = true, "n"
		edit(&v)
		s := decide(v)
		want := "let the permission to restart lapse: " + why + "; asks again"
		if s.do != actSwap || len(s.run.Log) == 0 || s.run.Log[len(s.run.Log)-1].Text != want {
			t.Errorf("%v %v, want %q", s.do, s.run.Log, want)
		}
	}
}
