package upgrade

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/leaderlast/leaderlast/internal/durable"
	"github.com/leaderlast/leaderlast/internal/faultfs"
)

// noLinks is a file system on which the kernel refuses every hard link.
func noLinks() durable.FS {
	return &faultfs.FS{Under: quick{}, Before: func(o faultfs.Op) error {
		if o.Name == "link" {
			return syscall.EPERM
		}
		return nil
	}}
}

// The previous program is put in place as it was, whether it gets a second name or
// has to be copied, and however often.
func TestExecutableGoesBack(t *testing.T) {
	for name, fsys := range map[string]durable.FS{"links": quick{}, "copies": noLinks()} {
		t.Run(name, func(t *testing.T) {
			in := running(t)
			in.open(t, fsys)
			previous := in.exe.Program.PreviousPath()
			f, err := durable.OS{}.Open(previous)
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(f.Chmod(0o711), f.SetXattr(fakeCaps, []byte("=i")), f.Close())
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []struct {
				programs, caps string
				mode           fs.FileMode
			}{{"server one/tool one", "=i", 0o711}, {"server two, longer/tool two", "=ep", 0o755}, {"server one/tool one", "=i", 0o711}} {
				p, err := in.exe.PrepareBack(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if d, err := in.exe.Previous(t.Context()); err != nil || d != p.Program || p.Path != in.exe.Program.NextPath() {
					t.Errorf("%d: prepared %+v, and previous is %s, %v", i, p, d, err)
				}
				if (len(p.Notes) > 0) != (name == "copies") {
					t.Errorf("%d: notes %q", i, p.Notes)
				}
				if err := in.open(t, fsys).Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := in.read(t, "server") + "/" + in.read(t, "tool"); got != want.programs {
					t.Errorf("%d: %s, want %s", i, got, want.programs)
				}
				f, err := durable.OS{}.Open(filepath.Join(in.dir, "server"))
				if err != nil {
					t.Fatal(err)
				}
				info, _ := f.Stat()
				attrs, _ := f.Xattrs()
				f.Close()
				if info.Mode != want.mode || string(attrs[fakeCaps]) != want.caps {
					t.Errorf("%d: mode %v, capability %q", i, info.Mode, attrs[fakeCaps])
				}
				in.recovered(t, "went back")
			}
		})
	}
}

// A Commit that ends before its last step has displaced the program that a guard
// would put back: that is the previous one already.
func TestExecutablePreviousHalfWayBack(t *testing.T) {
	in := running(t)
	if _, err := in.exe.PrepareBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := in.open(t, &faultfs.FS{Under: quick{}, Before: func(o faultfs.Op) error {
		if o.Name == "rename" && o.Path == in.exe.Program.keptPath() {
			return syscall.EIO
		}
		return nil
	}})
	if err := e.Commit(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	e = in.open(t, quick{})
	if d, err := e.Previous(t.Context()); err != nil || d != digestOf(v2["server"]) {
		t.Errorf("previous: %s, %v", d, err)
	}
	if err := e.Restore(t.Context()); err != nil || in.read(t, "server") != v2["server"] {
		t.Errorf("restored %s, %v", in.read(t, "server"), err)
	}
}

// What is kept may be what runs: after a Restore, say.
func TestExecutableGoesBackToItself(t *testing.T) {
	in := running(t)
	if err := in.exe.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	in.open(t, quick{})
	if err := goesBack(t, in.exe); err != nil {
		t.Fatal(err)
	}
	if got := in.whole(t, "went back to itself", "server", "tool", ".server.previous"); got != "v1/v1/v1" {
		t.Error(got)
	}
	in.recovered(t, "went back to itself")
}

// A companion that has nothing to go back to stays.
func TestExecutableGoesBackWithoutTheTool(t *testing.T) {
	in := install(t, v1)
	in.upgrade(t, fakeRelease{"server": v2["server"]})
	in.open(t, nil)
	if err := goesBack(t, in.exe); err != nil {
		t.Fatal(err)
	}
	if got := in.read(t, "server") + "/" + in.read(t, "tool"); got != "server one/tool one" {
		t.Error(got)
	}
	if got := in.names(t); got != ".server.previous "+installed {
		t.Errorf("left: %s", got)
	}
}

// What was prepared to go back is compared with what it was then, by its own mode.
func TestExecutableGoesBackTouched(t *testing.T) {
	for name, touch := range map[string]func(path string) error{
		"bytes": func(path string) error { return os.WriteFile(path, []byte("server ONE"), 0o755) },
		"mode":  func(path string) error { return os.Chmod(path, 0o777) },
	} {
		t.Run(name, func(t *testing.T) {
			in := running(t)
			if _, err := in.exe.PrepareBack(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := touch(in.exe.Program.NextPath()); err != nil {
				t.Fatal(err)
			}
			if err := in.exe.Commit(t.Context()); !errors.Is(err, ErrChanged) || in.read(t, "server") != v2["server"] {
				t.Errorf("%v, and %s", err, in.read(t, "server"))
			}
		})
	}
}

func TestExecutableForget(t *testing.T) {
	in := running(t)
	if _, err := in.exe.PrepareBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := in.open(t, quick{}).Forget(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("while something is prepared: %v", err)
	}
	if err := in.exe.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ { // it fails at each operation, and is repeated
		in := running(t)
		f := &faultfs.FS{Under: quick{}, Before: faultfs.FailAt(n, syscall.EIO, false)}
		err := in.open(t, f).Forget(t.Context())
		if got := in.whole(t, "Forget", "server", "tool"); got != "v2/v2" {
			t.Fatal(got)
		}
		if e := in.open(t, quick{}).Forget(t.Context()); e != nil || in.names(t) != installed {
			t.Errorf("operation %d: %v, left %s", n, e, in.names(t))
		}
		if err == nil {
			break
		}
	}
	if err := in.open(t, quick{}).Forget(t.Context()); err != nil || in.names(t) != installed {
		t.Errorf("%v, left %s", err, in.names(t))
	}
	if _, err := in.exe.PrepareBack(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("PrepareBack after Forget: %v", err)
	}
}
