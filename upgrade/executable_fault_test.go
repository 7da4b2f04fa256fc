package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leaderlast/leaderlast/internal/durable"
	"github.com/leaderlast/leaderlast/internal/faultfs"
)

// running is an installation that was upgraded once, with a capability.
func running(t testing.TB) *installation {
	in := install(t, v1)
	for _, name := range []string{"server", "tool"} {
		f, err := durable.OS{}.Open(filepath.Join(in.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		err = f.SetXattr(fakeCaps, []byte("=ep"))
		f.Close()
		needs(t, !errors.Is(err, errors.ErrUnsupported), "a file system with extended attributes")
		if err != nil {
			t.Fatal(err)
		}
	}
	in.open(t, quick{})
	in.upgrade(t, v2)
	return in
}

// whole fails unless each file is one of the programs, as a whole, with mode and
// capability. It returns what the server and the tool are.
func (in *installation) whole(t testing.TB, when string, names ...string) string {
	t.Helper()
	var is []string
	for _, name := range names {
		path := filepath.Join(in.dir, name)
		f, err := durable.OS{}.Open(path)
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		info, _ := f.Stat()
		attrs, _ := f.Xattrs()
		f.Close()
		content := in.read(t, name)
		version := ""
		for i, r := range []fakeRelease{v1, v2, v3} {
			if content == r[strings.TrimSuffix(strings.TrimPrefix(name, "."), ".previous")] {
				version = fmt.Sprintf("v%d", i+1)
			}
		}
		if version == "" || info.Mode != 0o755 || string(attrs[fakeCaps]) != "=ep" {
			t.Errorf("%s: %s has %q, mode %v, capability %q", when, name, content, info.Mode, attrs[fakeCaps])
		}
		is = append(is, version)
	}
	return strings.Join(is, "/")
}

// recovered fails if anything of a swap is left but the previous programs.
func (in *installation) recovered(t testing.TB, when string) {
	t.Helper()
	switch got := in.names(t); got {
	case ".server.previous .tool.previous " + installed, ".server.previous " + installed:
	default:
		t.Errorf("%s: left %s", when, got)
	}
}

// scenarios are what can be interrupted. The programs are v2, the previous v1.
var scenarios = []struct {
	name string
	run  func(t testing.TB, e *Executable) error
	ends string // server/tool when all went well
}{
	{"upgrade", func(t testing.TB, e *Executable) error {
		if _, err := e.prepare(t.Context(), v3.files(), v3.open); err != nil {
			return err
		}
		return e.Commit(t.Context())
	}, "v3/v3"},
	{"prepare and discard", func(t testing.TB, e *Executable) error {
		if _, err := e.prepare(t.Context(), v3.files(), v3.open); err != nil {
			return err
		}
		return e.Discard(t.Context())
	}, "v2/v2"},
	{"prepare twice", func(t testing.TB, e *Executable) error {
		if _, err := e.prepare(t.Context(), v1.files(), v1.open); err != nil {
			return err
		}
		if _, err := e.prepare(t.Context(), v3.files(), v3.open); err != nil {
			return err
		}
		return e.Commit(t.Context())
	}, "v3/v3"},
	{"upgrade without the tool", func(t testing.TB, e *Executable) error {
		r := fakeRelease{"server": v3["server"]}
		if _, err := e.prepare(t.Context(), r.files(), r.open); err != nil {
			return err
		}
		return e.Commit(t.Context())
	}, "v3/v2"},
	{"restore", func(t testing.TB, e *Executable) error { return e.Restore(t.Context()) }, "v1/v1"},
	{"go back", goesBack, "v1/v1"},
	{"prepare back and discard", func(t testing.TB, e *Executable) error {
		if _, err := e.PrepareBack(t.Context()); err != nil {
			return err
		}
		return e.Discard(t.Context())
	}, "v2/v2"},
}

func goesBack(t testing.TB, e *Executable) error {
	if _, err := e.PrepareBack(t.Context()); err != nil {
		return err
	}
	return e.Commit(t.Context())
}

// TestExecutableFaults fails every operation of every scenario, alone and with
// all that follow, in every way.
func TestExecutableFaults(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			in := running(t)
			count := &faultfs.FS{Under: quick{}}
			if err := sc.run(t, in.open(t, count)); err != nil {
				t.Fatal(err)
			}
			if got := in.whole(t, "untouched", "server", "tool"); got != sc.ends {
				t.Fatalf("ends at %s", got)
			}
			total := count.Count()
			for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EACCES} {
				for _, forever := range []bool{false, true} {
					for n := 1; n <= total; n++ {
						faulty(t, sc.name, sc.run, sc.ends, n, errno, forever)
					}
				}
			}
			t.Logf("%d operations", total)
		})
	}
}

