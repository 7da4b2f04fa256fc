package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// smallDisk gives m a file system of its own, and returns what fills that to the
// last byte and, with names, to the last file.
func (m *machine) smallDisk(names bool) (fill func()) {
	m.t.Helper()
	if os.Geteuid() != 0 {
		m.t.Skip("needs root: it mounts a small file system")
	}
	dir := m.t.TempDir()
	options := "size=256k,mode=0700,nr_inodes=64"
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "kvd-test", dir).CombinedOutput(); err != nil {
		m.t.Skipf("needs to mount a tmpfs: %v: %s", err, out)
	}
	m.t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			m.t.Errorf("umount: %v: %s", err, out)
		}
	})
	m.path = filepath.Join(dir, "kvd")
	if err := os.WriteFile(m.path, []byte(script("1.0.0")), 0o755); err != nil {
		m.t.Fatal(err)
	}
	return func() {
		f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			m.t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		for n := 0; names && errors.Is(err, syscall.ENOSPC); n++ {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("log", n)), nil, 0o600); err != nil {
				return
			}
		}
		if !errors.Is(err, syscall.ENOSPC) {
			m.t.Fatal(err)
		}
	}
}

// onlyLogs fails the test if anything of the upgrade is left on the disk, the way
// back excepted.
func (m *machine) onlyLogs() {
	m.t.Helper()
	left := slices.DeleteFunc(m.leftovers(), func(name string) bool { return strings.HasPrefix(name, "log") })
	if len(left) > 0 {
		m.t.Errorf("left over: %v", left)
	}
}

// A disk that is full from the moment of the swap on, even for a name, does not
// keep the starts of a new program from being counted, nor the old one from being
// put back, nor the machine from saying so.
func TestPutBackOnAFullDisk(t *testing.T) {
	for _, names := range []bool{false, true} {
		inBubble(t, fmt.Sprint("dies, no more names ", names), func(t *testing.T) {
			m := newMachine(t)
			m.leaving = m.smallDisk(names)
			fill := m.leaving
			p := m.boot()
			stage(t, p, "1.1.0")
			if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			for range 3 {
				s, err := m.start()
				if err != nil || s.UpgradedFrom != "1.0.0" {
					t.Fatalf("%+v, %v", s, err)
				}
				s.trial.end() // dead
				fill()        // whatever the journal gave free
			}
			if _, err := m.start(); !errors.Is(err, errKilled) || m.installed() != "1.0.0" {
				t.Fatalf("installed %s: %v", m.installed(), err)
			}
			fill()
			m.toldOnAFullDisk("ended 3 times within 1m0s of its start")
		})
		inBubble(t, fmt.Sprint("hangs, no more names ", names), func(t *testing.T) {
			m := newMachine(t)
			m.leaving = m.smallDisk(names)
			p := m.boot()
			stage(t, p, "1.1.0")
			if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			s, err := m.start()
			if err != nil {
				t.Fatal(err)
			}
			defer s.trial.end()
			time.Sleep(31 * time.Minute)
			synctest.Wait()
			m.leaving()
			m.toldOnAFullDisk("did not come to serve within 30m0s")
		})
	}
}

// toldOnAFullDisk boots the old program, which ends its turn.
func (m *machine) toldOnAFullDisk(why string) {
	m.t.Helper()
	p := m.boot()
	defer p.end()
	if s := p.c.Started; m.installed() != "1.0.0" || s.PutBackFrom != "1.1.0" || !strings.Contains(s.PutBackWhy, why) {
		m.t.Errorf("installed %s, put back from %q: %q; want %q", m.installed(), s.PutBackFrom, s.PutBackWhy, why)
	}
	r, err := p.endOfRun()
	if err != nil || r.Status != tracking.Failed || r.Reason != "PutBack" || !strings.Contains(r.FinalState, why) {
		m.t.Errorf("%v: the run is %s %s: %s", err, r.Status, r.Reason, r.FinalState)
	}
	synctest.Wait()
	m.onlyLogs()
	if s, err := m.start(); err != nil || s.PutBackFrom != "" || len(s.ledger.now().Failed) != 1 {
		m.t.Errorf("the next start: %v: %+v", err, s)
	}
}

// The same where the process of the old program serves on meanwhile.
func TestTakeBackOnAFullDisk(t *testing.T) {
	for _, names := range []bool{false, true} {
		inBubble(t, fmt.Sprint("no more names ", names), func(t *testing.T) {
			var fill func()
			h := &handed{after: func(*process) { fill(); time.Sleep(3 * time.Second); fill() }}
			h.machine = newMachine(t)
			fill = h.smallDisk(names)
			h.leaving = fill
			h.edit = func(c *Config) {
				c.Restart.Overlaps = true
				if c.Started.Identity.Version == "1.1.0" {
					return
				}
				c.Restart.Restart = func(context.Context, string) error {
					fill()
					q := h.boot()
					h.after(q)
					q.dies()
					return errors.New("the successor ended")
				}
			}
			p := h.boot()
			defer p.end()
			stage(t, p, "1.1.0")
			if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
				t.Fatal(err)
			}
			r, err := p.endOfRun()
			if err != nil || r.Reason != "PutBack" || !strings.Contains(r.FinalState, "the successor ended") {
				t.Fatalf("%v: %s %s %s", err, r.Status, r.Reason, r.FinalState)
			}
			synctest.Wait()
			if h.installed() != "1.0.0" || p.journal().Phase != phaseNone {
				t.Errorf("installed %s, journal %+v", h.installed(), p.journal())
			}
			h.onlyLogs()
		})
	}
}

// On a disk that can only be read from the swap on nothing can be counted, nor put
// back: each start says so, and serves as well as it can. Nothing is lost by it: once the
// disk can be written again, the starts count and the old program is put back.
func TestReadOnlyFromTheSwapOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.smallDisk(false)
		remount := func(how string) {
			if out, err := exec.Command("mount", "-o", "remount,"+how, filepath.Dir(m.path)).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		m.leaving = func() { remount("ro") }
		p := m.boot()
		stage(t, p, "1.1.0")
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		for range 5 {
			s, err := m.start()
			if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "count this start") || s.UpgradedFrom != "1.0.0" {
				t.Fatalf("%+v, %v", s, err)
			}
			s.trial.end() // dead
		}
		m.damaged = true // one that lives
		q := m.boot()
		if err := q.until(t.Context(), func(r tracking.Run) bool { return r.Waiting != nil && r.Waiting.Reason == "JournalNotWritable" }); err != nil {
			t.Errorf("nobody is told: %v\n%s", err, m.transcript())
		}
		q.dies()
		m.damaged = false
		remount("rw")
		for range 3 {
			s, err := m.start()
			if err != nil {
				t.Fatal(err)
			}
			s.trial.end()
		}
		if _, err := m.start(); !errors.Is(err, errKilled) || m.installed() != "1.0.0" {
			t.Fatalf("installed %s: %v", m.installed(), err)
		}
		m.toldOnAFullDisk("ended 3 times within 1m0s of its start")
	})
}
