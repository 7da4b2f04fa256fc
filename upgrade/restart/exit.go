package restart

import (
	"context"
	"fmt"
	"os"
)

// ExitConfig says how to end for a supervisor.
type ExitConfig struct {
	// Code is the exit status, 0 to 125. It has to be one on which the supervisor
	// starts the server again: with Restart=on-failure, for instance, not 0.
	Code int

	// Trust: the operator vouches that something starts the server again. Nothing
	// is looked for then.
	Trust bool

	// Sockets of the server, if it has them, live on where a program that is put
	// back by itself takes the place of this one (Method.Become): nobody sees the
	// process end then. Restart does not pass them on.
	Sockets *Sockets
}

// Exit is the Method that ends the process, for a supervisor to start it again.
// Check passes only if it sees a supervisor that will, and otherwise says what it
// saw: systemd is asked for the unit's Restart= and what goes with it; runit, s6
// and daemontools, which always restart, are known by the parent process. Others
// (containers, launchd, supervisord) do not show their policy: set Trust.
//
// Restart does not return. Deferred functions do not run; the host's Stop does
// before it. Sockets live on only if the supervisor holds them (socket
// activation): without, clients are refused until the new program listens, and
// what waits in the queue is lost. Last is always zero.
func Exit(c ExitConfig) Method {
	var become func(ctx context.Context, path string) error
	if c.Sockets != nil {
		become = c.Sockets.restartExec
	}
	return Method{
		Name:   "exit",
		Become: become,
		Check: func(ctx context.Context, path string) error {
			if c.Code < 0 || c.Code > 125 {
				return fmt.Errorf("restart: exit: %d is no exit status from 0 to 125: %w", c.Code, os.ErrInvalid)
			}
			if err := checkProgram(path); err != nil {
				return fmt.Errorf("restart: exit: %w", err)
			}
			if c.Trust {
				return nil
			}
			if err := lookUp(ctx, c.Code); err != nil {
				return fmt.Errorf("restart: exit: %w", err)
			}
			return nil
		},
		Restart: func(ctx context.Context, _ string) error {
			if ctx.Err() != nil {
				return fmt.Errorf("restart: exit: %w", context.Cause(ctx))
			}
			os.Exit(c.Code)
			return nil
		},
		Last: func() Report { return Report{} },
	}
}

// lookUp looks for who would start the process again.
func lookUp(ctx context.Context, code int) error {
	e := seeEvidence()
	if e.unit != "" && e.invocation {
		props, err := unitProperties(ctx, e)
		if err != nil {
			return fmt.Errorf("%s was started by systemd as %s, but its Restart= cannot be read: %w; set Trust if it restarts on exit status %d", e.self, e.unit, err, code)
		}
		return judgeUnit(e.unit, os.Getpid(), props, code)
	}
	switch e.parent {
	case "runsv", "s6-supervise", "supervise", "perpd":
		return nil
	}
	return fmt.Errorf("nothing was seen that starts %s again (%s): run it under a supervisor, or set Trust if it is: %w", e.self, e, os.ErrNotExist)
}
