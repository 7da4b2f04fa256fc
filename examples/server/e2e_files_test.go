package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A trace is what an upload could leave behind.
type trace struct {
	Stored    []string // files in the archive store
	Installed []string // names beside the program
	Program   string   // digest of it
	Companion string
	Record    string // what it says is there
	Version   string // that answers
	PID       int
}

// trace looks at everything that an upload may touch.
func (k *kvd) trace() trace {
	k.t.Helper()
	i := k.info()
	return trace{
		Stored: filesIn(k.t, filepath.Join(k.data, "archives")), Installed: namesIn(k.t, filepath.Dir(k.program)),
		Program: digestOf(k.t, k.program), Companion: digestOf(k.t, filepath.Join(filepath.Dir(k.program), "kvctl")),
		Record: k.status().Status, Version: i.Version, PID: i.PID,
	}
}

// filesIn returns the files at any depth of dir.
func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// namesIn returns what lies in dir, but for the journal, which is there always.
func namesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ".kvd.upgrade.json" {
			names = append(names, e.Name())
		}
	}
	return names
}

func digestOf(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// skip ends the test, unless nothing may be skipped here.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("LEADERLAST_NOSKIP") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
