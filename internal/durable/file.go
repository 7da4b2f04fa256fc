package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// tempMark stands between the name of a file and the random end of the name of
// its temporary: ".run.json.tmp-482917" for "run.json".
const tempMark = ".tmp-"

// WriteFile replaces the file at path by one that holds data, or makes it.
// Whatever dies, and whenever, path holds all of the old content or all of the
// new one; once WriteFile has returned nil it holds the new one across a loss
// of power too.
//
// The new file has the mode perm before the umask, and the owner of the
// process. A symbolic link at path is replaced, not followed. Several writers
// of one path do not mix their contents; the last one to rename wins.
//
// After an error path still holds the old content, unless the error wraps
// ErrUnsynced. The temporary file is removed; one that a crash leaves behind is
// found by SweepTemps. A refused fsync is not repeated: the kernel may drop the
// pages it could not write and report success the second time.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := createTemp(path, perm)
	if err != nil {
		return fmt.Errorf("durable: write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		if e := os.Remove(f.Name()); e != nil {
			err = errors.Join(err, e)
		}
		return fmt.Errorf("durable: write %s: %w", path, err)
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("durable: write %s: %w: %w", path, ErrUnsynced, err)
	}
	return nil
}

// ErrUnsynced says that a file was replaced but that its directory was not
// written out: the new content is seen now, and a crash may bring back the old.
var ErrUnsynced = errors.New("replaced, but a crash may undo it")

// SweepTemps removes the temporary files that writes of path have left behind
// because their process died. Only somebody who knows that nobody is writing
// path may call it.
func SweepTemps(path string) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("durable: sweep beside %s: %w", path, err)
	}
	var errs []error
	for _, e := range entries {
		// Only what createTemp makes: a name of the user's may begin alike.
		end, ours := strings.CutPrefix(e.Name(), "."+name+tempMark)
		if !ours || strings.Trim(end, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("durable: sweep beside %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// createTemp creates a file that did not exist, beside path, so that a rename
// stays within one file system.
func createTemp(path string, perm fs.FileMode) (*os.File, error) {
	dir, name := filepath.Split(path)
	for range 10000 {
		temp := filepath.Join(dir, fmt.Sprintf(".%s%s%d", name, tempMark, rand.Uint32()))
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("no free name for a temporary file: %w", fs.ErrExist)
}
