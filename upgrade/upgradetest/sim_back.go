package upgradetest

import (
	"github.com/leaderlast/leaderlast/tracking"
)

// there reports whether a member that has version is where run wants it. A
// rollback takes each to what it keeps; nobody stays with what is undone.
func there(run tracking.Run, version string) bool {
	if run.Kind == tracking.KindRollback {
		return version != run.From
	}
	return version == run.Archive.Version
}

// checkPlaced judges what p has put in place, and remembers what that displaced.
func (w *world) checkPlaced(p *process) {
	m := p.m
	is := m.installed()
	if is == "" || is == m.was {
		return
	}
	if back := p.own.run.Kind == tracking.KindRollback && !p.returns; back && m.from[m.was] != is {
		w.violate("18: %s goes back from %s to %s, which did not run there before: %q did", m.name, m.was, is, m.from[m.was])
	}
	if kept := m.kept(); kept != m.was && p.returns {
		w.violate("18: %s has put %s back in place of %s, and keeps %q", m.name, is, m.was, kept)
	}
	m.from[is] = m.was
}

// checkForgets judges whether p may remove the program that it keeps.
func (w *world) checkForgets(p *process) {
	switch {
	case p.own.run.Committed.IsZero():
		w.violate("19: %s gives the way back up, and nobody has committed", p.name)
	case w.run.Turn(p.m.name) != nil && w.run.Status == tracking.Working && p.own.run.ID == w.run.ID:
		w.violate("19: %s gives the way back up in its turn", p.name)
	}
}

// checkCommitted judges a swap that gives the way back up.
func (w *world) checkCommitted(old, now tracking.Run) {
	if old.ID != now.ID || old.Committed.Equal(now.Committed) {
		return
	}
	w.seen["committed"]++
	if now.Status != tracking.Finished && now.Status != tracking.None || old.Status != now.Status || !old.Committed.IsZero() {
		w.violate("19: the way back is given up while run %s goes from %q to %q", now.ID, old.Status, now.Status)
	}
}
