package restart

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"
)

// Limits of a hand-over where HandOverConfig gives none.
const (
	DefaultReadyTimeout   = time.Minute
	DefaultConfirmTimeout = time.Hour
	DefaultLinger         = 2 * time.Minute
)

// Until is how far the successor must be before this process lets go.
type Until int

const (
	// UntilConfirmed waits for Confirm of the successor.
	UntilConfirmed Until = iota
	// UntilReady waits for its Ready only.
	UntilReady
)

// A HandOverConfig says how this process hands over. The zero value is fit for a
// server of which two can run at once.
type HandOverConfig struct {
	// Until is how far the successor must be before there is no way back. From its
	// Ready on new connections are the successor's; until it is Confirmed this
	// process can take them over again.
	Until Until

	// ReadyTimeout is how long the successor may take to be Ready.
	// DefaultReadyTimeout if 0.
	ReadyTimeout time.Duration

	// ConfirmTimeout is how long it may take from there to be confirmed. It has to
	// be longer than what ends a successor that is not well from within.
	// DefaultConfirmTimeout if 0.
	ConfirmTimeout time.Duration

	// Linger is how long this process goes on for the clients it has, once there is
	// no way back. Each is asked to leave with its next answer, and all the others
	// are the successor's: nobody waits meanwhile. It should exceed what clients
	// stay idle: Go's keep a connection for 90 s. What is in flight at its end is
	// cut, and counted. DefaultLinger if 0.
	Linger time.Duration

	// Release lets go of what two processes cannot have at once, such as a locked
	// store. With it the server is drained before, and clients wait until the
	// successor is Ready. If it fails it has let go of nothing. Reacquire is
	// required with it, and takes everything back; it is called when the successor
	// has ended, within a minute.
	Release   func(ctx context.Context) error
	Reacquire func(ctx context.Context) error

	// Stop closes stores and ends child processes, just before this process does.
	// It is given a minute; what it returns is lost with the process.
	Stop func(ctx context.Context) error

	// Trust: the operator vouches that whoever watches this process, other than
	// systemd, follows to its successor, by a PID file for instance.
	Trust bool
}

func (c HandOverConfig) withDefaults() HandOverConfig {
	c.ReadyTimeout = cmp.Or(c.ReadyTimeout, DefaultReadyTimeout)
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, DefaultConfirmTimeout)
	c.Linger = cmp.Or(c.Linger, DefaultLinger)
	return c
}

func (c HandOverConfig) check() error {
	switch {
	case c.ReadyTimeout < 0 || c.ConfirmTimeout < 0 || c.Linger < 0:
		return fmt.Errorf("negative ReadyTimeout, ConfirmTimeout or Linger: %w", os.ErrInvalid)
	case c.Until != UntilConfirmed && c.Until != UntilReady:
		return fmt.Errorf("no such Until: %d: %w", c.Until, os.ErrInvalid)
	case (c.Release == nil) != (c.Reacquire == nil):
		return fmt.Errorf("one of Release and Reacquire without the other: %w", os.ErrInvalid)
	}
	return nil
}

// HandOver is the Method that starts the next program as a child of this one,
// and ends this one when that serves. Sockets are passed on as with Exec, and
// arguments, directory and environment are the same; the PID is another.
//
// Until the successor calls Ready it accepts nothing, and this process serves on;
// with Release, clients wait in the kernel's queue instead. From then on new
// connections are the successor's. When it is confirmed (see Until) this process
// tells systemd that it is the main process, waits for its own clients to leave,
// calls Stop and exits with status 0: Restart does not return, and deferred
// functions do not run. The host must not end the process meanwhile for lack of
// clients.
//
// If the successor ends, is not in time, or ctx ends, it is ended (SIGTERM, and
// SIGKILL a few seconds later), this process gets back what it released, and
// serves on; the error says how the successor ended. What it had accepted is lost
// with it, unless it drained; nothing else is. If Reacquire fails the error wraps
// ErrNotReacquired, and the server stays drained: what waits in the queue is for
// whoever is started next, by Exec for instance.
//
// ErrDraining refuses it while another restart is under way, or the program before
// this one has not ended. If this process is killed the successor goes on alone,
// and serves as soon as it is ready.
//
// Packet connections and files are open in both. What is read from a packet
// connection by the one is not seen by the other: stop reading when Draining is
// closed, and begin after Ready.
//
// Whoever watches the process must follow to the next: Check refuses as process 1
// of a container, which would end with it, under systemd without NOTIFY_SOCKET, and
// under others that cannot follow (see Trust). Unix only.
func (s *Sockets) HandOver(c HandOverConfig) Method {
	return Method{
		Name:     "hand-over",
		Check:    func(ctx context.Context, path string) error { return s.checkHandOver(ctx, c.withDefaults(), path) },
		Restart:  func(ctx context.Context, path string) error { return s.restartHandOver(ctx, c.withDefaults(), path) },
		Overlaps: true,
		Confirm:  s.Confirm,
		Become:   s.restartExec,
		Last:     s.Last,
	}
}
