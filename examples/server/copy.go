package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A version that may be put back finds data that it can read. The one on trial
// keeps a copy of them as it found them, whether or not it means to change their
// format: it may be no good in any way. If the version that is back can read what
// lies there, nothing that was answered meanwhile is lost. If it cannot, it takes
// the copy, and sets aside what it cannot read: nothing that was answered is thrown
// away without the operator.

// copyPath is where the data lie as a version left them.
func (s *server) copyPath(version string) string { return s.dataPath() + ".copy." + version }

// asidePath is where data are set aside that were written to last then.
func (s *server) asidePath(written time.Time) string {
	return s.dataPath() + ".aside." + written.UTC().Format("20060102T150405.000000000Z")
}

// keepCopy copies the data for the version from before, before this one opens them.
// It is done once in a trial: a later start might copy what an earlier one has
// spoilt. A copy is whole or has another name, and those of earlier versions go,
// since nobody goes back to them any more.
func (s *server) keepCopy(version string) error {
	path := s.copyPath(version)
	if !exists(path) {
		if err := durableCopy(path, s.dataPath()); err != nil {
			return fmt.Errorf("keep a copy for version %s: %w", version, err)
		}
	}
	return s.removeCopies(path)
}

// putBack sees to it that this version, put back in place of another, finds data
// that it can read. It may be called again wherever it was cut off.
func (s *server) putBack() error {
	data, kept := s.dataPath(), s.copyPath(version)
	lines, bad := survey(data, s.format)
	missing := errors.Is(bad, fs.ErrNotExist)
	if bad != nil && !missing && !errors.Is(bad, errUnreadable) {
		return bad // a disk that does not answer says nothing about the data
	}
	before, worse := survey(kept, s.format)
	switch {
	case errors.Is(worse, fs.ErrNotExist): // the other version never came to open them
		return s.removeCopy()
	case bad == nil && (lines > 0 || worse == nil && before == 0):
		return s.removeCopy()
	case bad == nil:
		bad = fmt.Errorf("%w: there is nothing in them", errUnreadable)
	}
	if worse != nil {
		return fmt.Errorf("neither the data in %s nor the copy of them in %s can be read: %w; %w; put a backup in place of %s, move the copy away, and start the server again",
			data, kept, bad, worse, data)
	}
	since, err := os.Stat(kept)
	if err != nil {
		return err
	}
	told := []any{"file", "none: the data were gone"}
	if !missing {
		aside, err := s.setAside()
		if err != nil {
			return err
		}
		told = []any{"file", aside, "to_read_them", "put that file as kv.log into a directory of its own, and start the version that wrote it there; a commit removes it"}
	}
	s.log.Warn("the data are back as this version left them: what was written since is in that file only",
		append([]any{"since", since.ModTime().UTC().Format(time.RFC3339), "because", bad}, told...)...)
	if err := os.Rename(kept, data); err != nil {
		return err
	}
	return errors.Join(syncDir(s.dir), s.removeCopy())
}

// setAside gives the data a second name, which tells when they were written to last,
// and returns it. Until the copy takes their first one there are data.
func (s *server) setAside() (string, error) {
	info, err := os.Stat(s.dataPath())
	if err != nil {
		return "", err
	}
	path := s.asidePath(info.ModTime())
	err = os.Link(s.dataPath(), path)
	if there, e := os.Stat(path); e == nil && os.SameFile(there, info) {
		err = nil // now, or by a start that was cut off
	}
	if err != nil {
		return "", fmt.Errorf("set the data aside: %w", err)
	}
	return path, syncDir(s.dir)
}

// survey returns how many lines of data of that format, or of an older one, are
// whole. It changes nothing.
func survey(path string, format int) (lines int, err error) {
	there, err := formatOf(path)
	if err != nil {
		return 0, err
	}
	if there > format {
		return 0, fmt.Errorf("%w: they are of format %d, and this version reads format %d", errUnreadable, there, format)
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, lines, err = (&store{format: there, data: map[string]string{}, file: f}).replay()
	return lines, err
}

// readable says why the version from before could not read the data: it has a
// copy of its own, because they have changed since. A rollback is refused then.
func (s *server) readable(_ context.Context, version string) error {
	kept := s.copyPath(version)
	there, err := formatOf(kept)
	if err == nil && there != 0 && there != s.format {
		err = fmt.Errorf("they are of format %d by now, and what was written since its copy %s would be lost", s.format, kept)
	}
	return err
}

// accepted removes the copy that was for the trial alone: the version before reads
// the data as they are. One in another format stays until the commit, and with it
// the word that there is no way back without a loss.
func (s *server) accepted() {
	kept, err := filepath.Glob(s.copyPath("*"))
	for _, path := range kept {
		if there, e := formatOf(path); e == nil && there == s.format || strings.HasSuffix(path, unfinished) {
			err = errors.Join(err, os.Remove(path))
		}
	}
	if err != nil {
		s.log.Warn("remove the copy of the data", "error", err)
	}
}

// committed removes all that was kept: nobody goes back, and the operator has said
// so.
func (s *server) committed(context.Context) error {
	aside, err := filepath.Glob(s.dataPath() + ".aside.*")
	for _, path := range aside {
		err = errors.Join(err, os.Remove(path))
	}
	return errors.Join(err, s.removeCopies(""))
}

// removeCopies removes the copies, and the beginnings of such, but for one.
func (s *server) removeCopies(but string) error {
	copies, err := filepath.Glob(s.copyPath("*"))
	for _, path := range append(copies, s.dataPath()+unfinished) {
		if path != but {
			err = errors.Join(err, remove(path))
		}
	}
	return err
}

// removeCopy removes what was kept for this version.
func (s *server) removeCopy() error {
	kept := s.copyPath(version)
	return errors.Join(remove(kept), remove(kept+unfinished), remove(s.dataPath()+unfinished))
}

// remove removes a file that need not be there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// unfinished is the end of the name of a file that has yet to become whole.
const unfinished = ".new"

// durableCopy makes a durable copy at path, where a crash leaves all of it or none.
func durableCopy(path, from string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no data yet
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(path+unfinished, path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
