package restart

import (
	"context"
	"errors"
	"time"
)

// ErrNotReacquired is wrapped by the error of a Restart after which the server
// cannot serve on: what it released for the next program it could not get back.
var ErrNotReacquired = errors.New("what was released for the next program could not be got back")

// A Method is a way to start the server over with the program that then lies at
// its path.
type Method struct {
	Name string // "exec", "hand-over", "exit", "command"; for people

	// Check returns nil if Restart is expected to work for the program at path,
	// and otherwise an error that says why not and what to do. It changes
	// nothing.
	Check func(ctx context.Context, path string) error

	// Restart starts the server over. Where the process is replaced or ended it
	// does not return; where somebody else ends it, it returns nil as soon as
	// that is certain. After an error the process goes on as if nothing had
	// been asked, unless it wraps ErrNotReacquired.
	Restart func(ctx context.Context, path string) error

	// Overlaps says that this process serves on while the next program starts:
	// Restart lets its clients finish by itself, so that they must not be made to
	// leave before it, and no store may be closed.
	Overlaps bool

	// Confirm tells the program before, if it still waits to take over again, that
	// this one is confirmed. Nil where nobody ever waits.
	Confirm func()

	// InPlace says that Restart makes the next program of this process, by exec: its
	// PID, environment and open descriptors go on, and nothing of the program before
	// is left to see how the next one fares.
	InPlace bool

	// Become makes the program at path of this process, as a Method does that is
	// InPlace, whatever Restart does. It is for a program that is put back: that one
	// does not go on for long enough to be handed over, or is better not seen to end.
	// The terms are those of Restart. Nil where InPlace says that Restart does it, or
	// the Method has no sockets to pass on.
	Become func(ctx context.Context, path string) error

	// Alone reports whether nobody starts the server again when the next program
	// dies. Nil: somebody does.
	Alone func() bool

	// Last returns what the restart that began this process did to its clients:
	// the zero Report if there was none or the Method cannot know.
	Last func() Report
}

// A Report counts what a restart did to clients.
type Report struct {
	Waited   time.Duration // from the beginning of the drain until nothing was in flight
	Paused   time.Duration // from the last accept of the old process to Ready of the new one; 0 if one of them always accepted
	Retired  int           // connections that were asked to leave, or were idle at the bound, and ended without a request in flight
	Cut      int           // connections that were closed with a request, or a part of one, in flight
	Hijacked int           // connections that belong to the host and were left to it
	Passed   int           // sockets that went on
}
