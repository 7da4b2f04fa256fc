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

// wentBack is an installation that has gone back from v2 to v1, and what its journal
// says of that.
func wentBack(t testing.TB) (*installation, journal) {
	t.Helper()
	in := running(t)
	in.open(t, quick{})
	if err := goesBack(t, in.exe); err != nil {
		t.Fatal(err)
	}
	return in, journal{Back: true, Old: digestOf(v2["server"]), New: digestOf(v1["server"])}
}

// both are the files of an installation, and what is kept of them.
var both = []string{"server", "tool", ".server.previous", ".tool.previous"}

// goesOn is what the starts after an exchange do that did not come to its end: the
// program that went back makes it again, the one from before what is left of it.
func (in *installation) goesOn(t testing.TB, when string, j journal) (kept bool) {
	t.Helper()
	e := in.open(t, quick{})
	if in.read(t, "server") == v1["server"] {
		if err := e.exchange(t.Context(), j); err != nil {
			t.Errorf("%s: again: %v", when, err)
		}
	}
	kept, err := e.keepTarget(t.Context(), j)
	if err != nil {
		t.Errorf("%s: keep the target: %v", when, err)
	}
	if err := errors.Join(e.Discard(t.Context()), e.Sweep(t.Context())); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	return kept
}

// The two programs change places with all that belongs to each of them, whether
// there are second names or copies, and however often.
func TestExecutableExchange(t *testing.T) {
	for name, fsys := range map[string]durable.FS{"links": quick{}, "copies": noLinks()} {
		t.Run(name, func(t *testing.T) {
			in, j := wentBack(t)
			for _, name := range []string{"server", "tool"} {
				f, err := durable.OS{}.Open(filepath.Join(in.dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(f.Chmod(0o711), f.SetXattr(fakeCaps, []byte("=i")), f.Close()); err != nil {
					t.Fatal(err)
				}
			}
			dressed := func(when, name, content string, mode fs.FileMode, caps string) {
				t.Helper()
				f, err := durable.OS{}.Open(filepath.Join(in.dir, name))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				info, _ := f.Stat()
				attrs, _ := f.Xattrs()
				if got := in.read(t, name); got != content || info.Mode != mode || string(attrs[fakeCaps]) != caps {
					t.Errorf("%s: %s has %q, mode %v, capability %q", when, name, got, info.Mode, attrs[fakeCaps])
				}
			}
			for _, when := range []string{"once", "twice"} {
				if err := in.open(t, fsys).exchange(t.Context(), j); err != nil {
					t.Fatal(err)
				}
				if kept, err := in.open(t, fsys).keepTarget(t.Context(), j); err != nil || !kept {
					t.Errorf("%s: kept %v, %v", when, kept, err)
				}
				for _, name := range []string{"server", "tool"} {
					dressed(when, name, v2[name], 0o755, "=ep")
					dressed(when, "."+name+".previous", v1[name], 0o711, "=i")
				}
				in.recovered(t, when)
			}
			// And one can go back again.
			if err := goesBack(t, in.open(t, fsys)); err != nil {
				t.Fatal(err)
			}
			dressed("back again", "server", v1["server"], 0o711, "=i")
			dressed("back again", ".tool.previous", v2["tool"], 0o755, "=ep")
		})
	}
}

// TestExecutableExchangeFaults fails every operation, alone and with all that follow.
// What could not be set aside is given up before the program stays away; once it is
// aside nothing loses it.
func TestExecutableExchangeFaults(t *testing.T) {
	in, j := wentBack(t)
	count := &faultfs.FS{Under: quick{}}
	aside := 0
	count.Before = func(o faultfs.Op) error {
		if o.Name == "rename" && aside == 0 { // of the first companion
			aside = o.N
		}
		return nil
	}
	if err := in.open(t, count).exchange(t.Context(), j); err != nil || aside == 0 {
		t.Fatal(err)
	}
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EACCES} {
		for _, forever := range []bool{false, true} {
			for n := 1; n <= count.Count(); n++ {
				in, j := wentBack(t)
				when := ""
				fail := faultfs.FailAt(n, errno, forever)
				f := &faultfs.FS{Under: quick{}, Short: true, Before: func(o faultfs.Op) error {
					if o.N == n {
						when = fmt.Sprintf("%v of %s (forever: %v)", errno, o, forever)
					}
					return fail(o)
				}}
				err := in.open(t, f).exchange(t.Context(), j)
				if got := in.whole(t, when, "server", "tool"); err == nil && got != "v2/v2" {
					t.Errorf("%s: success, but %s", when, got)
				}
				kept := in.goesOn(t, when, j)
				if got := in.whole(t, when, "server", "tool"); got != "v2/v2" {
					t.Errorf("%s: ended as %s", when, got)
				}
				switch {
				case kept:
					if got := in.whole(t, when, both...); got != "v2/v2/v1/v1" {
						t.Errorf("%s: kept, and ended as %s", when, got)
					}
				case n >= aside || !errors.Is(errno, syscall.ENOSPC) && forever && err != nil:
					t.Errorf("%s: the target is lost: %v, %s", when, err, in.names(t))
				}
				if got := in.names(t); strings.Contains(got, "upgrade") || strings.Contains(got, ".next") {
					t.Errorf("%s: left %s", when, got)
				}
			}
		}
	}
	t.Logf("%d operations", count.Count())
}

// Without room for one name more there is none for the target.
func TestExecutableExchangeWithoutRoom(t *testing.T) {
	in, j := wentBack(t)
	full := &faultfs.FS{Under: quick{}, Before: func(o faultfs.Op) error {
		if o.Name == "link" || o.Name == "create" {
			return syscall.ENOSPC
		}
		return nil
	}}
	if err := in.open(t, full).exchange(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if kept := in.goesOn(t, "full", j); kept || in.whole(t, "full", "server", "tool") != "v2/v2" || in.names(t) != installed {
		t.Errorf("kept %v, %s", kept, in.names(t))
	}
}

// TestExecutableExchangeCrashes cuts the power at every moment: neither program is ever
// lost.
func TestExecutableExchangeCrashes(t *testing.T) {
	in, j := wentBack(t)
	log, err := faultfs.NewLog(in.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.open(t, &faultfs.FS{Under: quick{}, Log: log}).exchange(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	n := 0
	for state := range log.Crashes() {
		n++
		in := &installation{dir: fastDir(t)}
		if _, err := state.Mount(in.dir); err != nil {
			t.Fatal(err)
		}
		in.whole(t, "after the power cut", both[:3]...)
		again, err := faultfs.NewLog(in.dir)
		if err != nil {
			t.Fatal(err)
		}
		// It is cut once more while it is gone on with.
		e := in.open(t, &faultfs.FS{Under: quick{}, Log: again})
		if in.read(t, "server") == v1["server"] {
			if err := e.exchange(t.Context(), j); err != nil {
				t.Errorf("again: %v", err)
			}
		}
		if kept, err := e.keepTarget(t.Context(), j); err != nil || !kept {
			t.Errorf("kept %v, %v", kept, err)
		}
		for state := range again.Crashes() {
			in := &installation{dir: fastDir(t)}
			if _, err := state.Mount(in.dir); err != nil {
				t.Fatal(err)
			}
			if kept := in.goesOn(t, "after the second", j); !kept || in.whole(t, "after the second", both...) != "v2/v2/v1/v1" {
				t.Errorf("after the second: kept %v, %s", kept, in.names(t))
			}
			in.recovered(t, "after the second")
			os.RemoveAll(in.dir)
		}
		if got := in.whole(t, "after it", both...); got != "v2/v2/v1/v1" {
			t.Errorf("ended as %s", got)
		}
		in.recovered(t, "after it")
		os.RemoveAll(in.dir)
		if t.Failed() {
			t.Logf("state:\n%s", state)
			break
		}
	}
	t.Logf("%d states", n)
}
