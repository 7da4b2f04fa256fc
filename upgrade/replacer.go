package upgrade

import (
	"context"
	"sync"

	"github.com/leaderlast/leaderlast/archive"
)

// A Replacer installs releases as the program of the local server.
//
// At every instant, the crash of the machine included, the path of the program
// holds either the program from before or the new one, complete, with the mode,
// owner and capabilities of the one before. Calls are never made concurrently,
// but may be repeated, and may follow those of an earlier process. The previous
// program lies at Program.PreviousPath, where Boot looks for it. Package
// upgradetest tests for everything else that is said here.
type Replacer interface {
	// Prepare does everything but the rename: afterwards the new program lies
	// beside the old one, durable, complete and compared, and the old one is
	// kept as the previous program. It may be repeated, with the same release or
	// another. When it fails, nothing of what it made is left.
	Prepare(ctx context.Context, v archive.Verified) (Prepared, error)

	// Commit puts what was prepared in place by one rename a file, the server
	// last, and returns when that is durable. If nothing is prepared the error
	// wraps fs.ErrNotExist. After any other error the outcome is unknown, and
	// either Commit or Discard may be called again.
	Commit(ctx context.Context) error

	// Discard forgets what Prepare made. The previous program that was kept
	// before stays. It is no error if nothing is prepared.
	Discard(ctx context.Context) error

	// Restore puts the previous program back, as durably. It can be repeated.
	// If none is kept the error wraps fs.ErrNotExist.
	Restore(ctx context.Context) error

	// PrepareBack is Prepare with the previous program, as it was, in place of a
	// release. What Commit then displaces becomes the previous program; until it
	// has been displaced the one that was kept stays. If none is kept the error
	// wraps fs.ErrNotExist.
	PrepareBack(ctx context.Context) (Prepared, error)

	// Forget removes the previous program: there is no way back then. It is no
	// error if none is kept. While something is prepared it is refused with an
	// error that wraps fs.ErrExist, and nothing is removed.
	Forget(ctx context.Context) error
}

// Prepared is what a Prepare found and made.
type Prepared struct {
	Program archive.Digest // of the new program
	Path    string         // where it lies until Commit: an executable file
	Notes   []string       // what was done otherwise than usual, a sentence each
}

// alone makes the calls of one process one after the other: the guard puts a
// program back while the Orchestrator may be sweeping.
type alone struct {
	r  Replacer
	mu *sync.Mutex
}

func (a alone) Prepare(ctx context.Context, v archive.Verified) (Prepared, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.r.Prepare(ctx, v)
}

func (a alone) PrepareBack(ctx context.Context) (Prepared, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.r.PrepareBack(ctx)
}

func (a alone) Commit(ctx context.Context) error  { return a.call(ctx, Replacer.Commit) }
func (a alone) Discard(ctx context.Context) error { return a.call(ctx, Replacer.Discard) }
func (a alone) Restore(ctx context.Context) error { return a.call(ctx, Replacer.Restore) }
func (a alone) Forget(ctx context.Context) error  { return a.call(ctx, Replacer.Forget) }

func (a alone) call(ctx context.Context, f func(Replacer, context.Context) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return f(a.r, ctx)
}
