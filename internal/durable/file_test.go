package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// names returns what lies in dir, in order.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run.json")
	for _, content := range []string{"first", "", "a longer third one"} {
		if err := WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("read back %q, %v; want %q", got, err, content)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got&^0o640 != 0 || got&0o600 != 0o600 {
			t.Errorf("mode %v, want 0640 less the umask", got)
		}
	}
}

func TestWriteFileRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := WriteFile("run.json", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SweepTemps("run.json"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(names(t, ".")); got != "[run.json]" {
		t.Error(got)
	}
}

// A link at the path is replaced: what it points to belongs to somebody else.
func TestWriteFileReplacesLink(t *testing.T) {
	dir := t.TempDir()
	other, path := filepath.Join(dir, "other"), filepath.Join(dir, "run.json")
	if err := os.WriteFile(other, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil {
		if runtime.GOOS == "windows" {
			t.Skip("needs the right to make symbolic links: ", err)
		}
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(other); string(got) != "theirs" {
		t.Errorf("the target of the link now holds %q", got)
	}
}

func TestWriteFileError(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(filepath.Join(dir, "absent", "run.json"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory missing: %v, want fs.ErrNotExist", err)
	}

	// The rename fails when everything before it went well.
	path := filepath.Join(dir, "run.json")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, []byte("x"), 0o600)
	if err == nil || errors.Is(err, ErrUnsynced) {
		t.Errorf("path is a directory: %v, want a plain error", err)
	}
	if got := fmt.Sprint(names(t, dir)); got != "[run.json]" {
		t.Errorf("a failed write left %s", got)
	}
}

// Writers of one path never mix their contents.
func TestWriteFileConcurrent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run.json")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				if err := WriteFile(path, bytes.Repeat([]byte{byte('a' + i)}, 10_000), 0o600); err != nil {
					t.Error(err)
				}
				got, err := os.ReadFile(path)
				if err != nil || len(got) != 10_000 || len(bytes.Trim(got, string(got[:1]))) != 0 {
					t.Errorf("a mixture of %d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}

func TestSweepTemps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run.json")
	keep := []string{"run.json", ".run.json.tmp-mine", ".other.json.tmp-1", "run.json.tmp-1"}
	for _, name := range append(keep, ".run.json.tmp-17", ".run.json.tmp-4294967295") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".run.json.tmp-9"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := SweepTemps(path); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != len(keep)+1 {
		t.Errorf("left: %q, want %q and one directory", got, keep)
	}
}

func TestSyncDir(t *testing.T) {
	if err := SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := SyncDir(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such directory: %v, want fs.ErrNotExist", err)
	}
}
