package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// commit may follow one that was interrupted anywhere, in another process.
func (s *swap) commit(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l, err := s.loadList()
	if err != nil {
		return err
	}
	if l == nil || !l.Complete {
		return fmt.Errorf("nothing is prepared: %w", fs.ErrNotExist)
	}
	var todo []listFile
	for _, f := range l.Files {
		done, err := s.inspect(ctx, f)
		if err != nil {
			return err
		}
		if !done {
			todo = append(todo, f)
		}
	}
	// The way back is durable before the first program is displaced.
	if !l.Back {
		if err := s.rotate(l); err != nil {
			return err
		}
	}
	for i, f := range todo {
		p := s.beside(f.Name)
		if i > 0 && i == len(todo)-1 { // nor does a power cut leave the server ahead of its companions
			if err := s.fs.SyncDir(s.program.Dir()); err != nil {
				return err
			}
		}
		if err := s.fs.Rename(p.NextPath(), p.Path); err != nil {
			return err
		}
	}
	if err := s.fs.SyncDir(s.program.Dir()); err != nil {
		return fmt.Errorf("the outcome of a power cut is unknown: %w", err)
	}
	if l.Back {
		if err := s.rotate(l); err != nil {
			return err
		}
	}
	return s.remove(s.program.listPath())
}

// inspect reports whether f is in place already. If not, what is to be put there
// and what it displaces must be as Prepare left them.
func (s *swap) inspect(ctx context.Context, f listFile) (done bool, err error) {
	p := s.beside(f.Name)
	next, there, err := s.lstat(p.NextPath())
	if err != nil {
		return false, err
	}
	now, err := s.fs.Lstat(p.Path)
	if err != nil {
		return false, err
	}
	if !there {
		if done, err = s.isNew(ctx, f, now); err == nil && !done {
			err = fmt.Errorf("%s is gone: %w", p.NextPath(), ErrChanged)
		}
		return done, err
	}
	if !f.Old.file(now) {
		return false, fmt.Errorf("%s was replaced by somebody else: %w", p.Path, ErrChanged)
	}
	if f.Next.untouched(next) {
		return false, nil
	}
	return false, s.recheck(ctx, p, f, now)
}

// recheck reads a prepared file whose stamp proves nothing, because it was made
// a moment ago, something touched it, or the machine was started since and
// numbers its files otherwise.
func (s *swap) recheck(ctx context.Context, p Program, f listFile, old durable.Info) error {
	h, err := s.fs.Open(p.NextPath())
	if err != nil {
		return err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return err
	}
	if info.Size != f.Size {
		return fmt.Errorf("%s has %d bytes instead of %d: %w", p.NextPath(), info.Size, f.Size, ErrChanged)
	}
	mode := old.Mode
	if f.Mode != 0 {
		mode = f.Mode
	}
	if info.Mode != mode {
		return fmt.Errorf("%s has mode %v instead of %v: %w", p.NextPath(), info.Mode, mode, ErrChanged)
	}
	digest, err := pump(ctx, io.Discard, h, info.Size)
	if err != nil {
		return err
	}
	if digest != f.Digest {
		return fmt.Errorf("%s has %s instead of %s: %w", p.NextPath(), digest, f.Digest, ErrChanged)
	}
	if f.Mode == 0 { // else it has its own
		if err := s.copier.Copy(ctx, p.NextPath(), p.Path); err != nil {
			return err
		}
	}
	if err := h.Sync(); err != nil {
		return err
	}
	// Everything was read through one file; it must still be the one there.
	now, err := s.fs.Lstat(p.NextPath())
	if err == nil && !now.Same(info) {
		err = fmt.Errorf("%s: %w", p.NextPath(), ErrChanged)
	}
	return err
}

// isNew reports whether now, which lies at the path of f, is what f put there.
func (s *swap) isNew(ctx context.Context, f listFile, now durable.Info) (bool, error) {
	if f.Next.file(now) {
		return true, nil
	}
	if now.Size != f.Size || !now.Mode.IsRegular() {
		return false, nil
	}
	d, _, err := s.digest(ctx, s.beside(f.Name).Path)
	return d == f.Digest, err
}

