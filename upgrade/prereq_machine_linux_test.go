package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaderlast/leaderlast/capabilities"
)

func TestBinaryUnchangedSaysWhatHappened(t *testing.T) {
	for name, test := range map[string]struct {
		change func(Program) error
		says   string
	}{
		"deleted":  {func(p Program) error { return os.Remove(p.Path) }, "deleted"},
		"moved":    {func(p Program) error { return os.Rename(p.Path, filepath.Join(p.Dir(), "x")) }, "moved"},
		"replaced": {func(p Program) error { os.Remove(p.Path); return os.WriteFile(p.Path, []byte("x"), 0o755) }, "another file"},
		"by an upgrade": {func(p Program) error {
			if err := os.Rename(p.Path, p.PreviousPath()); err != nil {
				return err
			}
			return os.WriteFile(p.Path, []byte("x"), 0o755)
		}, "not restarted"},
		"overwritten": {func(p Program) error { return os.WriteFile(p.Path, []byte("x"), 0o755) }, "overwritten"},
	} {
		t.Run(name, func(t *testing.T) {
			p := soundPrereqs(t)
			if err := test.change(p.Program); err != nil {
				t.Fatal(err)
			}
			c := checkOf(t, p, "binary-unchanged")
			if c.Result != Fail || !strings.Contains(c.Title+c.Seen, test.says) || c.Fix.Text == "" {
				t.Errorf("%+v", c)
			}
		})
	}
}

// A process whose program was deleted still has it, and can say how to get it
// back.
func TestDeletedProgramIsRecovered(t *testing.T) {
	prereqNeedsTool(t, "sudo")
	prereqNeedsRoot(t)
	dir := prereqOpenDir(t)
	program := filepath.Join(dir, "provd")
	prereqCopySelf(t, program)
	checks := runPrereqsElsewhere(t, prereqsElsewhere{Path: program, Self: true, Delete: true, Recover: true})
	c := checkIn(t, checks, "binary-unchanged")
	if c.Result != Fail || !strings.Contains(c.Title, "deleted") || !strings.Contains(c.Fix.Command, "cp --preserve=all /proc/") {
		t.Errorf("%+v", c)
	}
	prereqSameBytes(t, program, os.Args[0])
}

func TestDirWritableSweeps(t *testing.T) {
	p := soundPrereqs(t)
	old := filepath.Join(p.Program.Dir(), ".provd.check-123")
	fresh := filepath.Join(p.Program.Dir(), ".provd.check-124")
	for _, f := range []string{old, fresh} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := p.Program.Info.ModTime().Add(-1e12)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	checkOf(t, p, "dir-writable")
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed check left is still there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("the file of another check was taken away: %v", err)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := prereqMount(t, "none", "tmpfs", 0, "")
	p := soundAt(t, dir)
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	checks := p.run(t.Context())
	c := checkIn(t, checks, "file-system")
	if c.Result != Fail || !strings.Contains(c.Title, "read-only") || !strings.Contains(c.Fix.Command, "remount,rw "+dir) {
		t.Errorf("%+v", c)
	}
	p.root = t.TempDir()
	prereqWrite(t, filepath.Join(p.root, "proc/self/cgroup"), "0::/system.slice/provd.service\n")
	if c := checkOf(t, p, "file-system"); !strings.Contains(c.Fix.Command, "remount,rw "+dir) {
		t.Errorf("a service on a read-only disk: %+v", c)
	}
	for _, id := range []string{"dir-writable", "file-writable"} {
		if c := checkIn(t, checks, id); c.Result != NotRun || !strings.Contains(c.Seen, "see file-system") {
			t.Errorf("%+v", c)
		}
	}

	// A service that sees a writable disk read-only is told otherwise.
	bind := prereqMount(t, t.TempDir(), "", unix.MS_BIND, "")
	p = soundAt(t, bind)
	if err := unix.Mount("", bind, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if c := checkOf(t, p, "file-system"); c.Result != Fail || !strings.Contains(c.Fix.Command, "remount,bind,rw "+bind) {
		t.Errorf("%+v", c)
	}
	p.root = t.TempDir()
	prereqWrite(t, filepath.Join(p.root, "proc/self/cgroup"), "0::/system.slice/provd.service\n")
	if c := checkOf(t, p, "file-system"); c.Result != Fail || !strings.Contains(c.Fix.Command, "ReadWritePaths="+bind) {
		t.Errorf("%+v", c)
	}
}

// A program that is itself a mount point cannot be renamed over.
func TestProgramMountedAlone(t *testing.T) {
	prereqNeedsRoot(t)
	p := soundPrereqs(t)
	source := filepath.Join(t.TempDir(), "one")
	prereqWrite(t, source, "x")
	if err := unix.Mount(source, p.Program.Path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(p.Program.Path, unix.MNT_DETACH)
	p.Program = prereqProgramAt(t, p.Program.Path)
	if c := checkOf(t, p, "file-writable"); c.Result != Fail || !strings.Contains(c.Title, "single file") || c.Fix.Text == "" {
		t.Errorf("%+v", c)
	}
}

func TestInodes(t *testing.T) {
	dir := prereqMount(t, "none", "tmpfs", 0, "nr_inodes=4")
	p := soundAt(t, dir)
	c := checkOf(t, p, "dir-space")
	if c.Result != Fail || !strings.Contains(c.Seen, "inodes") || !strings.Contains(c.Fix.Command, "df -i") {
		t.Errorf("%+v", c)
	}
}

// A companion that cannot be replaced is found before the server is.
func TestCompanionsAreReplaceable(t *testing.T) {
	p := soundPrereqs(t)
	p.Companions = []string{"ctl", "absent"}
	ctl := filepath.Join(p.Program.Dir(), "ctl")
	prereqWrite(t, ctl, "x")
	prereqFlag(t, "a", ctl)
	if c := checkOf(t, p, "file-writable"); c.Result != Fail || !strings.Contains(c.Fix.Command, "chattr -a "+ctl) {
		t.Errorf("%+v", c)
	}
}

func TestCopierIsAskedWithTheNameOfTheNextProgram(t *testing.T) {
	p := withCaps(t)
	var asked []string
	p.Copier = prereqCopier{check: func(_ context.Context, dst, src string) error {
		asked = []string{dst, src}
		return errors.New("no rule")
	}}
	c := checkOf(t, p, "capability-method")
	if len(asked) != 2 || asked[0] != p.Program.NextPath() || asked[1] != p.Program.Path {
		t.Errorf("asked %q", asked)
	}
	if c.Result != Fail || !strings.Contains(c.Seen, "no rule") || c.Fix.Text == "" {
		t.Errorf("%+v", c)
	}
	p.Copier = nil
	if c := checkOf(t, p, "capability-method"); c.Result != Fail || c.Fix.Text == "" {
		t.Errorf("%+v", c)
	}
	p.Copier = capabilities.File{}
	if c := checkOf(t, p, "capability-method"); c.Result != Pass || !strings.Contains(c.Seen, "cap_net_bind_service=ep") {
		t.Errorf("%+v", c)
	}
}

type prereqCopier struct {
	capabilities.File
	check func(ctx context.Context, dst, src string) error
}

func (c prereqCopier) Check(ctx context.Context, dst, src string) error {
	return c.check(ctx, dst, src)
}

func prereqWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
