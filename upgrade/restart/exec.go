package restart

import (
	"context"
	"fmt"
)

// Exec is the Method that replaces the program in place: PID, arguments, working
// directory, sockets and supervisor stay; there is nobody to undo anything once
// the new program runs. It works with sockets or without, and should follow
// Drain, but does not insist: what it cuts is counted.
//
// Restart returns only if it failed, with everything as before; undo of the
// drain then serves on. The new program gets the arguments and the directory
// this one was started with, whatever happened to os.Args and the working
// directory since, and the present environment. Deferred functions do not run.
//
// From then until the new program calls signal.Notify, SIGHUP does nothing, and
// SIGUSR1 and SIGUSR2 do nothing either: each would kill a program that has no
// handler yet. SIGTERM and SIGINT end it, as they should. Linux only; elsewhere
// signals act as on any program that starts.
func (s *Sockets) Exec() Method {
	return Method{
		Name:    "exec",
		Check:   s.checkExec,
		Restart: s.restartExec,
		Confirm: s.Confirm, // the program before may have handed over
		InPlace: true,
		Alone:   alone,
		Last:    s.Last,
	}
}

// account is the word to the next program: what the restart costs.
func (s *Sockets) account() predecessor {
	idle, cut, hosts := s.census()
	p := predecessor{Counts: Report{
		Retired:  int(s.retired.Load()) + idle,
		Cut:      cut,
		Hijacked: hosts,
	}, Paused: markNow()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.drain; d != nil && d.paused != (mark{}) {
		p.Counts.Waited = d.waited
		p.Paused = d.paused
	}
	return p
}

// begin lets one restart at a time through.
func (s *Sockets) begin(ctx context.Context, method string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restart: %s: %w", method, context.Cause(ctx))
	}
	if err := s.overlapped(); err != nil {
		return fmt.Errorf("restart: %s: %w", method, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restarting {
		return fmt.Errorf("restart: %s: %w", method, ErrDraining)
	}
	s.restarting = true
	return nil
}

func (s *Sockets) over() {
	s.mu.Lock()
	s.restarting = false
	s.mu.Unlock()
}
