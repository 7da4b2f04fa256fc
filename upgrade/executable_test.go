package upgrade

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

var (
	v1 = fakeRelease{"server": "server one", "tool": "tool one"}
	v2 = fakeRelease{"server": "server two, longer", "tool": "tool two"}
	v3 = fakeRelease{"server": "server three", "tool": "tool three"}
)

const installed = "server tool"

func TestExecutableSequence(t *testing.T) {
	in := install(t, v1)
	ctx := t.Context()
	p, err := in.exe.prepare(ctx, v2.files(), v2.open)
	if err != nil {
		t.Fatal(err)
	}
	if p.Path != in.exe.Program.NextPath() || p.Program != digestOf(v2["server"]) || len(p.Notes) != 0 {
		t.Errorf("prepared %+v", p)
	}
	if got := in.read(t, "server") + "/" + in.read(t, ".server.upgrade") + "/" + in.read(t, ".tool.upgrade"); got != "server one/server two, longer/tool two" {
		t.Errorf("after Prepare: %s", got)
	}
	if _, err := in.exe.Previous(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("previous before any Commit: %v", err)
	}
	if err := in.exe.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := in.read(t, "server") + "/" + in.read(t, "tool"); got != "server two, longer/tool two" {
		t.Errorf("after Commit: %s", got)
	}
	if got, want := in.names(t), ".server.previous .tool.previous "+installed; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
	if d, err := in.exe.Previous(ctx); err != nil || d != digestOf(v1["server"]) {
		t.Errorf("previous: %s, %v", d, err)
	}
	if err := in.exe.Commit(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("second Commit: %v", err)
	}
	for range 2 {
		if err := in.exe.Restore(ctx); err != nil {
			t.Fatal(err)
		}
		if got := in.read(t, "server") + "/" + in.read(t, "tool"); got != "server one/tool one" {
			t.Errorf("after Restore: %s", got)
		}
	}
	in.upgrade(t, v3)
	in.upgrade(t, v2)
	in.upgrade(t, v3)
	if d, _ := in.exe.Previous(ctx); d != digestOf(v2["server"]) {
		t.Errorf("previous of the third: %s", d)
	}
	if got, want := in.names(t), ".server.previous .tool.previous "+installed; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
}

func TestExecutableDiscardKeepsTheWayBack(t *testing.T) {
	in := install(t, v1)
	in.upgrade(t, v2)
	if _, err := in.exe.prepare(t.Context(), v3.files(), v3.open); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := in.exe.Discard(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := in.read(t, ".server.previous") + "/" + in.read(t, "server"); got != "server one/server two, longer" {
		t.Errorf("after Discard: %s", got)
	}
	if got, want := in.names(t), ".server.previous .tool.previous "+installed; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
	if err := in.exe.Commit(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Commit after Discard: %v", err)
	}
}

func TestExecutableReplacedByItself(t *testing.T) {
	in := install(t, v1)
	in.upgrade(t, v2)
	in.upgrade(t, v2)
	if got := in.read(t, ".server.previous") + "/" + in.read(t, ".tool.previous"); got != "server one/tool one" {
		t.Errorf("previous: %s", got)
	}
	// A companion that stays the same still goes back with its server.
	in.upgrade(t, fakeRelease{"server": "server four", "tool": v2["tool"]})
	if got := in.read(t, ".server.previous") + "/" + in.read(t, ".tool.previous"); got != "server two, longer/tool two" {
		t.Errorf("previous: %s", got)
	}
}

func TestExecutableCompanions(t *testing.T) {
	t.Run("not installed", func(t *testing.T) {
		in := install(t, fakeRelease{"server": "server one"})
		p := in.upgrade(t, v2)
		if in.names(t) != ".server.previous server" || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "not installed beside") {
			t.Errorf("%s, %q", in.names(t), p.Notes)
		}
	})
	t.Run("not in the release", func(t *testing.T) {
		in := install(t, v1)
		in.upgrade(t, v2)
		p := in.upgrade(t, fakeRelease{"server": "server three"})
		if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "not in the release") {
			t.Errorf("%q", p.Notes)
		}
		if err := in.exe.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The tool of v2 was with the server of v2; that of v1 must not come back.
		if got := in.read(t, "server") + "/" + in.read(t, "tool"); got != "server two, longer/tool two" {
			t.Errorf("after Restore: %s", got)
		}
	})
	t.Run("taken away since", func(t *testing.T) {
		in := install(t, v1)
		in.upgrade(t, v2)
		os.Remove(filepath.Join(in.dir, "tool"))
		if err := in.exe.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := in.read(t, "server") + "/" + in.read(t, "tool"); !strings.HasPrefix(got, "server one/(") {
			t.Errorf("after Restore: %s", got)
		}
	})
	for _, name := range []string{"", "..", "a/b", ".hidden", "server"} {
		in := install(t, v1)
		in.exe.Companions = []string{name}
		if err := in.exe.Discard(t.Context()); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("companion %q: %v", name, err)
		}
	}
}

