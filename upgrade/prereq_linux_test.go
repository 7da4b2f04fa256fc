package upgrade

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// prereqNeeds skips a test that this user or machine cannot make.
func prereqNeeds(t *testing.T, what string, there bool) {
	t.Helper()
	if there {
		return
	}
	if os.Getenv("LEADERLAST_NOSKIP") != "" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}

func prereqNeedsRoot(t *testing.T) {
	t.Helper()
	prereqNeeds(t, "root", os.Geteuid() == 0)
}

func prereqNeedsTool(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	prereqNeeds(t, name, err == nil)
}

// prereqMount mounts a file system of its own for the test.
func prereqMount(t *testing.T, source, fstype string, flags uintptr, data string) string {
	t.Helper()
	prereqNeedsRoot(t)
	dir := t.TempDir()
	if err := unix.Mount(source, dir, fstype, flags, data); err != nil {
		prereqNeeds(t, "to mount "+fstype+": "+err.Error(), false)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func prereqCommand(t *testing.T, name string, args ...string) {
	t.Helper()
	prereqNeedsTool(t, name)
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// prereqFlag sets an attribute and takes it away in the end.
func prereqFlag(t *testing.T, flag, path string) {
	t.Helper()
	prereqNeedsRoot(t)
	prereqCommand(t, "chattr", "+"+flag, path)
	t.Cleanup(func() { exec.Command("chattr", "-"+flag, path).Run() })
}

// soundAt is soundPrereqs with the program in dir.
func soundAt(t *testing.T, dir string) prereqs {
	t.Helper()
	p := soundPrereqs(t)
	p.Program = prereqProgram(t, dir)
	p.Lock = nil
	return p
}

// failing makes each prerequisite fail, for real where that can be made. fixed
// says that the command of the fix, run by a shell, makes it pass again.
type failing struct {
	make  func(*testing.T) prereqs
	seen  string // in what is seen
	fix   string // in the command
	fixed bool
}

func failingPrereqs() map[string]failing {
	return map[string]failing{
		"binary-path": {seen: "points to", fix: "readlink -f", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			link := filepath.Join(t.TempDir(), "provd")
			if err := os.Symlink(p.Program.Path, link); err != nil {
				t.Fatal(err)
			}
			p.Program = prereqProgramAt(t, link)
			return p
		}},
		"journal": {seen: "damaged", fix: "cat", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			if err := os.WriteFile(p.Program.journalPath(), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
			j, _ := loadJournal(p.Program)
			p.Journal = j.broken
			return p
		}},
		"failed-before": {seen: "9.9.9 ended 3 times", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			p.Failed = []failedProgram{{Program: p.Release.For(p.Platform)[p.Program.Base()].Digest, Version: "9.9.9", Why: "ended 3 times"}}
			return p
		}},
		"binary-unchanged": {seen: "is now", fix: "mv -n", fixed: true, make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			if err := os.Rename(p.Program.Path, p.Program.Path+".old"); err != nil {
				t.Fatal(err)
			}
			return p
		}},
		"file-system": {seen: "noexec", fix: "remount,exec", fixed: true, make: func(t *testing.T) prereqs {
			return soundAt(t, prereqMount(t, "none", "tmpfs", unix.MS_NOEXEC, ""))
		}},
		"dir-writable": {seen: "immutable", fix: "chattr -i", fixed: true, make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			prereqFlag(t, "i", p.Program.Dir())
			return p
		}},
		"file-writable": {seen: "immutable", fix: "chattr -i", fixed: true, make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			prereqFlag(t, "i", p.Program.Path)
			return p
		}},
		"previous-kept": {seen: ".provd.upgrade", fix: "mv -n", fixed: true, make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			if err := os.Mkdir(p.Program.NextPath(), 0o755); err != nil {
				t.Fatal(err)
			}
			return p
		}},
		"capability-method": {seen: "taken", fix: "rm", fixed: true, make: func(t *testing.T) prereqs {
			p := withCaps(t)
			if err := os.WriteFile(p.Program.NextPath(), nil, 0o755); err != nil {
				t.Fatal(err)
			}
			return p
		}},
		"no-new-privileges": {seen: "cap_net_bind_service", fix: "setcap -r", fixed: true, make: func(t *testing.T) prereqs {
			return withCaps(t) // judged where it is set: see runUnderNoNewPrivileges
		}},
		"dir-space": {seen: "free", fix: "df -h", make: func(t *testing.T) prereqs {
			p := soundAt(t, prereqMount(t, "none", "tmpfs", 0, "size=64k"))
			p.Release.Files[0].Size = 128 << 10
			return p
		}},
		"store-space": {seen: "free", fix: "df -h", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			p.Store = prereqMount(t, "none", "tmpfs", 0, "size=64k")
			p.Release.Unpacked = 128 << 10
			return p
		}},
		"archive-platform": {seen: "no provd for plan9/arm", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			p.Platform = archive.Platform{OS: "plan9", Arch: "arm"}
			return p
		}},
		"container": {seen: "overlay file system under", make: func(t *testing.T) prereqs {
			lower, upper, work := t.TempDir(), t.TempDir(), t.TempDir()
			return soundAt(t, prereqMount(t, "overlay", "overlay", 0,
				"lowerdir="+lower+",upperdir="+upper+",workdir="+work))
		}},
		"binary-shared": {seen: "locked by another server", fix: "fuser", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			second, err := p.Program.hold()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { second.Close() })
			return p
		}},
		"binary-in-package": {seen: "package provd", fix: "apt-mark hold provd", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			p.root = t.TempDir()
			info := filepath.Join(p.root, "var/lib/dpkg/info")
			if err := os.MkdirAll(info, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(info, "provd.list"), []byte("/.\n"+p.Program.Path+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			return p
		}},
		"restart-method": {seen: "no way to restart", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			p.Method = restart.Method{}
			return p
		}},
		"new-program-starts": {seen: "GLIBC", make: func(t *testing.T) prereqs {
			p := soundPrereqs(t)
			p.probe = func(context.Context) error { return errors.New("version `GLIBC_2.99' not found") }
			return p
		}},
	}
}

