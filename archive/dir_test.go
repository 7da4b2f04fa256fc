package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/spf13/afero"
)

func newDir(t testing.TB, fsys afero.Fs, path string) *archive.Dir {
	t.Helper()
	d, err := archive.NewDir(fsys, path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDir(t *testing.T) {
	t.Run("Os", func(t *testing.T) {
		archivetest.TestStore(t, func(t *testing.T) archive.Store {
			return newDir(t, afero.NewOsFs(), filepath.Join(t.TempDir(), "store"))
		})
	})
	t.Run("Mem", func(t *testing.T) {
		archivetest.TestStore(t, func(t *testing.T) archive.Store {
			return newDir(t, afero.NewMemMapFs(), "/store")
		})
	})
}

func TestDirModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // has no modes
	}
	root := filepath.Join(t.TempDir(), "store")
	d := newDir(t, afero.NewOsFs(), root)
	if _, err := d.Put(t.Context(), "", strings.NewReader("private")); err != nil {
		t.Fatal(err)
	}
	files := 0
	filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := fs.ModeDir | 0o700
		if !e.IsDir() {
			files++
			want = 0o600
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	})
	if files != 1 {
		t.Errorf("%d files", files)
	}

	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	os.Chmod(open, 0o777)
	if _, err := archive.NewDir(afero.NewOsFs(), open); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a directory that everybody may write to: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, nil)
	if _, err := archive.NewDir(afero.NewOsFs(), file); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// A blob whose bytes have rotted is noticed by whoever reads it through, and