func TestExecutableRefuses(t *testing.T) {
	damaged := func(content string) fakeRelease { return fakeRelease{"server": content, "tool": "tool two"} }
	for _, c := range []struct {
		name  string
		files fakeRelease
		bytes fakeRelease
		want  error
	}{
		{"other bytes", v2, damaged("server two, LONGER"), archive.ErrDigest},
		{"too few", v2, damaged("server"), nil},
		{"too many", v2, damaged("server two, longer and more"), archive.ErrDigest},
		{"unreadable", v2, fakeRelease{"tool": "tool two"}, fs.ErrNotExist},
		{"no server", fakeRelease{"tool": "tool two"}, v2, fs.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := install(t, v1)
			in.upgrade(t, v3)
			before := in.names(t)
			_, err := in.exe.prepare(t.Context(), c.files.files(), c.bytes.open)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v", err)
			}
			if got := in.names(t); got != before {
				t.Errorf("left: %s, want %s", got, before)
			}
			if got := in.read(t, "server") + "/" + in.read(t, ".server.previous"); got != "server three/server one" {
				t.Errorf("now %s", got)
			}
			if err := in.exe.Commit(t.Context()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Commit: %v", err)
			}
		})
	}
	t.Run("zero release", func(t *testing.T) {
		in := install(t, v1)
		if _, err := in.exe.Prepare(t.Context(), archive.Verified{}); !errors.Is(err, fs.ErrInvalid) {
			t.Error(err)
		}
	})
	t.Run("capabilities not given", func(t *testing.T) {
		in := install(t, v1)
		in.caps.err = errors.New("no rule")
		if _, err := in.exe.prepare(t.Context(), v2.files(), v2.open); !errors.Is(err, in.caps.err) {
			t.Error(err)
		}
		if in.names(t) != installed {
			t.Errorf("left: %s", in.names(t))
		}
	})
	t.Run("symbolic link", func(t *testing.T) {
		in := install(t, v1)
		link := filepath.Join(in.dir, "link")
		if err := os.Symlink("server", link); err != nil {
			t.Fatal(err)
		}
		in.exe.Program.Path = link
		r := fakeRelease{"link": "new"}
		if _, err := in.exe.prepare(t.Context(), r.files(), r.open); !errors.Is(err, fs.ErrInvalid) {
			t.Error(err)
		}
	})
}