func withCaps(t *testing.T) prereqs {
	t.Helper()
	prereqNeedsRoot(t)
	p := soundPrereqs(t)
	prereqCommand(t, "setcap", "cap_net_bind_service=ep", p.Program.Path)
	return p
}

// Each prerequisite fails when it has reason to, alone, with something to do
// about it; and where that is a repair, it is one.
func TestEveryPrereqFails(t *testing.T) {
	all := failingPrereqs()
	for _, q := range (prereqs{}).list() {
		t.Run(q.id, func(t *testing.T) {
			test, ok := all[q.id]
			if !ok {
				t.Fatal("no case makes it fail")
			}
			p := test.make(t)
			run := func() []Check { return p.run(t.Context()) }
			if q.id == "no-new-privileges" {
				run = func() []Check {
					return runPrereqsElsewhere(t, prereqsElsewhere{Path: p.Program.Path, NoNewPrivs: true})
				}
			}
			checks := run()
			c := checkIn(t, checks, q.id)
			if c.Result != Fail || c.Title == q.title || !strings.HasSuffix(c.Title, ".") || c.Fix.Where != c.Member ||
				!strings.Contains(c.Seen, test.seen) {
				t.Errorf("%+v", c)
			}
			if !strings.HasSuffix(c.Fix.Text, ".") || !strings.Contains(c.Fix.Command, test.fix) || test.fix == "" && c.Fix.Command != "" && q.id != "restart-method" {
				t.Errorf("fix %+v", c.Fix)
			}
			for _, o := range checks {
				if o.ID != q.id && o.Result == Fail {
					t.Errorf("%s fails as well: %s", o.ID, o.Seen)
				}
			}
			if refuse(checks) == nil == (q.severity == Blocker) {
				t.Errorf("severity %s, refused: %v", q.severity, refuse(checks))
			}
			if test.fixed {
				prereqNeedsRoot(t)
				prereqNeedsTool(t, "sudo")
				if t.Failed() {
					return // another command than expected is not run, least of all as root
				}
				if out, err := exec.Command("sh", "-c", c.Fix.Command).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", c.Fix.Command, err, out)
				}
				if c := checkIn(t, run(), q.id); c.Result != Pass {
					t.Errorf("after the fix: %+v", c)
				}
			}
		})
		delete(all, q.id)
	}
	for id := range all {
		t.Errorf("a case for %s, which is no prerequisite", id)
	}
}
