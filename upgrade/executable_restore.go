package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// restore puts the previous files in place. They stay the previous ones, so that
// it can be repeated, unless there is no room for that. Where it does not last, a
// crash may undo that of the program.
func (s *swap) restore(ctx context.Context, lasts bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	previous, there, err := s.lstat(s.program.PreviousPath())
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("no previous program is kept: %w", fs.ErrNotExist)
	}
	if !previous.Mode.IsRegular() {
		return fmt.Errorf("%s is not a regular file but %v: %w", s.program.PreviousPath(), previous.Mode.Type(), fs.ErrInvalid)
	}
	if err := s.discard(ctx); err != nil {
		return err
	}
	return s.putAllBack(ctx, lasts)
}

// putAllBack puts the previous files in place, the server last.
func (s *swap) putAllBack(ctx context.Context, lasts bool) error {
	changed := false
	for _, c := range s.companions {
		if _, there, err := s.lstat(c.Path); err != nil {
			return err
		} else if !there {
			continue // taken away since; the server runs without
		}
		back, err := s.putBack(ctx, c, c.PreviousPath())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("companion %s: %w", c.Base(), err)
		}
		changed = changed || back
	}
	if changed {
		if err := s.fs.SyncDir(s.program.Dir()); err != nil {
			return err
		}
	}
	if _, err := s.putBack(ctx, s.program, s.program.PreviousPath()); err != nil || !lasts {
		return err
	}
	return s.fs.SyncDir(s.program.Dir())
}

// putBack gives the file at from the name of p, by one rename of a second name or
// copy of it; of the file itself, where the disk has no room for either. It reports
// false if it has that name already.
func (s *swap) putBack(ctx context.Context, p Program, from string) (bool, error) {
	previous, err := s.fs.Lstat(from)
	if err != nil {
		return false, err
	}
	now, there, err := s.lstat(p.Path)
	if err != nil {
		return false, err
	}
	if there && now.Same(previous) { // a rename between two names of one file does nothing
		return false, nil
	}
	if err := s.remove(p.NextPath()); err != nil {
		return false, err
	}
	err = s.fs.Link(from, p.NextPath())
	if linkRefused(err) {
		err = s.clone(ctx, p, from, p.NextPath())
	}
	second := p.NextPath()
	if durable.NoRoom(err) {
		second, err = from, nil
	}
	if err == nil {
		err = s.fs.Rename(second, p.Path)
	}
	if err != nil {
		return false, errors.Join(err, s.remove(p.NextPath()))
	}
	return true, nil
}

// sweep removes what nothing refers to.
func (s *swap) sweep(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l, err := s.loadList()
	if err != nil {
		return err
	}
	if l == nil || !l.Complete {
		return s.clear(s.named(l))
	}
	waiting := false
	for _, f := range l.Files {
		_, there, err := s.lstat(s.beside(f.Name).NextPath())
		if err != nil {
			return err
		}
		waiting = waiting || there
	}
	if !waiting { // committed, or discarded: only the list was left to remove
		if err := s.finishRotation(l); err != nil {
			return err
		}
		return s.clear(s.named(l))
	}
	listed := func(p Program) bool {
		return slices.ContainsFunc(l.Files, func(f listFile) bool { return f.Name == p.Base() })
	}
	if err := s.remove(s.program.retiredPath()); err != nil {
		return err
	}
	return s.removeAll(slices.DeleteFunc(s.named(nil), listed))
}

// named returns the files that the list and the configuration name.
func (s *swap) named(l *list) []Program {
	ps := slices.Concat(s.companions, []Program{s.program})
	if l != nil {
		for _, f := range l.Files {
			ps = append(ps, s.beside(f.Name))
		}
	}
	return ps
}

func (s *swap) all(targets []target) []Program {
	ps := s.named(nil)
	for _, t := range targets {
		ps = append(ps, t.Program)
	}
	return ps
}

// clear removes everything prepared for ps and then, once that is durable, the
// list, which until then says what has to go.
func (s *swap) clear(ps []Program) error {
	if err := s.removeAll(ps); err != nil {
		return err
	}
	paths := []string{s.program.retiredPath(), s.program.listPath()}
	any := false
	for _, path := range paths {
		_, there, err := s.lstat(path)
		if err != nil {
			return err
		}
		any = any || there
	}
	if !any {
		return nil
	}
	if err := s.fs.SyncDir(s.program.Dir()); err != nil {
		return err
	}
	if err := s.remove(paths...); err != nil {
		return err
	}
	return s.fs.SyncDir(s.program.Dir())
}

func (s *swap) removeAll(ps []Program) error {
	var errs []error
	for _, p := range ps {
		errs = append(errs, s.remove(p.NextPath(), p.keptPath()))
	}
	return errors.Join(errs...)
}