func faulty(t *testing.T, name string, run func(testing.TB, *Executable) error, ends string, n int, errno syscall.Errno, forever bool) {
	in := running(t)
	var failed string
	fail := faultfs.FailAt(n, errno, forever)
	f := &faultfs.FS{Under: quick{}, Short: true}
	f.Before = func(o faultfs.Op) error {
		if o.N == n {
			failed = fmt.Sprintf("%v of %s (forever: %v)", errno, o, forever)
		}
		return fail(o)
	}
	err := run(t, in.open(t, f))
	if name == "restore" && errno == syscall.ENOSPC && strings.Contains(failed, ": link ") && !forever {
		// There is no room for a second name: the first one is given up.
		if got := in.whole(t, failed, "server", "tool"); err != nil || got != ends || in.exe.Sweep(t.Context()) != nil {
			t.Errorf("%s: %v, and %s", failed, err, got)
		}
		if got := in.names(t); strings.Contains(got, "upgrade") || got == ".server.previous .tool.previous "+installed {
			t.Errorf("%s: left %s", failed, got)
		}
		return
	}
	in.whole(t, failed, "server", "tool", ".server.previous")
	if err == nil {
		if got := in.whole(t, failed, "server", "tool"); got != ends {
			t.Errorf("%s: success, but %s", failed, got)
		}
	}
	recover := []func(*Executable) error{
		func(e *Executable) error { return e.Sweep(t.Context()) },
		func(e *Executable) error {
			if err := e.Commit(t.Context()); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
		func(e *Executable) error { return e.Discard(t.Context()) },
	}
	for i, step := range recover {
		if err := step(in.open(t, quick{})); err != nil {
			t.Errorf("%s: recovery %d: %v", failed, i, err)
		}
	}
	in.recovered(t, failed)
	previous := ".tool.previous"
	if in.read(t, "server") == v3["server"] && ends == "v3/v2" {
		previous = "tool" // which was not replaced, so there is none to go back to
	}
	got := in.whole(t, failed, "server", "tool", ".server.previous", previous)
	switch got {
	case "v2/v2/v1/v1", "v3/v2/v2/v2", "v3/v3/v2/v2", "v1/v1/v1/v1", "v1/v2/v1/v1", "v2/v1/v1/v1":
	case "v1/v1/v2/v2": // the second Prepare failed before it touched the first
	default:
		t.Errorf("%s: ended as %s", failed, got)
	}
	// Half a Restore is repeated by whoever wanted it.
	if got == "v2/v1/v1/v1" || got == "v1/v2/v1/v1" {
		if name != "restore" {
			t.Errorf("%s: ended mixed, as %s", failed, got)
		}
	}
	committed := "v3/v3" // by the recovery, in place of a Discard
	if name == "prepare back and discard" {
		committed = "v1/v1"
	}
	// On the way back neither of the two programs is ever lost.
	if name == "go back" && got != "v2/v2/v1/v1" && got != "v1/v1/v2/v2" {
		t.Errorf("%s: ended as %s", failed, got)
	}
	if name == "go back" && got == "v1/v1/v2/v2" {
		return
	}
	// And it can be done after all.
	if err := run(t, in.open(t, quick{})); err != nil {
		t.Errorf("%s: again: %v", failed, err)
	}
	if got := in.whole(t, failed, "server", "tool"); got != ends && !(ends == "v2/v2" && got == committed) {
		t.Errorf("%s: again: %s", failed, got)
	}
}

// TestExecutableCrashes cuts the power at every moment of every scenario, and
// recovers from all that may then lie on the disk.
func TestExecutableCrashes(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			in := running(t)
			log, err := faultfs.NewLog(in.dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := sc.run(t, in.open(t, &faultfs.FS{Under: quick{}, Log: log})); err != nil {
				t.Fatal(err)
			}
			n := 0
			for state := range log.Crashes() {
				n++
				crashed(t, sc.name, sc.ends, state)
				if t.Failed() {
					t.Logf("state:\n%s", state)
					break
				}
			}
			t.Logf("%d states", n)
		})
	}
}

func crashed(t *testing.T, name, ends string, state faultfs.State) {
	for _, first := range []string{"commit", "discard", "sweep", "restore"} {
		in := &installation{dir: fastDir(t)}
		log, err := state.Mount(in.dir)
		if err != nil {
			t.Fatal(err)
		}
		in.whole(t, "after the power cut", "server", "tool", ".server.previous")
		e := in.open(t, &faultfs.FS{Under: quick{}, Log: log})
		switch first {
		case "commit":
			if err = e.Commit(t.Context()); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		case "discard":
			err = e.Discard(t.Context())
		case "restore":
			err = e.Restore(t.Context())
		}
		if err != nil {
			t.Errorf("%s: %v", first, err)
		}
		if err := e.Sweep(t.Context()); err != nil {
			t.Errorf("%s: sweep: %v", first, err)
		}
		if first == "sweep" {
			if err := e.Discard(t.Context()); err != nil {
				t.Errorf("discard: %v", err)
			}
		}
		in.recovered(t, first)
		got := in.whole(t, first, "server", "tool")
		switch {
		case got != "v1/v1" && got != "v2/v2" && got != ends && name != "restore" && got != "v3/v3":
			t.Errorf("%s: mixed, %s", first, got)
		case name == "go back" && first != "restore" && in.whole(t, first, ".server.previous", ".tool.previous") == got:
			t.Errorf("%s: one of the two programs is lost, both are %s", first, got)
		case first == "restore" && (got == "v3/v3" || got == "v3/v2"):
			t.Errorf("restored to what was to be left: %s", got)
		case state.Final && first != "restore" && got != ends:
			t.Errorf("%s: success was reported, but %s", first, got)
		}
		os.RemoveAll(in.dir)
	}
}
