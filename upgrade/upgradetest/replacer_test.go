package upgradetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/upgrade"
)

var platform = archive.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}

// programs are what may be installed, by name.
func programs() map[string]string {
	p := make(map[string]string)
	for _, name := range []string{"one", "two", "three"} {
		p[name] = string(archivetest.Program(platform, name))
	}
	return p
}

// releases are checked once, and then installed by many.
type releases struct{ good, damaged map[string]archive.Verified }

func newReleases(t *testing.T) releases {
	t.Helper()
	r := releases{make(map[string]archive.Verified), make(map[string]archive.Verified)}
	for name, content := range programs() {
		release := func(store archive.Store) archive.Verified {
			return archivetest.Release(t, archivetest.Spec{Unsigned: true, Store: store, Files: map[string][]byte{
				"bin/" + platform.String() + "/server": []byte(content),
			}}).Verified
		}
		memory := &archivetest.Memory{}
		r.good[name], r.damaged[name] = release(nil), release(memory)
		for _, f := range r.damaged[name].Release().For(platform) {
			if err := memory.Delete(t.Context(), f.Digest); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// newPlace returns a Target of a directory of its own. replacer makes the
// Replacer of the program at a path; looks counts calls of Installed.
func newPlace(t *testing.T, r releases, looks *atomic.Int64, replacer func(path string) upgrade.Replacer) Target {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "server")
	known := programs()
	if err := os.WriteFile(path, []byte(known["one"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o751); err != nil {
		t.Fatal(err)
	}
	return Target{
		Replacer: replacer(path),
		Again:    func() upgrade.Replacer { return replacer(path) },
		Installed: func() (string, error) {
			b, err := os.ReadFile(path)
			looks.Add(1)
			if err != nil {
				return "", err
			}
			for name, content := range known {
				if string(b) == content {
					return name, nil
				}
			}
			return "", fmt.Errorf("%d bytes that are no whole program", len(b))
		},
		Attributes: func() (string, error) {
			info, err := os.Stat(path)
			if err != nil {
				return "", err
			}
			return info.Mode().String(), nil
		},
		Left: func() ([]string, error) {
			entries, err := os.ReadDir(dir)
			var left []string
			for _, e := range entries {
				if e.Name() != "server" && e.Name() != ".server.previous" {
					left = append(left, e.Name())
				}
			}
			return left, err
		},
		Release: func(program string) archive.Verified { return r.good[program] },
		Damaged: func(program string) archive.Verified { return r.damaged[program] },
	}
}

func TestExecutable(t *testing.T) {
	r := newReleases(t)
	TestReplacer(t, func(t *testing.T) Target {
		return newPlace(t, r, new(atomic.Int64), func(path string) upgrade.Replacer {
			p, err := upgrade.ProgramAt(path)
			if err != nil {
				t.Fatal(err)
			}
			return &upgrade.Executable{Program: p}
		})
	})
}

// TestClauses: a Replacer that is wrong in one way fails exactly one clause.
func TestClauses(t *testing.T) {
	r := newReleases(t)
	failed := func(t *testing.T, bug string) []string {
		var names []string
		for _, c := range clauses {
			var looks atomic.Int64
			x := newPlace(t, r, &looks, func(path string) upgrade.Replacer {
				return &simple{path: path, bug: bug, looks: &looks}
			})
			if err := c.check(t.Context(), x); err != nil {
				names = append(names, c.name)
			}
		}
		return names
	}
	if got := failed(t, ""); got != nil {
		t.Fatalf("the simple Replacer fails %v", got)
	}
	caught := make(map[string]bool)
	for bug, clause := range bugs {
		if got := failed(t, bug); !slices.Equal(got, []string{clause}) {
			t.Errorf("a Replacer that %s fails %v, want only %s", bug, got, clause)
		}
		caught[clause] = true
	}
	for _, c := range clauses {
		if !caught[c.name] {
			t.Errorf("no broken Replacer for %s", c.name)
		}
	}
}

func TestClausesAreSaid(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range clauses {
		if names[c.name] || c.says == "" || strings.HasSuffix(c.says, ".") {
			t.Errorf("clause %q: %q", c.name, c.says)
		}
		names[c.name] = true
	}
}

func TestAbsent(t *testing.T) {
	if absent("x", fmt.Errorf("y: %w", fs.ErrNotExist)) != nil || absent("x", nil) == nil || absent("x", errors.New("other")) == nil {
		t.Error("absent is wrong")
	}
}
