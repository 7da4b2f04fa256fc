//go:build linux

package upgrade

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leaderlast/leaderlast/capabilities"
	"github.com/leaderlast/leaderlast/internal/faultfs"
)

// roleKey makes a child of the test binary do something else than test.
const roleKey = "LEADERLAST_TEST_ROLE"

// runRole runs a test of this binary as a child, with a role and as a user.
func runRole(t *testing.T, test string, role map[string]string, uid int) (string, error) {
	t.Helper()
	data, err := json.Marshal(role)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testBinary(t, uid), "-test.run=^"+test+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), roleKey+"="+string(data))
	if uid != 0 {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// testBinary returns this binary, in a place from which uid may start it.
func testBinary(t *testing.T, uid int) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if uid == 0 {
		return self
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(openDir(t), "test")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// openDir returns a directory that everybody may reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "leaderlast")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func role(t *testing.T) map[string]string {
	var r map[string]string
	if v := os.Getenv(roleKey); v != "" {
		if err := json.Unmarshal([]byte(v), &r); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func needsRoot(t *testing.T) {
	t.Helper()
	needs(t, os.Geteuid() == 0, "root")
}

func setcap(t *testing.T, caps, path string) {
	t.Helper()
	tool, err := exec.LookPath("setcap")
	if err != nil {
		tool = "/usr/sbin/setcap"
	}
	_, err = os.Stat(tool)
	needs(t, err == nil, "setcap")
	if out, err := exec.Command(tool, caps, path).CombinedOutput(); err != nil {
		t.Fatalf("setcap %s %s: %v: %s", caps, path, err, out)
	}
}

// TestExecutableKeepsWhatTheFileHas: mode, owner, attributes and capabilities.
func TestExecutableKeepsWhatTheFileHas(t *testing.T) {
	needsRoot(t)
	for _, mode := range []fs.FileMode{0o755, 0o750, 0o500, 0o755 | fs.ModeSetuid, 0o2711&^0o2000 | fs.ModeSetgid} {
		t.Run(mode.String(), func(t *testing.T) {
			in := &installation{dir: t.TempDir()}
			path := filepath.Join(in.dir, "server")
			if err := os.WriteFile(path, []byte(v1["server"]), 0o600); err != nil {
				t.Fatal(err)
			}
			in.open(t, nil)
			in.exe.Copier, in.exe.Companions = nil, nil
			if err := errors.Join(os.Chown(path, 1234, 1235), os.Chmod(path, mode)); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Setxattr(path, "user.note", []byte("kept"), 0); err != nil {
				needs(t, false, "a file system with extended attributes")
			}
			setcap(t, "cap_net_bind_service=ep", path)
			before := describe(t, path)
			for _, r := range []fakeRelease{v2, v3, v2} {
				if p := in.upgrade(t, r); len(p.Notes) != 0 {
					t.Errorf("notes: %q", p.Notes)
				}
				if got := describe(t, path); got != before {
					t.Errorf("now  %s\nwant %s", got, before)
				}
				if got := describe(t, in.exe.Program.PreviousPath()); got != before {
					t.Errorf("previous %s\nwant     %s", got, before)
				}
			}
			if err := in.exe.Restore(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := describe(t, path); got != before {
				t.Errorf("restored %s\nwant     %s", got, before)
			}
		})
	}
}

func describe(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		return err.Error()
	}
	caps, err := capabilities.Text(path)
	if err != nil {
		t.Error(err)
	}
	var note [32]byte
	n, _ := syscall.Getxattr(path, "user.note", note[:])
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d:%d %q note %q", info.Mode(), st.Uid, st.Gid, caps, note[:max(n, 0)])
}

// TestExecutableInheritedAccess: a default access list of the directory gives the
// new file no rights that the old one did not give.
func TestExecutableInheritedAccess(t *testing.T) {
	needsRoot(t)
	in := &installation{dir: t.TempDir()}
	path := filepath.Join(in.dir, "server")
	if err := os.WriteFile(path, []byte(v1["server"]), 0o755); err != nil {
		t.Fatal(err)
	}
	in.open(t, nil)
	in.exe.Copier, in.exe.Companions = nil, nil
	// Version 2; user::rwx, user:1234:rwx, group::r-x, mask::rwx, other::r-x.
	acl := []byte{2, 0, 0, 0,
		1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 7, 0, 0xd2, 4, 0, 0, 4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff,
		0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 5, 0, 0xff, 0xff, 0xff, 0xff}
	err := syscall.Setxattr(in.dir, "system.posix_acl_default", acl, 0)
	needs(t, err == nil, "a file system with access lists")
	in.upgrade(t, v2)
	var buf [128]byte
	if n, err := syscall.Getxattr(path, "system.posix_acl_access", buf[:]); err != syscall.ENODATA {
		t.Errorf("the new file has an access list: %x, %v", buf[:max(n, 0)], err)
	}
	if info, _ := os.Stat(path); info.Mode() != 0o755 {
		t.Errorf("mode %v", info.Mode())
	}
}

// TestExecutableOrdinaryUser: a binary that belongs to root, in a directory that
// the user may write. The kernel refuses both the link and the owner.
func TestExecutableOrdinaryUser(t *testing.T) {
	const uid = 65534
	if r := role(t); r != nil {
		in := &installation{dir: r["dir"]}
		in.open(t, nil)
		in.exe.Copier, in.exe.Companions = nil, nil
		for _, next := range []fakeRelease{v2, v3, v2} {
			p, err := in.exe.prepare(t.Context(), next.files(), next.open)
			fmt.Printf("notes: %q\n", p.Notes)
			if err != nil {
				t.Fatal(err)
			}
			if err := in.exe.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	needsRoot(t)
	protected, _ := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	needs(t, bytes.HasPrefix(protected, []byte("1")), "fs.protected_hardlinks=1")
	for _, setuid := range []bool{false, true} {
		in := &installation{dir: openDir(t)}
		path := filepath.Join(in.dir, "server")
		if err := os.WriteFile(path, []byte(v1["server"]), 0o755); err != nil {
			t.Fatal(err)
		}
		if setuid {
			os.Chmod(path, 0o755|fs.ModeSetuid)
		}
		if err := os.Chown(in.dir, uid, uid); err != nil {
			t.Fatal(err)
		}
		out, err := runRole(t, "TestExecutableOrdinaryUser", map[string]string{"dir": in.dir}, uid)
		if setuid {
			// The bit would now lend the rights of another user than before.
			if err == nil || !strings.Contains(out, "setuid") || in.names(t) != "server" || in.read(t, "server") != v1["server"] {
				t.Errorf("setuid: %v, %s\n%s", err, in.names(t), out)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Count(out, "hard link") != 1 || strings.Count(out, "belonged to 0:0") != 2 {
			t.Errorf("notes are not those of one copy and one change of owner:\n%s", out)
		}
		if got, want := describe(t, path), fmt.Sprintf("-rwxr-xr-x %d:%d", uid, uid); !strings.HasPrefix(got, want) {
			t.Errorf("now %s", got)
		}
		if got := in.names(t) + "/" + in.read(t, ".server.previous"); got != ".server.previous server/"+v3["server"] {
			t.Errorf("left %s", got)
		}
	}
}

// TestExecutableKilled kills a real process before each operation.
func TestExecutableKilled(t *testing.T) {
	if r := role(t); r != nil {
		var n int
		fmt.Sscan(r["n"], &n)
		in := &installation{dir: r["dir"]}
		f := &faultfs.FS{Under: quick{}}
		f.Before = func(o faultfs.Op) error {
			if o.N == n {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		}
		in.upgradeWith(t, in.open(t, f), v3)
		fmt.Println("count", f.Count())
		return
	}
	for n := 1; ; n++ {
		in := running(t)
		out, err := runRole(t, "TestExecutableKilled", map[string]string{"dir": in.dir, "n": fmt.Sprint(n)}, 0)
		if err == nil {
			if !strings.Contains(out, fmt.Sprintf("count %d\n", n-1)) {
				t.Fatalf("operation %d was never reached:\n%s", n, out)
			}
			t.Logf("killed %d times", n-1)
			return
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("operation %d: %v\n%s", n, err, out)
		}
		when := fmt.Sprintf("killed before operation %d", n)
		in.whole(t, when, "server", "tool", ".server.previous")
		e := in.open(t, quick{})
		if err := e.Sweep(t.Context()); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if err := e.Commit(t.Context()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", when, err)
		}
		if got := in.whole(t, when, "server", "tool"); got != "v2/v2" && got != "v3/v3" {
			t.Errorf("%s: mixed, %s", when, got)
		}
		in.recovered(t, when)
	}
}

func (in *installation) upgradeWith(t *testing.T, e *Executable, r fakeRelease) {
	if _, err := e.prepare(t.Context(), r.files(), r.open); err != nil {
		t.Fatal(err)
	}
	if err := e.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
