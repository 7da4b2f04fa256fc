package upgrade

import (
	"context"
)

// exchange is Restore for a rollback that j tells of: what it displaces was kept
// here alone, and is the previous program afterwards. Where that cannot be, for want
// of room, say, it is Restore. It can be repeated, and goes on with what a crash has
// left of it; so does keepTarget once the program is back.
func (e *Executable) exchange(ctx context.Context, j journal) error {
	s, err := e.swap("restore")
	if err != nil {
		return err
	}
	return s.wrap(s.exchange(ctx, j))
}

func (s *swap) exchange(ctx context.Context, j journal) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	is, err := s.whose(ctx, s.program.Path, j)
	if err == nil && is == olds {
		_, err = s.keepTarget(ctx, j)
		return err
	}
	if _, there, err := s.lstat(s.program.PreviousPath()); err == nil && !there {
		return s.restore(ctx, true) // which says so
	}
	if err == nil {
		err = s.setAside(ctx)
	}
	if err != nil {
		// To serve again comes first. The file that says that all are aside goes
		// before the others do.
		if err := s.remove(s.program.keptPath()); err != nil {
			return err
		}
		return s.restore(ctx, true)
	}
	if err := s.putAllBack(ctx, true); err != nil {
		return err
	}
	// The program is back; what is left to do its next start does as well.
	_ = s.rotateAside()
	return nil
}

// setAside gives what is to be displaced the names under which it waits to become
// the previous files, the server last: once that has its own, all have, whatever
// of them was displaced since.
func (s *swap) setAside(ctx context.Context) error {
	l, err := s.loadList()
	if err != nil {
		return err
	}
	if _, there, err := s.lstat(s.program.keptPath()); err != nil {
		return err
	} else if there && l == nil {
		if aside, err := s.same(ctx, s.program.Path, s.program.keptPath()); err != nil || aside {
			return err
		}
	}
	if err := s.discard(ctx); err != nil {
		return err
	}
	for _, p := range s.companions {
		now, there, err := s.lstat(p.Path)
		if err != nil {
			return err
		}
		_, was, err := s.lstat(p.PreviousPath())
		if err != nil {
			return err
		}
		if !there || !was {
			continue // it stays as it is
		}
		if _, err := s.keep(ctx, p, now); err != nil {
			return err
		}
	}
	if err := s.fs.SyncDir(s.program.Dir()); err != nil {
		return err
	}
	now, err := s.fs.Lstat(s.program.Path)
	if err != nil {
		return err
	}
	if _, err := s.keep(ctx, s.program, now); err != nil {
		return err
	}
	return s.fs.SyncDir(s.program.Dir())
}

// rotateAside makes what is aside the previous files, once what was put in their
// place is durable; the server last, which says that there is something to do.
func (s *swap) rotateAside() error {
	for _, ps := range [][]Program{s.companions, {s.program}} {
		var l list
		for _, p := range ps {
			if _, there, err := s.lstat(p.keptPath()); err != nil {
				return err
			} else if there {
				l.Files = append(l.Files, listFile{Name: p.Base(), Keep: true})
			}
		}
		if err := s.rotate(&l); err != nil {
			return err
		}
	}
	return nil
}

// keepTarget goes on with an exchange that has put the program of j back, and
// reports whether the one that it displaced is kept.
func (e *Executable) keepTarget(ctx context.Context, j journal) (bool, error) {
	s, err := e.swap("keep the program displaced by")
	if err != nil {
		return false, err
	}
	kept, err := s.keepTarget(ctx, j)
	return kept, s.wrap(err)
}

func (s *swap) keepTarget(ctx context.Context, j journal) (bool, error) {
	l, err := s.loadList()
	if err != nil {
		return false, err
	}
	if l != nil && l.Complete && l.Back { // a Commit that ended before its last step
		if err := s.discard(ctx); err != nil {
			return false, err
		}
	}
	aside, err := s.whose(ctx, s.program.keptPath(), j)
	if err == nil && aside == news {
		if err = s.fs.SyncDir(s.program.Dir()); err == nil {
			err = s.rotateAside()
		}
	}
	if err != nil {
		return false, err
	}
	kept, err := s.whose(ctx, s.program.PreviousPath(), j)
	return kept == news, err
}

// same reports whether a and b are names of one file, or equal.
func (s *swap) same(ctx context.Context, a, b string) (bool, error) {
	ia, err := s.fs.Lstat(a)
	if err != nil {
		return false, err
	}
	ib, err := s.fs.Lstat(b)
	if err != nil || ia.Same(ib) {
		return err == nil, err
	}
	return s.sameFile(ctx, a, b)
}

// executable is the Replacer of p with the companions that j knows.
func (j journal) executable(p Program) *Executable {
	e := &Executable{Program: p}
	if j.Guard != nil {
		e.Companions = j.Guard.Companions
	}
	return e
}

// keepsTarget reports whether the program that a rollback had put in place, and that
// was put back since, is kept. If that cannot be found out there is no way back.
func (s *Started) keepsTarget(j journal) bool {
	if !j.Back {
		return false
	}
	s.files.Lock()
	defer s.files.Unlock()
	kept, err := j.executable(s.Program).keepTarget(context.Background(), j)
	return err == nil && kept
}
