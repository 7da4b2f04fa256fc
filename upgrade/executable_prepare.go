package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A target is one file to be replaced.
type target struct {
	Program
	file archive.File
	old  durable.Info // of what it displaces
	keep bool         // which becomes the previous one
	mode fs.FileMode  // its own, if it is the previous one that is put in place
}

func (e *Executable) prepare(ctx context.Context, files map[string]archive.File, open openFunc) (Prepared, error) {
	s, err := e.swap("prepare")
	if err != nil {
		return Prepared{}, err
	}
	// First, because it puts companions back if a Commit ended half-way, and what
	// is displaced is looked at after.
	if err := s.discard(ctx); err != nil {
		return Prepared{}, s.wrap(err)
	}
	targets, drop, err := s.targets(ctx, e.platform(), files, open)
	if err != nil {
		return Prepared{}, s.wrap(err)
	}
	return s.prepareAll(ctx, targets, &list{Drop: drop}, func(t target) (durable.Info, error) {
		r, _, err := open(ctx, t.file.Name)
		if err != nil {
			return durable.Info{}, err
		}
		defer r.Close()
		return s.copyNext(ctx, t, r)
	})
}

// targets says what is to be replaced, the server last, and whose previous file
// no longer belongs to the server's.
func (s *swap) targets(ctx context.Context, p archive.Platform, files map[string]archive.File, open openFunc) (ts []target, drop []string, err error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	server, ok := files[s.program.Base()]
	if !ok {
		return nil, nil, fmt.Errorf("the release has no file bin/%s/%s: %w", p, s.program.Base(), fs.ErrNotExist)
	}
	info, err := s.fs.Lstat(s.program.Path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode.IsRegular() {
		return nil, nil, fmt.Errorf("it is not a regular file but %v; resolve links before (FindProgram does): %w", info.Mode.Type(), fs.ErrInvalid)
	}
	same, err := s.sameAs(ctx, s.program.Path, info, server, open)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range s.companions {
		info, there, err := s.lstat(c.Path)
		if err != nil {
			return nil, nil, err
		}
		file, ok := files[c.Base()]
		switch {
		case !there:
			s.note("companion %s is not installed beside the server; skipped.", c.Base())
		case !info.Mode.IsRegular():
			s.note("companion %s is not a regular file but %v; skipped.", c.Base(), info.Mode.Type())
		case !ok:
			s.note("companion %s is not in the release for %s; it stays as it is.", c.Base(), p)
		default:
			ts = append(ts, target{Program: c, file: file, old: info, keep: !same})
			continue
		}
		if _, kept, err := s.lstat(c.PreviousPath()); err != nil {
			return nil, nil, err
		} else if kept && !same {
			drop = append(drop, c.Base())
		}
	}
	// A server replaced by itself displaces nothing: going back must still lead
	// to the one before, companions included.
	return append(ts, target{Program: s.program, file: server, old: info, keep: !same}), drop, nil
}

// sameAs reports whether path has the content of file.
func (s *swap) sameAs(ctx context.Context, path string, info durable.Info, file archive.File, open openFunc) (bool, error) {
	if info.Size != file.Size {
		return false, nil
	}
	r, _, err := open(ctx, file.Name)
	if err != nil {
		return false, err
	}
	defer r.Close()
	f, err := s.fs.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return sameBytes(ctx, f, r)
}

// prepareAll prepares the targets as l has it; make makes the new file of one.
func (s *swap) prepareAll(ctx context.Context, targets []target, l *list, make func(target) (durable.Info, error)) (Prepared, error) {
	if err := s.prepareEach(ctx, targets, l, make); err != nil {
		// What is half made goes, even if it is the context that ended this.
		if derr := s.clear(s.all(targets)); derr != nil {
			err = errors.Join(err, derr)
		}
		return Prepared{}, s.wrap(err)
	}
	return Prepared{Program: targets[len(targets)-1].file.Digest, Path: s.program.NextPath(), Notes: s.notes}, nil
}

func (s *swap) prepareEach(ctx context.Context, targets []target, l *list, make func(target) (durable.Info, error)) error {
	l.Format = listFormat
	for _, t := range targets {
		l.Files = append(l.Files, listFile{Name: t.Base(), Digest: t.file.Digest, Size: t.file.Size, Mode: t.mode})
	}
	if err := s.storeList(l); err != nil {
		return err
	}
	for i, t := range targets {
		if t.keep {
			kept, err := s.keep(ctx, t.Program, t.old)
			if err != nil {
				return fmt.Errorf("keep the program that is to be replaced: %w", err)
			}
			l.Files[i].Keep = kept
		}
	}
	for i, t := range targets {
		next, err := make(t)
		if err != nil {
			return fmt.Errorf("copy %s: %w", t.file.Name, err)
		}
		l.Files[i].Next = stampOf(next).settled(time.Now())
		old, err := s.fs.Lstat(t.Path)
		if err != nil {
			return err
		}
		if !old.Mode.IsRegular() || old.Inode != t.old.Inode || old.Size != t.old.Size || !old.Written.Equal(t.old.Written) {
			return fmt.Errorf("%s: %w", t.Path, ErrChanged)
		}
		l.Files[i].Old = stampOf(old)
	}
	if err := s.fs.SyncDir(s.program.Dir()); err != nil {
		return err
	}
	l.Complete = true
	return s.storeList(l)
}

func (s *swap) copyNext(ctx context.Context, t target, r io.ReadSeeker) (durable.Info, error) {
	src, err := unhashed(r)
	if err != nil {
		return durable.Info{}, err
	}
	return s.make(ctx, copyJob{to: t.NextPath(), from: src, size: t.file.Size, want: t.file.Digest, like: t.Path})
}

// unhashed returns a reader of all of r that leaves comparing the digest to the
// caller, as Opener says of a reader that was told to seek: pump computes it
// beside the writing, and twice would cost a third of the time.
func unhashed(r io.ReadSeeker) (io.Reader, error) {
	first := make([]byte, 1)
	n, err := io.ReadFull(r, first)
	if err != nil && err != io.EOF {
		return nil, err
	}
	for _, offset := range []int64{0, int64(n)} {
		if _, err := r.Seek(offset, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return io.MultiReader(bytes.NewReader(first[:n]), r), nil
}

// keep gives what lies at p.Path a second name, or makes a copy of it where the
// kernel refuses that. It reports false if the previous file is that already.
func (s *swap) keep(ctx context.Context, p Program, old durable.Info) (bool, error) {
	previous, there, err := s.lstat(p.PreviousPath())
	if err != nil {
		return false, err
	}
	if there && previous.Same(old) {
		return false, nil
	}
	err = s.fs.Link(p.Path, p.keptPath())
	if err == nil {
		return true, nil
	}
	if !linkRefused(err) {
		return false, err
	}
	if there {
		same, err := s.sameFile(ctx, p.Path, p.PreviousPath())
		if err != nil || same {
			return false, err
		}
	}
	why := err
	if err := s.clone(ctx, p, p.Path, p.keptPath()); err != nil {
		return false, err
	}
	s.note("the kernel does not let this process make a hard link to %s (%v); the previous program is kept as a copy.", p.Base(), errnoOf(why))
	return true, nil
}

// clone copies from to a new file called to, with everything the file has. It is
// made under the one name that capabilities may be given to.
func (s *swap) clone(ctx context.Context, p Program, from, to string) error {
	f, err := s.fs.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := s.make(ctx, copyJob{to: p.NextPath(), from: f, size: info.Size, like: from}); err != nil {
		return err
	}
	if to == p.NextPath() {
		return nil
	}
	return s.fs.Rename(p.NextPath(), to)
}

// sameFile reports whether two files have the same content, mode and
// capabilities. Owners may differ: a copy exists where the owner could not be kept.
func (s *swap) sameFile(ctx context.Context, a, b string) (bool, error) {
	fa, err := s.fs.Open(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := s.fs.Open(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	ia, err := fa.Stat()
	if err != nil {
		return false, err
	}
	ib, err := fb.Stat()
	if err != nil || ia.Size != ib.Size || ia.Mode != ib.Mode {
		return false, err
	}
	xa, err := fa.Xattrs()
	if err != nil {
		return false, err
	}
	xb, err := fb.Xattrs()
	if err != nil || !bytes.Equal(xa[attrCapability], xb[attrCapability]) {
		return false, err
	}
	return sameBytes(ctx, fa, fb)
}

// linkRefused reports whether a copy is the way out: fs.protected_hardlinks, a
// file with as many names as the file system allows, or one that has no links.
func linkRefused(err error) bool {
	return refused(err) || errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.EXDEV)
}

func errnoOf(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
