package faultfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// replace is the classic: new file, synced, renamed over the old one.
func replace(fs durable.FS, dir string, syncFile, syncDir bool) error {
	f, err := fs.Create(filepath.Join(dir, "temp"))
	if err != nil {
		return err
	}
	if _, err = f.Write([]byte("new!")); err == nil && syncFile {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(filepath.Join(dir, "temp"), filepath.Join(dir, "target"))
	}
	if err == nil && syncDir {
		err = fs.SyncDir(dir)
	}
	return err
}

func newDir(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "target"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFailAt(t *testing.T) {
	count := &FS{Under: durable.OS{}}
	if err := replace(count, newDir(t), true, true); err != nil {
		t.Fatal(err)
	}
	if count.Count() != 6 {
		t.Fatalf("%d operations", count.Count())
	}
	for n := 1; n <= count.Count(); n++ {
		var ops []string
		f := &FS{Under: durable.OS{}}
		fail := FailAt(n, syscall.ENOSPC, true)
		f.Before = func(o Op) error { ops = append(ops, o.Name); return fail(o) }
		err := replace(f, newDir(t), true, true)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("operation %d (%v): %v", n, ops, err)
		}
	}
}

func TestShortWrite(t *testing.T) {
	dir := newDir(t)
	f := &FS{Under: durable.OS{}, Before: FailAt(2, syscall.ENOSPC, false), Short: true}
	if err := replace(f, dir, true, true); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "temp")); string(b) != "ne" {
		t.Errorf("temp has %q", b)
	}
}

// TestCrashes says which mistakes the model sees: it is the proof of the proofs
// that rest on it.
func TestCrashes(t *testing.T) {
	for _, c := range []struct {
		name              string
		syncFile, syncDir bool
		torn, lost        bool // target neither old nor new; new gone again after success
	}{
		{"all", true, true, false, false},
		{"no sync of the file", false, true, true, true},
		{"no sync of the directory", true, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newDir(t)
			log, err := NewLog(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := replace(&FS{Under: durable.OS{}, Log: log}, dir, c.syncFile, c.syncDir); err != nil {
				t.Fatal(err)
			}
			torn, lost, n := false, false, 0
			for s := range log.Crashes() {
				n++
				at := t.TempDir()
				if _, err := s.Mount(at); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(filepath.Join(at, "target"))
				if err != nil {
					t.Fatal(err)
				}
				torn = torn || string(b) != "old" && string(b) != "new!"
				lost = lost || string(b) != "new!" && s.Final
			}
			if torn != c.torn || lost != c.lost {
				t.Errorf("torn %v, lost %v in %d states", torn, lost, n)
			}
		})
	}
}

func TestMountKeepsLinksAndAttributes(t *testing.T) {
	dir := newDir(t)
	log, err := NewLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := &FS{Under: durable.OS{}, Log: log}
	if err := f.Link(filepath.Join(dir, "target"), filepath.Join(dir, "second")); err != nil {
		t.Fatal(err)
	}
	found := false
	for s := range log.Crashes() {
		if !strings.Contains(s.String(), "second") {
			continue
		}
		found = true
		at := t.TempDir()
		l, err := s.Mount(at)
		if err != nil {
			t.Fatal(err)
		}
		m := &FS{Under: durable.OS{}, Log: l}
		a, aerr := m.Lstat(filepath.Join(at, "target"))
		b, berr := m.Lstat(filepath.Join(at, "second"))
		old, _ := f.Lstat(filepath.Join(dir, "target"))
		if aerr != nil || berr != nil || !a.Same(b) || !a.Same(old) {
			t.Errorf("%+v %+v %+v %v %v", a, b, old, aerr, berr)
		}
	}
	if !found {
		t.Error("the link never reached a disk")
	}
}