// rotate makes what is about to be displaced the previous files.
func (s *swap) rotate(l *list) error {
	changed := false
	for _, f := range l.Files {
		p := s.beside(f.Name)
		kept, there, err := s.lstat(p.keptPath())
		if err != nil {
			return err
		}
		previous, was, err := s.lstat(p.PreviousPath())
		if err != nil {
			return err
		}
		switch {
		case !f.Keep || !there && was:
			continue
		case !there:
			return fmt.Errorf("%s, which keeps the program to go back to, is gone: %w", p.keptPath(), ErrChanged)
		case was && kept.Same(previous): // rename would do nothing, and say that it had
			err = s.fs.Remove(p.keptPath())
		default:
			err = s.fs.Rename(p.keptPath(), p.PreviousPath())
		}
		if err != nil {
			return err
		}
		changed = true
	}
	for _, name := range l.Drop {
		path := s.beside(name).PreviousPath()
		if _, there, err := s.lstat(path); err != nil {
			return err
		} else if !there {
			continue
		}
		if err := s.fs.Remove(path); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return s.fs.SyncDir(s.program.Dir())
}

// discard removes what is prepared. If a Commit stopped between two files, those
// it had put in place are put back: the server goes with its companions.
func (s *swap) discard(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l, err := s.loadList()
	if err != nil {
		return err
	}
	if l != nil && l.Complete {
		if err := s.finishRotation(l); err != nil {
			return err
		}
		if err := s.undo(ctx, l); err != nil {
			return err
		}
		// From here on it is no preparation any more, for no process: one that
		// goes on after a crash must not take half of it for a Commit. A rename
		// needs no room on a full disk.
		if err := s.fs.Rename(s.program.listPath(), s.program.retiredPath()); err != nil {
			return err
		}
		if err := s.fs.SyncDir(s.program.Dir()); err != nil {
			return err
		}
	}
	return s.clear(s.named(l))
}

// finishRotation goes on with a rotation that was interrupted. The older way back
// is lost for some files then; for the others it must be too, or Restore would
// put together programs of two releases. On the way back the rotation comes last:
// it is due once the server is in place.
func (s *swap) finishRotation(l *list) error {
	if l.Back {
		if waiting, err := s.waiting(l); err != nil || waiting {
			return err
		}
		return s.rotate(l)
	}
	begun := false
	for _, f := range l.Files {
		_, there, err := s.lstat(s.beside(f.Name).keptPath())
		if err != nil {
			return err
		}
		begun = begun || f.Keep && !there
	}
	for _, name := range l.Drop {
		_, there, err := s.lstat(s.beside(name).PreviousPath())
		if err != nil {
			return err
		}
		begun = begun || !there
	}
	if !begun {
		return nil
	}
	return s.rotate(l)
}

// waiting reports whether the server of l is still to be put in place.
func (s *swap) waiting(l *list) (bool, error) {
	_, there, err := s.lstat(s.beside(l.Files[len(l.Files)-1].Name).NextPath())
	return there, err
}

// undo puts back the companions of a server that was not replaced in the end.
func (s *swap) undo(ctx context.Context, l *list) error {
	if waiting, err := s.waiting(l); err != nil || !waiting {
		return err
	}
	changed := false
	for _, f := range l.Files[:len(l.Files)-1] {
		p := s.beside(f.Name)
		now, there, err := s.lstat(p.Path)
		if err != nil {
			return err
		}
		if !there || f.Old.file(now) {
			continue
		}
		if in, err := s.isNew(ctx, f, now); err != nil {
			return err
		} else if !in {
			continue // somebody else's
		}
		from := p.PreviousPath()
		if l.Back && f.Keep {
			from = p.keptPath()
		}
		back, err := s.putBack(ctx, p, from)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("put %s back: %w", f.Name, err)
		}
		changed = changed || back
	}
	if !changed {
		return nil
	}
	return s.fs.SyncDir(s.program.Dir())
}
