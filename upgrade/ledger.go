package upgrade

import (
	"errors"
	"sync"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// A ledger is the journal of the local program in one process: what Boot, the
// Orchestrator and the guard know of it, and the one way to change it.
type ledger struct {
	mu      sync.Mutex // held while the file is written, never while waiting for anything else
	program Program
	j       journal
	sealed  bool // the program is being put back: nothing else may be written
}

// errReturning is why a sealed journal is not changed.
var errReturning = errors.New("the program from before is being put back: start the server again")

// seal is the last change by this process.
func (l *ledger) seal(change func(*journal)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.write(change)
	l.sealed = l.sealed || err == nil
	return err
}

func (l *ledger) now() journal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.j
}

// reload reads what the program that had this one's place meanwhile has written.
func (l *ledger) reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	j, err := loadJournal(l.program)
	if err == nil {
		l.j = j
	}
	return err
}

// edit changes the journal durably. After an error nothing has changed.
func (l *ledger) edit(change func(*journal)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(change)
}

// write is edit while mu is held.
func (l *ledger) write(change func(*journal)) error {
	if l.sealed {
		return errReturning
	}
	j := l.j
	change(&j)
	if err := j.save(l.program); err != nil {
		return err
	}
	l.j = j
	return nil
}

// note changes the journal, and for this process even if it cannot be written.
func (l *ledger) note(change func(*journal)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sealed {
		return errReturning
	}
	change(&l.j)
	return l.j.save(l.program)
}

// sweep removes what writes of processes that died have left.
func (l *ledger) sweep() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return durable.SweepTemps(l.program.journalPath())
}
