package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/leaderlast/leaderlast/archive"
)

// returnable returns an error that says why the program from before may not be put
// back now. What Boot has seen may be long ago: by now somebody may have installed
// another program, which stays, or have spoilt the one that is kept, and what
// lies at the path is better than that.
func (s *Started) returnable(ctx context.Context) error {
	j := s.ledger.now()
	p, err := ProgramAt(s.Program.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // nothing is lost
	case err != nil:
		return err
	default:
		runs, err := j.whose(p.info(), func() (archive.Digest, error) { return p.Digest(ctx) })
		if err != nil {
			return err
		}
		if runs == others {
			return fmt.Errorf("%s was replaced by somebody else, and stays: %w", s.Program.Path, ErrChanged)
		}
	}
	previous, err := (&Executable{Program: s.Program}).whosePrevious(ctx, j)
	if err == nil && previous != olds {
		err = errors.New(found{previous: previous}.noWay())
	}
	return err
}

// stick notes why a program that is no good is left in place, as the end of a
// sentence that begins with its version.
func (t *trial) stick(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stuck = why
}

// sticks returns what stick was told last, "" if nothing.
func (t *trial) sticks() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stuck
}
