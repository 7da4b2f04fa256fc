package upgrade

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A program whose starts all last, or are asked to end, and that never gets well
// in any of them, is put back once they come to the time that one has; one that
// has lost contact is not.
func TestStartsAddUp(t *testing.T) {
	for name, c := range map[string]struct {
		lives time.Duration
		ends  func(s *Started)
		serve bool // without contact
		most  int  // starts; 0 if it stays
	}{
		"dies late":           {90 * time.Second, func(s *Started) { s.trial.end() }, false, 30},
		"is asked to end":     {45 * time.Second, func(s *Started) { s.AskedToEnd() }, false, 40},
		"is ended much later": {20 * time.Minute, func(s *Started) { s.AskedToEnd() }, false, 2},
		"has lost contact":    {90 * time.Second, func(s *Started) { s.trial.end() }, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := swapped(t)
				for n := range 60 {
					s, err := m.start()
					if errors.Is(err, errKilled) {
						if n != c.most || m.installed() != "1.0.0" {
							t.Fatalf("put back after %d starts, want %d: %s is installed", n, c.most, m.installed())
						}
						wantPutBack(t, m, "was not well for 30m0s in all")
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if c.serve {
						s.trial.runs()
					}
					time.Sleep(c.lives)
					synctest.Wait()
					c.ends(s)
					if n == 59 && c.most != 0 {
						t.Error("it stays")
					}
				}
			})
		})
	}
}
