package tracking

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// NewFile opens the Store in the file at path, which is created by the first
// Swap; its directory must exist. A path that is a symbolic link is followed
// now, once. The File holds a lock on path + ".lock", an empty file that stays,
// until Close or the end of the process; exec in place ends it too, since the
// descriptor is closed then.
//
// The error wraps ErrLocked if somebody else has the file open, ErrFormat if a
// newer release wrote it, ErrDamaged if its content is not whole, and
// errors.ErrUnsupported where the operating system has no locks. In none of
// these cases is the file changed.
func NewFile(path string) (*File, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("tracking: open %s: %w", path, err)
	}
	lock, doc, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("tracking: open %s: %w", path, err)
	}
	return &File{
		path:    path,
		lock:    lock,
		write:   durable.WriteFile,
		writing: make(chan struct{}, 1),
		doc:     doc,
		changed: make(chan struct{}),
	}, nil
}

// open locks and reads the file at path.
func open(path string) (lock *os.File, doc document, err error) {
	lock, err = lockFile(path + ".lock")
	if err != nil {
		if errors.Is(err, ErrLocked) {
			err = fmt.Errorf("%w; end that one first, or give this one a path of its own", err)
		}
		return nil, doc, err
	}
	if doc, err = readDocument(path); err == nil {
		err = durable.SweepTemps(path)
	}
	if err != nil {
		return nil, doc, errors.Join(err, lock.Close())
	}
	return lock, doc, nil
}

// resolve returns the absolute path of the file that path names.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return abs, err
		}
		return real, nil
	}
	if _, err := os.Lstat(abs); err == nil {
		return abs, errors.New("a symbolic link to a file that does not exist; remove it, or create the file's directory and name the file itself")
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return abs, err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// Close lets go of the file, after a write that is under way. Every later call,
// and every Wait, returns an error that wraps fs.ErrClosed, until Reopen.
func (f *File) Close() error {
	f.writing <- struct{}{}
	defer func() { <-f.writing }()
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.broken, fs.ErrClosed) {
		return nil
	}
	f.broken = fs.ErrClosed
	f.wake()
	if err := f.lock.Close(); err != nil {
		return fmt.Errorf("tracking: close %s: %w", f.path, err)
	}
	return nil
}

// Reopen opens the File again after Close, as NewFile would: for a server that
// let go of it for a successor which came to nothing. What others have written
// meanwhile is read, and revisions go on. After an error, one of those of NewFile,
// the File is closed as before. It does nothing to a File that is open.
func (f *File) Reopen() error {
	f.writing <- struct{}{}
	defer func() { <-f.writing }()
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	if broken == nil {
		return nil
	}
	if !errors.Is(broken, fs.ErrClosed) {
		return fmt.Errorf("tracking: open %s again: %w", f.path, broken)
	}
	lock, doc, err := open(f.path)
	if err != nil {
		return fmt.Errorf("tracking: open %s again: %w", f.path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lock, f.doc, f.broken = lock, doc, nil
	f.wake()
	return nil
}