// mended by the next Put.
func TestDirRot(t *testing.T) {
	root := t.TempDir()
	d := newDir(t, afero.NewOsFs(), root)
	content := strings.Repeat("fresh ", 100000)
	digest, err := d.Put(t.Context(), "", strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "sha256", digest.Hex()[:2], digest.Hex())
	for _, rot := range []string{content[:len(content)-1], content + "!", "F" + content[1:], ""} {
		writeFile(t, path, []byte(rot))
		r, _, err := d.Open(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, archive.ErrDigest) {
			t.Errorf("reading %d bytes of rot: %v", len(rot), err)
		}
		// From the start again, also after having been elsewhere.
		r.Seek(3, io.SeekStart)
		r.Seek(0, io.SeekStart)
		if _, err := io.ReadAll(r); !errors.Is(err, archive.ErrDigest) {
			t.Errorf("reading %d bytes of rot again: %v", len(rot), err)
		}
		r.Close()
	}
	if _, err := d.Put(t.Context(), digest, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	r, _, err := d.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != content {
		t.Errorf("after repair: %d bytes, %v", len(b), err)
	}
}

// faultFs fails calls on files, and leaves what they did undone.
type faultFs struct {
	afero.Fs
	fail func(op, name string) error
}

func (f faultFs) OpenFile(name string, flag int, perm os.FileMode) (afero.File, error) {
	if err := f.fail("create", name); err != nil {
		return nil, err
	}
	file, err := f.Fs.OpenFile(name, flag, perm)
	return faultFile{file, f.fail}, err
}

func (f faultFs) Open(name string) (afero.File, error) {
	file, err := f.Fs.Open(name)
	if err != nil {
		return nil, err
	}
	return faultFile{file, f.fail}, nil
}

func (f faultFs) Rename(from, to string) error {
	if err := f.fail("rename", to); err != nil {
		return err
	}
	return f.Fs.Rename(from, to)
}

func (f faultFs) Mkdir(name string, perm os.FileMode) error {
	if err := f.fail("mkdir", name); err != nil {
		return err
	}
	return f.Fs.Mkdir(name, perm)
}

func (f faultFs) Remove(name string) error {
	if err := f.fail("remove", name); err != nil {
		return err
	}
	return f.Fs.Remove(name)
}

type faultFile struct {
	afero.File
	fail func(op, name string) error
}

func (f faultFile) Write(p []byte) (int, error) {
	if err := f.fail("write", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f faultFile) Sync() error {
	if err := f.fail("sync", f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f faultFile) Close() error {
	err := f.File.Close()
	if fail := f.fail("close", f.Name()); fail != nil {
		return fail
	}
	return err
}

// Every call of a Put fails in turn: with an error, and as if the process had
// died there, all later calls failing too.
func TestDirPutFaults(t *testing.T) {
	content := strings.Repeat("x", 600<<10) // three writes
	digest := archive.DigestOf([]byte(content))
	for _, crash := range []bool{false, true} {
		for nth, done := 1, false; !done; nth++ {
			root := t.TempDir()
			good := newDir(t, afero.NewOsFs(), root)
			calls, at := 0, ""
			d := newDir(t, faultFs{afero.NewOsFs(), func(op, name string) error {
				calls++
				if calls == nth || crash && calls > nth {
					if calls == nth {
						at = op
					}
					return &fs.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
				}
				return nil
			}}, root)
			_, err := d.Put(t.Context(), digest, strings.NewReader(content))
			if done = calls < nth; done {
				if err != nil || nth < 8 {
					t.Errorf("Put without a fault, of %d calls: %v", calls, err)
				}
				break
			}
			if at == "close" && err == nil {
				continue // of a directory
			}
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "disk is full") {
				t.Errorf("call %d, %s: %v", nth, at, err)
			}
			if !crash {
				// A blob whose name cannot be taken away again is all that may be left.
				if n := len(tree(t, root)); n != 0 && at != "remove" {
					t.Errorf("call %d, %s: %v is left", nth, at, tree(t, root))
				}
				continue
			}
			if r, _, err := good.Open(t.Context(), digest); err == nil {
				b, err := io.ReadAll(r)
				r.Close()
				if err != nil || string(b) != content {
					t.Errorf("crash at call %d, %s: the blob has %d bytes, %v", nth, at, len(b), err)
				}
			}
			if _, err := good.Put(t.Context(), digest, strings.NewReader(content)); err != nil {
				t.Errorf("crash at call %d, %s: afterwards %v", nth, at, err)
			}
			if left := tree(t, root); len(left) > 1 {
				aged(t, root)
				if err := good.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if left := tree(t, root); len(left) != 1 {
				t.Errorf("crash at call %d, %s: after the sweep %v", nth, at, left)
			}
		}
	}
}

// A blob is flushed before it gets its name, and its name before Put returns.
func TestDirPutOrder(t *testing.T) {
	root := t.TempDir()
	var ops []string
	d := newDir(t, faultFs{afero.NewOsFs(), func(op, name string) error {
		if rel, err := filepath.Rel(root, name); err == nil && op != "write" && op != "close" {
			ops = append(ops, op+" "+strings.Split(filepath.ToSlash(rel), "/")[0]+strings.Repeat("/", strings.Count(filepath.ToSlash(rel), "/")))
		}
		return nil
	}}, root)
	if _, err := d.Put(t.Context(), "", strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	got, want := strings.Join(ops, ", "), "create tmp/, sync tmp/, mkdir sha256/, rename sha256//, sync sha256/, sync sha256"
	if got != want {
		t.Errorf("Put does\n%s, want\n%s", got, want)
	}
}

// tree lists the files below root.
func tree(t *testing.T, root string) (files []string) {
	filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if !e.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	return files
}

// aged makes everything in tmp look as if nobody had touched it for a day.
func aged(t *testing.T, root string) {
	for _, path := range tree(t, filepath.Join(root, "tmp")) {
		if err := os.Chtimes(path, time.Now().Add(-24*time.Hour), time.Now().Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDirSweep: without a writer a file is swept at once where files can be
// locked, and after an hour elsewhere; with one it is not.
func TestDirSweep(t *testing.T) {
	for name, fsys := range map[string]afero.Fs{
		"real":    afero.NewOsFs(),
		"no lock": afero.NewBasePathFs(afero.NewOsFs(), "/"),
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && name == "real" {
				t.Skip("files are not locked here")
			}
			root := t.TempDir()
			d := newDir(t, fsys, root)
			const name = "put-00112233445566778899aabbccddeeff"
			for file, text := range map[string]string{
				filepath.Join("tmp", name): "left", filepath.Join("tmp", "put-mine"): "not ours",
				filepath.Join("tmp", "notes.txt"): "not ours", name: "elsewhere",
			} {
				writeFile(t, filepath.Join(root, file), []byte(text))
			}
			r, w := io.Pipe()
			put := make(chan error)
			go func() { _, err := d.Put(t.Context(), "", r); put <- err }()
			w.Write([]byte("being written")) // it was created by now
			want := 4                        // with that of the Put
			if fsys.Name() != "OsFs" {
				want = 5
			}
			if err := d.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, root); len(got) != want {
				t.Errorf("after a sweep there are %v, want %d", got, want)
			}
			w.Close()
			if err := <-put; err != nil {
				t.Errorf("the sweep disturbed a writer: %v", err)
			}
			aged(t, root)
			newDir(t, fsys, root) // sweeps too
			left := strings.Join(tree(t, root), " ")
			if strings.Contains(left, filepath.Join("tmp", name)) || len(tree(t, root)) != 4 {
				t.Errorf("after the last sweep: %s", left)
			}
		})
	}
}

// What lies about in the directory is not a blob.
func TestDirForeignFiles(t *testing.T) {
	root := t.TempDir()
	d := newDir(t, afero.NewOsFs(), root)
	hex := archive.DigestOf(nil).Hex()
	writeFile(t, filepath.Join(root, "sha256", "README"), nil)
	writeFile(t, filepath.Join(root, "sha256", "00", hex), nil) // in the wrong place
	writeFile(t, filepath.Join(root, "sha256", hex[:2], "x"), nil)
	if err := os.MkdirAll(filepath.Join(root, "sha256", hex[:2], hex), 0o700); err != nil {
		t.Fatal(err)
	}
	for info, err := range d.List(t.Context()) {
		t.Errorf("listed: %v, %v", info, err)
	}
	if r, _, err := d.Open(t.Context(), archive.DigestOf(nil)); err == nil {
		r.Close()
		t.Error("a directory can be opened as a blob")
	}
}

func TestDirCancelled(t *testing.T) {
	d := newDir(t, afero.NewMemMapFs(), "/store")
	why := errors.New("the operator left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, put := d.Put(ctx, "", bytes.NewReader(nil))
	_, _, open := d.Open(ctx, archive.DigestOf(nil))
	for what, err := range map[string]error{"put": put, "open": open, "delete": d.Delete(ctx, archive.DigestOf(nil))} {
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestParseDigest(t *testing.T) {
	good := "sha256:" + strings.Repeat("0a", 32)
	if d, err := archive.ParseDigest(good); err != nil || string(d) != good || d.Hex() != good[7:] {
		t.Errorf("ParseDigest(%q) = %q, %v", good, d, err)
	}
	for _, s := range []string{"", "sha256:", good[7:], strings.ToUpper(good), good + "0", good[:70], "sha512:" + good[7:], good[:70] + "/", " " + good} {
		if d, err := archive.ParseDigest(s); !errors.Is(err, fs.ErrInvalid) || d != "" {
			t.Errorf("ParseDigest(%q) = %q, %v", s, d, err)
		}
	}
	r := archive.Verify(strings.NewReader("abc"), archive.DigestOf([]byte("abd")))
	if b, err := io.ReadAll(r); !errors.Is(err, archive.ErrDigest) || string(b) != "abc" {
		t.Errorf("Verify: %q, %v", b, err)
	}
	if _, err := io.ReadAll(archive.Verify(strings.NewReader("abc"), archive.DigestOf([]byte("abc")))); err != nil {
		t.Errorf("Verify: %v", err)
	}
}
