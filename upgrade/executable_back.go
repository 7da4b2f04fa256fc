package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// Previous returns the digest of the program that Restore would put back. If
// none is kept the error wraps fs.ErrNotExist. It reads the whole file.
func (e *Executable) Previous(ctx context.Context) (archive.Digest, error) {
	s, err := e.swap("read the previous program of")
	if err != nil {
		return "", err
	}
	d, err := s.previous(ctx)
	return d, s.wrap(err)
}

func (s *swap) previous(ctx context.Context) (archive.Digest, error) {
	path, err := s.previousPath()
	if err != nil {
		return "", err
	}
	d, _, err := s.digest(ctx, path)
	return d, err
}

// previousPath is where the file lies that Restore would put back.
func (s *swap) previousPath() (string, error) {
	path := s.program.PreviousPath()
	l, err := s.loadList()
	if err != nil {
		return "", err
	}
	if l != nil && l.Complete && l.Back {
		waiting, err := s.waiting(l)
		if err != nil {
			return "", err
		}
		if _, there, err := s.lstat(s.program.keptPath()); err != nil {
			return "", err
		} else if there && !waiting { // a Commit that ended before its last step, which Restore makes first
			path = s.program.keptPath()
		}
	}
	return path, nil
}

// whosePrevious says whose bytes Restore would put back, as j knows them.
func (e *Executable) whosePrevious(ctx context.Context, j journal) (whose, error) {
	s, err := e.swap("read the previous program of")
	if err != nil {
		return nobodys, err
	}
	path, err := s.previousPath()
	if err != nil {
		return nobodys, s.wrap(err)
	}
	w, err := s.whose(ctx, path, j)
	return w, s.wrap(err)
}

// whose says whose bytes lie at path, as j knows them.
func (s *swap) whose(ctx context.Context, path string, j journal) (whose, error) {
	info, there, err := s.lstat(path)
	if err != nil || !there {
		return nobodys, err
	}
	return j.whose(info, func() (archive.Digest, error) {
		d, _, err := s.digest(ctx, path)
		return d, err
	})
}

// PrepareBack implements Replacer. The file that is put in place is the previous
// one, by a second name; where the kernel refuses that, a copy of it. Companions
// whose previous files are kept go with the server, the others stay.
func (e *Executable) PrepareBack(ctx context.Context) (Prepared, error) {
	s, err := e.swap("prepare the way back of")
	if err != nil {
		return Prepared{}, err
	}
	if err := s.discard(ctx); err != nil {
		return Prepared{}, s.wrap(err)
	}
	var targets []target
	for _, p := range slices.Concat(s.companions, []Program{s.program}) {
		t, err := s.backTarget(ctx, p)
		switch {
		case err == nil:
			targets = append(targets, t)
		case errors.Is(err, fs.ErrNotExist) && p.Path != s.program.Path:
		default:
			return Prepared{}, s.wrap(err)
		}
	}
	return s.prepareAll(ctx, targets, &list{Back: true}, func(t target) (durable.Info, error) { return s.secondName(ctx, t) })
}

// backTarget is p with its previous file as the new one.
func (s *swap) backTarget(ctx context.Context, p Program) (target, error) {
	now, err := s.fs.Lstat(p.Path)
	if err != nil {
		return target{}, err
	}
	previous, there, err := s.lstat(p.PreviousPath())
	switch {
	case err != nil:
		return target{}, err
	case !there:
		return target{}, fmt.Errorf("no previous program is kept of %s: %w", p.Base(), fs.ErrNotExist)
	case !now.Mode.IsRegular():
		return target{}, fmt.Errorf("%s is not a regular file but %v: %w", p.Path, now.Mode.Type(), fs.ErrInvalid)
	case !previous.Mode.IsRegular():
		return target{}, fmt.Errorf("%s is not a regular file but %v: %w", p.PreviousPath(), previous.Mode.Type(), fs.ErrInvalid)
	}
	t := target{Program: p, old: now, mode: previous.Mode}
	t.file.Name, t.file.Size = p.PreviousPath(), previous.Size
	if t.file.Digest, _, err = s.digest(ctx, p.PreviousPath()); err != nil {
		return t, err
	}
	is, _, err := s.digest(ctx, p.Path)
	t.keep = is != t.file.Digest // what is displaced by itself would be no way back
	return t, err
}

// secondName gives the previous file of t the name that Commit puts in place.
func (s *swap) secondName(ctx context.Context, t target) (durable.Info, error) {
	previous, err := s.fs.Lstat(t.PreviousPath())
	if err != nil {
		return durable.Info{}, err
	}
	if !previous.Same(t.old) { // a rename between two names of one file does nothing
		err = s.fs.Link(t.PreviousPath(), t.NextPath())
		if err == nil {
			return s.fs.Lstat(t.NextPath())
		}
		if !linkRefused(err) {
			return durable.Info{}, err
		}
		s.note("the kernel does not let this process make a hard link to the previous %s (%v); a copy of it is put in place.", t.Base(), errnoOf(err))
	}
	f, err := s.fs.Open(t.PreviousPath())
	if err != nil {
		return durable.Info{}, err
	}
	defer f.Close()
	return s.make(ctx, copyJob{to: t.NextPath(), from: f, size: t.file.Size, want: t.file.Digest, like: t.PreviousPath()})
}

// Forget implements Replacer. The server's previous file goes first: without it
// none of the others is put back either.
func (e *Executable) Forget(ctx context.Context) error {
	s, err := e.swap("forget the previous program of")
	if err != nil {
		return err
	}
	return s.wrap(s.forget(ctx))
}

func (s *swap) forget(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l, err := s.loadList()
	if err != nil {
		return err
	}
	if l != nil && l.Complete {
		waiting, err := s.waiting(l)
		if err == nil && waiting {
			err = fmt.Errorf("a program is prepared; commit or discard it first: %w", fs.ErrExist)
		}
		if err != nil {
			return err
		}
	}
	if err := s.discard(ctx); err != nil {
		return err
	}
	for _, ps := range [][]Program{{s.program}, s.companions} {
		gone := false
		for _, p := range ps {
			_, there, err := s.lstat(p.PreviousPath())
			if err == nil && there {
				gone, err = true, s.remove(p.PreviousPath())
			}
			if err != nil {
				return err
			}
		}
		if gone {
			if err := s.fs.SyncDir(s.program.Dir()); err != nil {
				return err
			}
		}
	}
	return nil
}
