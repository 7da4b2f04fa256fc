//go:build unix

package upgrade

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"
)

// end ends a server whose time is up, unless there is nothing to put back.
func (w *watcher) end(signals <-chan os.Signal) int {
	_, f, err := w.look()
	if err != nil {
		return w.complain(fmt.Errorf("its time is up, and it is left alone: %w", err))
	}
	if f.recovery() != startPutsBack {
		return 0
	}
	why := fmt.Sprintf("did not come to serve within %v", w.Confirm)
	if w.booted {
		why = fmt.Sprintf("was not confirmed within %v of its start, and hung", w.Confirm)
	}
	if !w.server.kill() {
		return w.complain(fmt.Errorf("it %s, and could not be ended within %v; end it by hand, and start the server again", why, killBound))
	}
	return w.act(why, signals, true)
}

// look finds out what becomes of a start for which none is left.
func (w *watcher) look() (*Started, found, error) {
	s := newStarted(w.id)
	s.args, s.dir = w.Args, w.Dir
	p, err := ProgramAt(w.Program)
	if err != nil {
		return s, found{}, err
	}
	s.Program, s.ledger.program = p, p
	j, err := loadJournal(p)
	if err != nil {
		return s, found{}, err
	}
	s.ledger.j = j
	if j.Guard != nil { // nobody else starts the server again
		j.Starts = max(j.Starts, j.Guard.Limit)
	}
	f, err := s.look(j, false) // this is no process of the new program
	return s, f, err
}

// act is what follows on the death of the server: by the table of what a start
// does, with no start left. The program from before is put back, if there is one
// to put back; then this process becomes what lies at the path. A server that was
// confirmed died of something else, and nobody is to start it again; unless its
// end was this process's doing.
func (w *watcher) act(why string, signals <-chan os.Signal, killed bool) int {
	s, f, err := w.look()
	if err != nil {
		return w.complain(fmt.Errorf("it %s, and the program from before could not be put back: %w; start the server again", why, err))
	}
	r := f.recovery()
	halfWay := f.phase == phaseReplacing && f.runs == olds // it died before the rename
	if r == startServes && !killed && !halfWay {
		return 0
	}
	select {
	case <-signals: // a terminal's, that came a moment later than the death
		return 0
	default:
	}
	what := "this process becomes what lies there"
	if r == startPutsBack {
		what = "this process puts the program from before back, and becomes it"
	}
	w.say(fmt.Sprintf("it %s; %s", why, what))
	if r == startPutsBack {
		if err := s.restore(why); err != nil {
			// The journal has it, if it can be had: what is started next tries again.
			w.complain(fmt.Errorf("it %s, and the program from before could not be put back: %w", why, err))
		}
	}
	return w.complain(fmt.Errorf("it %s, and %s could not be started again: %w; start it", why, w.Program, s.execAgain()))
}

// killBound is ample for a process to die that was killed.
const killBound = 30 * time.Second

// restore puts the program from before back, for the reason that the journal has
// or else for why.
func (s *Started) restore(why string) error {
	err := s.ledger.seal(func(j *journal) { j.Phase, j.Why = phaseReturning, cmp.Or(j.Why, why) })
	if err != nil {
		return err
	}
	j := s.ledger.now()
	e := j.executable(s.Program)
	if j.Back {
		return e.exchange(context.Background(), j)
	}
	return e.Restore(context.Background())
}
