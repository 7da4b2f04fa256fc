package upgrade

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A fakeRelease has files by base name.
type fakeRelease map[string]string

func digestOf(s string) archive.Digest {
	sum := sha256.Sum256([]byte(s))
	return archive.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func (r fakeRelease) files() map[string]archive.File {
	fs := make(map[string]archive.File)
	for name, content := range r {
		fs[name] = archive.File{Name: "bin/any/" + name, Digest: digestOf(content), Size: int64(len(content))}
	}
	return fs
}

type seekCloser struct{ io.ReadSeeker }

func (seekCloser) Close() error { return nil }

func (r fakeRelease) open(_ context.Context, name string) (io.ReadSeekCloser, int64, error) {
	content, ok := r[filepath.Base(name)]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return seekCloser{strings.NewReader(content)}, int64(len(content)), nil
}

// An installation is a directory with a server and a tool beside it.
type installation struct {
	dir  string
	exe  *Executable
	caps *fakeCopier
}

// fakeCopier keeps capabilities in an attribute that needs no rights, and sets
// it through the FS, so that its order among the other operations is seen.
type fakeCopier struct {
	fs  durable.FS
	err error
}

const fakeCaps = "user.leaderlast.capability"

func (c *fakeCopier) Copy(_ context.Context, dst, src string) error {
	if c.err != nil {
		return c.err
	}
	s, err := c.fs.Open(src)
	if err != nil {
		return err
	}
	defer s.Close()
	d, err := c.fs.Open(dst)
	if err != nil {
		return err
	}
	defer d.Close()
	attrs, err := s.Xattrs()
	if err != nil || attrs[fakeCaps] == nil {
		return err
	}
	have, err := d.Xattrs()
	if err != nil || bytes.Equal(have[fakeCaps], attrs[fakeCaps]) {
		return err
	}
	return d.SetXattr(fakeCaps, attrs[fakeCaps])
}

func (c *fakeCopier) Check(context.Context, string, string) error { return nil }

// fastDir returns a directory in memory where that has extended attributes.
func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "leaderlast")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f, err := durable.OS{}.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return t.TempDir()
	}
	defer os.Remove(filepath.Join(dir, "probe"))
	defer f.Close()
	if f.SetXattr(fakeCaps, []byte("=ep")) != nil {
		return t.TempDir()
	}
	return dir
}

func install(t testing.TB, files fakeRelease) *installation {
	t.Helper()
	in := &installation{dir: fastDir(t)}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(in.dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	in.open(t, nil)
	return in
}

// open makes a new Executable, as a new process would.
func (in *installation) open(t testing.TB, fs durable.FS) *Executable {
	t.Helper()
	if fs == nil {
		fs = durable.OS{}
	}
	p, err := ProgramAt(filepath.Join(in.dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	in.caps = &fakeCopier{fs: fs}
	in.exe = &Executable{Program: p, Companions: []string{"tool"}, Copier: in.caps, fs: fs}
	return in.exe
}

func (in *installation) read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(in.dir, name))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(b)
}

// names returns what lies in the directory.
func (in *installation) names(t testing.TB) string {
	t.Helper()
	entries, err := os.ReadDir(in.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (in *installation) upgrade(t testing.TB, r fakeRelease) Prepared {
	t.Helper()
	p, err := in.exe.prepare(t.Context(), r.files(), r.open)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.exe.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// needs skips a test that cannot run here, or fails it where all must run.
func needs(t testing.TB, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("LEADERLAST_NOSKIP") != "" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}

// quick is the file system without waiting for the disk.
type quick struct{ durable.OS }

type quickFile struct{ durable.File }

func (quick) SyncDir(string) error { return nil }
func (quickFile) Sync() error      { return nil }

func (q quick) Create(path string) (durable.File, error) {
	f, err := q.OS.Create(path)
	if err != nil {
		return nil, err
	}
	return quickFile{f}, nil
}
