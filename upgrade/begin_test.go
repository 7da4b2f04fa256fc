package upgrade

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// begins is Probe at a start of the server, and nothing else. Where that puts the program from
// before back, started is its path.
func (m *machine) begins() (started string) {
	m.t.Helper()
	s := newStarted(Identity{Product: "kvd", Version: m.installed()})
	starts := make(chan string, 1)
	s.process.Start = func(p string) error { starts <- p; return errKilled }
	p, err := ProgramAt(m.path)
	if err != nil {
		m.t.Fatal(err)
	}
	s.beginAs(p)
	select {
	case started = <-starts:
	default:
	}
	return started
}

// A program that ends between the first line of main and Boot is put back like one
// that ends after it.
func TestPutBackBeforeBoot(t *testing.T) {
	t.Setenv(begunEnv, "")
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		for n := range 3 {
			if started := m.begins(); started != "" || m.installed() != "1.1.0" {
				t.Fatalf("start %d: started %q, installed %s", n, started, m.installed())
			}
			os.Unsetenv(begunEnv) // with the process that ends
		}
		if started := m.begins(); started != m.path || m.installed() != "1.0.0" {
			t.Errorf("started %q, installed %s", started, m.installed())
		}
		if s, err := m.start(); err != nil || s.PutBackFrom != "1.1.0" || !strings.Contains(s.PutBackWhy, "ended 3 times") {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// One start is counted once, and the last one that is allowed is no reason against
// itself.
func TestCountedOnce(t *testing.T) {
	t.Setenv(begunEnv, "")
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		for n := range 3 {
			m.begins()
			s, err := m.start()
			if err != nil || s.UpgradedFrom != "1.0.0" || s.ledger.now().Starts != n+1 {
				t.Fatalf("start %d: %+v, %v", n, s.ledger.now(), err)
			}
			if os.Getenv(begunEnv) != "" {
				t.Error("it would be inherited")
			}
			s.trial.end() // dead
			time.Sleep(2 * time.Hour)
		}
		if m.installed() != "1.1.0" {
			t.Error("what came to Boot was put back as if it had not")
		}
		s, err := m.start()
		if !errors.Is(err, errKilled) || m.installed() != "1.0.0" {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// What hangs before Boot is put back when its time is up.
func TestPutBackHungBeforeBoot(t *testing.T) {
	t.Setenv(begunEnv, "")
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		m.begins()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if m.installed() != "1.0.0" {
			t.Error("it hangs for ever")
		}
	})
}

// What somebody else has installed meanwhile stays.
func TestHungBeforeBootAndReplaced(t *testing.T) {
	t.Setenv(begunEnv, "")
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		m.begins()
		if err := errors.Join(os.Remove(m.path), os.WriteFile(m.path, []byte("hotfix"), 0o755)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if b, err := os.ReadFile(m.path); err != nil || string(b) != "hotfix" {
			t.Errorf("there is %q, %v", b, err)
		}
	})
}

// Only what is meant for this process keeps it from counting.
func TestSeenFromOutside(t *testing.T) {
	self, parent := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid())
	for _, c := range []struct {
		waits, life string
		want        bool
	}{
		{"", "", false},
		{"x", "x", false},
		{self + ":0123456789abcdef", "", false},
		{parent + ":0123456789abcdef", "", true},
		{"", "3:1:" + parent, false},
		{"", "3:1:" + self, true},
	} {
		t.Setenv(waitsEnv, c.waits)
		t.Setenv(lifeEnv, c.life)
		if got := seenFromOutside(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
