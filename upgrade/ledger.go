package upgrade

import (
	"errors"
	"fmt"
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
	renamed bool // the program was put back, and that may not be durable yet
}

// errReturning is why a sealed journal is not changed.
var errReturning = errors.New("the program from before is being put back: start the server again")

// errConfirmed is why a program is not put back that was found to be no good at the
// moment at which it was confirmed.
var errConfirmed = errors.New("it was confirmed at that moment, and stays")

// seal is the last change by this process, to put the program from before back.
func (l *ledger) seal(change func(*journal)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.j.Confirmed && l.j.Phase == phaseRunning {
		return errConfirmed
	}
	err := l.write(change)
	l.sealed = l.sealed || err == nil
	return err
}

func (l *ledger) now() journal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.j
}

// settle has j take the place of a journal that says that the program is being
// put back. It is written with the next change: until then the next start finds
// the same again, and does the same.
func (l *ledger) settle(j journal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.j, l.renamed = j, true
}

// save writes j, and before that what it tells of.
func (l *ledger) save(j journal) error {
	if l.renamed {
		if err := durable.SyncDir(l.program.Dir()); err != nil {
			return fmt.Errorf("upgrade: journal: %w", err)
		}
		l.renamed = false
	}
	return j.save(l.program)
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
	if err := l.save(j); err != nil {
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
	return l.save(l.j)
}

// refuse has every change fail with err: the journal is another process's.
func (l *ledger) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.j.broken = err
}

// sweep removes what writes of processes that died have left.
func (l *ledger) sweep() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := errors.Join(durable.SweepTemps(l.program.journalPath()), durable.SweepTemps(l.program.sparePath()))
	if !l.j.inFlight() {
		err = errors.Join(err, removeOwn(l.program.sparePath()))
	}
	return err
}
