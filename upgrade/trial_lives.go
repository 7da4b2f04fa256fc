package upgrade

import (
	"cmp"
	"fmt"
	"time"
)

// lives notes that this start has lasted, or was asked to end: it is not counted,
// once, but the time for which the program was not well is. Where that comes to
// what one start has, over many of them, the next one finds none left: each may
// have been ended before its own time was up.
func (s *Started) lives() {
	j := s.ledger.now()
	if s.UpgradedFrom == "" || j.Confirmed {
		return
	}
	first, ill := s.trial.lives(j.Guard, s.At, time.Now())
	if !first && ill == 0 {
		return
	}
	// Should that fail, a start counts that lasted: the program may be put back a
	// start too early, as one whose journal cannot be written.
	_ = s.ledger.edit(func(j *journal) {
		if first {
			j.Starts = max(0, j.Starts-1)
		}
		j.Ill += ill
		if g := j.Guard; g != nil && j.Ill >= g.Confirm {
			j.Starts = max(j.Starts, g.Limit)
			j.Why = cmp.Or(j.Why, fmt.Sprintf("was not well for %v in all while it was on trial", j.Ill.Round(time.Second)))
		}
	})
}

// lives returns whether this is the first call, and for how long since the one
// before, or since the start, the program was one to be put back.
func (t *trial) lives(g *guard, start, now time.Time) (first bool, ill time.Duration) {
	if g != nil && t.verdict(*g, now) != "" {
		ill = g.Lasts // at most: the process may have been frozen
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted.IsZero() {
		t.noted = start
	}
	ill = min(ill, now.Sub(t.noted))
	first, t.lasted, t.noted = !t.lasted, true, now
	return first, ill
}