// TestExecutableForeignFiles: names of ours that others have taken.
func TestExecutableForeignFiles(t *testing.T) {
	in := install(t, v1)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in.dir, ".tool.upgrade"), []byte("stale and much longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(victim, in.exe.Program.keptPath()); err != nil { // a second name of what is not ours
		t.Skip("needs hard links: ", err)
	}
	p := in.exe.Program
	for _, path := range []string{p.NextPath(), p.retiredPath(), p.listPath(), filepath.Join(in.dir, ".tool.previous.next")} {
		for kind, make := range map[string]func() error{
			"link":      func() error { return os.Symlink(victim, path) },
			"directory": func() error { return os.Mkdir(path, 0o700) },
		} {
			if err := make(); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			for name, call := range map[string]func() error{
				"sweep":   func() error { return in.exe.Sweep(t.Context()) },
				"discard": func() error { return in.exe.Discard(t.Context()) },
				"prepare": func() error { _, err := in.exe.prepare(t.Context(), v2.files(), v2.open); return err },
			} {
				if err := call(); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s, a %s at %s: %v", name, kind, path, err)
				}
			}
			if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
				t.Errorf("the %s at %s was touched: %v", kind, path, err)
			}
			os.Remove(path)
		}
	}
	in.upgrade(t, v2)
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("victim has %q", b)
	}
	for _, name := range []string{"server", "tool"} {
		info, err := os.Lstat(filepath.Join(in.dir, name))
		if err != nil || info.Mode() != 0o755 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if got := in.read(t, "tool"); got != "tool two" {
		t.Errorf("tool: %s", got)
	}
}

// TestExecutableTouched: what lies prepared is compared before it is put in place.
func TestExecutableTouched(t *testing.T) {
	for _, c := range []struct {
		name  string
		touch func(e *Executable) error
		ok    bool
	}{
		{"same size other bytes", func(e *Executable) error {
			return os.WriteFile(e.Program.NextPath(), []byte("server TWO, longer"), 0o755)
		}, false},
		{"longer", func(e *Executable) error {
			return os.WriteFile(e.Program.NextPath(), []byte("server two, longer!"), 0o755)
		}, false},
		{"mode", func(e *Executable) error { return os.Chmod(e.Program.NextPath(), 0o777) }, false},
		{"gone", func(e *Executable) error { return os.Remove(e.Program.NextPath()) }, false},
		{"companion gone", func(e *Executable) error {
			return os.Remove(filepath.Join(e.Program.Dir(), ".tool.upgrade"))
		}, false},
		{"program replaced by hand", func(e *Executable) error {
			p := e.Program.Path
			return errors.Join(os.WriteFile(p+"x", []byte("by hand"), 0o755), os.Rename(p+"x", p))
		}, false},
		{"another link", func(e *Executable) error {
			return os.Link(e.Program.NextPath(), filepath.Join(e.Program.Dir(), "backup"))
		}, true},
		{"nothing", func(*Executable) error { return nil }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := install(t, v1)
			if _, err := in.exe.prepare(t.Context(), v2.files(), v2.open); err != nil {
				t.Fatal(err)
			}
			if err := c.touch(in.exe); err != nil {
				t.Fatal(err)
			}
			before := in.read(t, "server")
			err := in.exe.Commit(t.Context())
			if c.ok {
				if err != nil || in.read(t, "server") != v2["server"] {
					t.Errorf("%v, %s", err, in.read(t, "server"))
				}
				return
			}
			if !errors.Is(err, ErrChanged) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v", err)
			}
			if in.read(t, "server") != before || in.read(t, "tool") != v1["tool"] {
				t.Error("something was put in place")
			}
			if err := in.exe.Discard(t.Context()); err != nil || strings.Contains(in.names(t), "upgrade") {
				t.Errorf("Discard: %v, left %s", err, in.names(t))
			}
		})
	}
}

func TestExecutableSweep(t *testing.T) {
	in := install(t, v1)
	ctx := t.Context()
	for _, name := range []string{".server.upgrade", ".tool.upgrade", ".server.previous.next", ".server.upgrade.list.new"} {
		os.WriteFile(filepath.Join(in.dir, name), []byte("half"), 0o600)
	}
	os.WriteFile(filepath.Join(in.dir, ".other.upgrade"), []byte("another program's"), 0o600)
	if err := in.exe.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := in.names(t), ".other.upgrade "+installed; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
	if _, err := in.exe.prepare(ctx, v2.files(), v2.open); err != nil {
		t.Fatal(err)
	}
	if err := in.open(t, nil).Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if err := in.open(t, nil).Commit(ctx); err != nil {
		t.Errorf("what is prepared was swept: %v", err)
	}
}
