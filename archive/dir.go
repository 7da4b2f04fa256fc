package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/spf13/afero"
)

// A Dir is a Store in a directory:
//
//	sha256/ab/ab12…   a blob, its name the digits of its digest, mode 0600
//	tmp/put-…         a blob that is being written
//
// Blobs get their name by a rename once they are complete and flushed, so a
// crash leaves files in tmp and nothing else; the next NewDir removes those. Names in an
// archive never become paths here. Several processes may use one directory.
//
// How durable a nil from Put is, is up to the file system: afero's memory one
// forgets all, and one that cannot flush a directory may lose a name in a crash
// of the machine.
type Dir struct {
	fsys afero.Fs
	path string
	mu   sync.Mutex // while names change: not every afero.Fs stands two renames at once
}

var _ Store = (*Dir)(nil)

// OpenDir is NewDir on the file system of the operating system.
func OpenDir(path string) (*Dir, error) { return NewDir(afero.NewOsFs(), path) }

// NewDir returns the store in the directory path of fsys, and makes the
// directory, open to the owner alone, if it is not there. A directory in which
// everybody may rename files is refused. What writers that died have left there
// is swept; if that fails the store works all the same.
func NewDir(fsys afero.Fs, path string) (*Dir, error) {
	d := &Dir{fsys: fsys, path: path}
	if path == "" {
		return nil, fmt.Errorf("archive: store: empty path: %w", fs.ErrInvalid)
	}
	for _, dir := range []string{path, d.blobs(), d.tmp()} {
		if err := fsys.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("archive: make store: %w", err)
		}
	}
	info, err := fsys.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("archive: make store: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("archive: make store: %s is not a directory: %w", path, fs.ErrInvalid)
	}
	if m := info.Mode(); runtime.GOOS != "windows" && m.Perm()&0o002 != 0 && m&fs.ModeSticky == 0 {
		return nil, fmt.Errorf("archive: make store: everybody may write to %s; chmod o-w it: %w", path, fs.ErrPermission)
	}
	_ = d.Sweep(context.Background()) // the next one tries again
	return d, nil
}

// Path returns the directory the store is in.
func (d *Dir) Path() string { return d.path }

func (d *Dir) blobs() string { return filepath.Join(d.path, "sha256") }
func (d *Dir) tmp() string   { return filepath.Join(d.path, "tmp") }

// blob returns the place of a valid digest, and of the directory it is in.
func (d *Dir) blob(digest Digest) (dir, name string) {
	hex := digest.Hex()
	dir = filepath.Join(d.blobs(), hex[:2])
	return dir, filepath.Join(dir, hex)
}

// Open implements Opener. The reader also is an io.ReaderAt; what ReadAt
// returns is compared with nothing.
func (d *Dir) Open(ctx context.Context, digest Digest) (r io.ReadSeekCloser, size int64, err error) {
	if ctx.Err() != nil {
		return nil, 0, fmt.Errorf("archive: open %s: %w", digest, context.Cause(ctx))
	}
	if !digest.Valid() {
		return nil, 0, fmt.Errorf("archive: open %.80q: not a digest: %w", string(digest), fs.ErrNotExist)
	}
	_, name := d.blob(digest)
	f, err := d.fsys.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("archive: open %s: %w", digest, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrInvalid
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("archive: open %s: %w", digest, err)
	}
	return &blobReader{f: f, want: digest, hash: sha256.New()}, info.Size(), nil
}

// Delete implements Store.
func (d *Dir) Delete(ctx context.Context, digest Digest) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("archive: delete %s: %w", digest, context.Cause(ctx))
	}
	if !digest.Valid() {
		return nil // names nothing
	}
	_, name := d.blob(digest)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("archive: delete %s: %w", digest, err)
	}
	return nil
}

// List implements Store. A blob that comes or goes meanwhile may be missed.
func (d *Dir) List(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		fans, err := d.names(d.blobs())
		if err != nil {
			yield(Info{}, fmt.Errorf("archive: list: %w", err))
			return
		}
		for _, fan := range fans {
			names, err := d.names(filepath.Join(d.blobs(), fan))
			if err != nil {
				yield(Info{}, fmt.Errorf("archive: list: %w", err))
				return
			}
			for _, name := range names {
				if ctx.Err() != nil {
					yield(Info{}, fmt.Errorf("archive: list: %w", context.Cause(ctx)))
					return
				}
				digest := Digest(digestPrefix + name)
				if !digest.Valid() || !strings.HasPrefix(name, fan) || len(fan) != 2 {
					continue // not ours
				}
				info, err := d.fsys.Stat(filepath.Join(d.blobs(), fan, name))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					yield(Info{}, fmt.Errorf("archive: list: %w", err))
					return
				}
				if info.Mode().IsRegular() && !yield(Info{Digest: digest, Size: info.Size()}, nil) {
					return
				}
			}
		}
	}
}

// names lists a directory that may not be there, or be something else.
func (d *Dir) names(dir string) ([]string, error) {
	f, err := d.fsys.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return nil, err
	}
	return f.Readdirnames(-1)
}
