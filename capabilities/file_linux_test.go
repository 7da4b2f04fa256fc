package capabilities

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const nobody = 65534

func needs(t *testing.T, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("LEADERLAST_NOSKIP") != "" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}

func needsRoot(t *testing.T) {
	t.Helper()
	needs(t, os.Geteuid() == 0, "root")
}

// raw makes an attribute of a revision.
func raw(revision uint32, permitted, inheritable uint64, effective bool, root uint32) []byte {
	w := []uint32{revision, uint32(permitted), uint32(inheritable)}
	if effective {
		w[0] |= effectiveBit
	}
	if revision != revision1 {
		w = append(w, uint32(permitted>>32), uint32(inheritable>>32))
	}
	if revision == revision3 {
		w = append(w, root)
	}
	var b []byte
	for _, v := range w {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func file(t *testing.T, dir, name string, attr []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if attr != nil {
		if err := unix.Lsetxattr(path, attribute, attr, 0); err != nil {
			t.Fatalf("give %s capabilities: %v", path, err)
		}
	}
	return path
}

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

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name string
		p    []byte
		want set
		bad  bool
	}{
		{"revision 1", raw(revision1, 1<<10, 0, true, 0), set{permitted: 1 << 10, effective: true}, false},
		{"revision 2", raw(revision2, 1<<10|1<<39, 1<<2, false, 0), set{permitted: 1<<10 | 1<<39, inheritable: 1 << 2}, false},
		{"revision 3", raw(revision3, 1, 0, true, 7), set{permitted: 1, effective: true, root: 7}, false},
		{"empty set", raw(revision2, 0, 0, false, 0), set{}, false},
		{"nothing", nil, set{}, true},
		{"short", raw(revision2, 1, 0, true, 0)[:16], set{}, true},
		{"long", append(raw(revision2, 1, 0, true, 0), 0), set{}, true},
		{"revision 4", append(raw(revision3, 1, 0, true, 0)[:3], append([]byte{4}, make([]byte, 20)...)...), set{}, true},
	} {
		got, err := decode(c.p)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
		c.want.raw = got.raw
		if !c.bad && (!got.same(c.want) || !bytes.Equal(got.raw, c.p)) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// TestText compares with what setcap makes of the text.
func TestText(t *testing.T) {
	needsRoot(t)
	tool := absolute("setcap")
	_, err := os.Stat(tool)
	needs(t, err == nil, "setcap")
	dir := t.TempDir()
	for _, want := range []string{
		"cap_net_bind_service=ep",
		"cap_net_bind_service,cap_net_raw=ep",
		"cap_chown=p cap_net_raw=ip",
		"cap_net_raw=i",
		"cap_perfmon,cap_bpf,cap_checkpoint_restore=ep",
		"=",
	} {
		src, dst := file(t, dir, "src", nil), file(t, dir, "dst", nil)
		if out, err := exec.Command(tool, want, src).CombinedOutput(); err != nil {
			t.Fatalf("setcap %q: %v %s", want, err, out)
		}
		got, err := Text(src)
		if err != nil || got != want {
			t.Errorf("%q, want %q: %v", got, want, err)
		}
		if out, err := exec.Command(tool, got, dst).CombinedOutput(); err != nil {
			t.Errorf("setcap does not take %q: %v %s", got, err, out)
		}
		if same, err := Equal(src, dst); !same || err != nil {
			t.Errorf("%q came out differently: %v", got, err)
		}
		os.Remove(src)
		os.Remove(dst)
	}
	if got, err := Text(file(t, dir, "none", nil)); got != "" || err != nil {
		t.Errorf("file without: %q %v", got, err)
	}
	if _, err := Text(file(t, dir, "named", raw(revision3, 1<<10, 0, true, 1000))); !errors.Is(err, ErrNamespaced) {
		t.Errorf("revision 3: %v", err)
	}
	if _, err := Text(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestCopyNative(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	ctx := t.Context()
	for i, attr := range [][]byte{
		nil,
		raw(revision2, 1<<10, 0, true, 0),
		raw(revision2, 1<<10|1<<39, 1<<2, false, 0),
		raw(revision2, 0, 0, false, 0),
		raw(revision3, 1<<10, 0, true, 1000),
	} {
		for _, before := range [][]byte{nil, raw(revision2, 1<<12, 0, true, 0)} {
			src, dst := file(t, dir, "src", attr), file(t, dir, "dst", before)
			if err := (File{Command: "false"}).Copy(ctx, dst, src); err != nil {
				t.Errorf("%d: %v", i, err)
			}
			var p [64]byte
			n, err := unix.Lgetxattr(dst, attribute, p[:])
			if attr == nil && err != unix.ENODATA || attr != nil && !bytes.Equal(p[:max(n, 0)], attr) {
				t.Errorf("%d: %x %v, want %x", i, p[:max(n, 0)], err, attr)
			}
			os.Remove(dst)
			if err := (File{Command: "false"}).Check(ctx, dst, src); err != nil {
				t.Errorf("%d: Check: %v", i, err)
			}
			if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%d: Check left %v", i, err)
			}
			os.Remove(src)
		}
	}
	if err := (File{}).Copy(ctx, filepath.Join(dir, "missing"), file(t, dir, "src", nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no destination: %v", err)
	}
	link := filepath.Join(dir, "link")
	victim := file(t, dir, "victim", nil)
	os.Symlink(victim, link)
	src := file(t, dir, "strong", raw(revision2, 1<<10, 0, true, 0))
	if err := (File{Command: "false"}).Copy(ctx, link, src); err == nil {
		t.Error("a link was followed, or given capabilities")
	}
	if text, _ := Text(victim); text != "" {
		t.Errorf("victim has %s", text)
	}
	if err := (File{}).Check(ctx, link, src); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Check on a name that is taken: %v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := (File{}).Copy(done, victim, src); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCopyNowhereToKeepThem(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	src := file(t, t.TempDir(), "src", raw(revision2, 1<<10, 0, true, 0))
	// A file system without attributes, both as source and as destination.
	if err := (File{}).Copy(t.Context(), "/proc/self/status", "/proc/self/status"); err != nil {
		t.Errorf("neither: %v", err)
	}
	if err := (File{}).Copy(t.Context(), file(t, dir, "dst", nil), "/proc/self/status"); err != nil {
		t.Errorf("source: %v", err)
	}
	if err := (File{}).Copy(t.Context(), "/proc/self/comm", src); err == nil {
		t.Error("capabilities were lost without a word")
	}
}

// TestCommand runs as an ordinary user, who may not write the attribute.
func TestCommand(t *testing.T) {
	if os.Getenv("LEADERLAST_TEST_CASE") != "" {
		commandChild(t)
		return
	}
	needsRoot(t)
	for _, c := range []struct {
		name, command string
		noNew         bool
		want          []string // in the error; none if it is to succeed
	}{
		{"works", "DIR/setcap", false, nil},
		{"words", "'DIR/set cap' --", false, nil},
		{"lies", "true", false, []string{ErrDiffer.Error()}},
		{"fails", "DIR/fails 'a b'", false, []string{"exit status 3", "no luck with a b cap_net_bind_service=ep"}},
		{"missing", "leaderlast-no-such-tool -x", false, []string{exec.ErrNotFound.Error(), "install it"}},
		{"unclosed quote", "'sudo -n", false, []string{"quote"}},
		{"blank", " ", false, []string{"is empty"}},
		{"no new privileges", "", true, []string{ErrNoNewPrivileges.Error(), "AmbientCapabilities="}},
		{"sudo without a rule", "", false, []string{ErrPassword.Error(), "NOPASSWD: ", `cap_net_bind_service\=ep`}},
		{"sudo that would ask", "sudo setcap", false, []string{ErrPassword.Error()}},
		{"no end", "DIR/hangs", false, []string{"test is over"}},
		{"namespaced", "DIR/setcap", false, []string{ErrNamespaced.Error()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.name, "sudo") || c.noNew {
				_, err := exec.LookPath("sudo")
				needs(t, err == nil, "sudo")
			}
			dir := openDir(t)
			attr := raw(revision2, 1<<10, 0, true, 0)
			if c.name == "namespaced" {
				attr = raw(revision3, 1<<10, 0, true, 1000)
			}
			src, dst := file(t, dir, "src", attr), file(t, dir, "dst", nil)
			if err := os.Chown(dst, nobody, nobody); err != nil {
				t.Fatal(err)
			}
			// Root's setcap by other means than sudo: a copy with the right to.
			tool, err := os.ReadFile(absolute("setcap"))
			needs(t, err == nil, "setcap")
			strong := file(t, dir, "setcap", nil)
			if err := os.WriteFile(strong, tool, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Lsetxattr(strong, attribute, raw(revision2, 1<<31, 0, true, 0), 0); err != nil {
				t.Fatal(err)
			}
			script(t, dir, "set cap", `[ "$1" = -- ] && shift; exec "`+strong+`" "$@"`)
			script(t, dir, "fails", `echo "no luck with $1" "$2" >&2; exit 3`)
			script(t, dir, "hangs", `echo $$ > /dev/null; sleep 600 & wait`)
			self, err := os.ReadFile("/proc/self/exe")
			if err != nil {
				t.Fatal(err)
			}
			test := filepath.Join(dir, "test")
			if err := os.WriteFile(test, self, 0o755); err != nil {
				t.Fatal(err)
			}
			role, _ := json.Marshal(map[string]any{"name": c.name, "dst": dst, "src": src, "nnp": c.noNew,
				"command": strings.ReplaceAll(c.command, "DIR", dir)})
			cmd := exec.Command(test, "-test.run=^TestCommand$")
			cmd.Env = append(os.Environ(), "LEADERLAST_TEST_CASE="+string(role))
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			out, err := cmd.CombinedOutput()
			same, _ := Equal(dst, src)
			if (c.want == nil) != (err == nil) || same != (err == nil) {
				t.Errorf("error %v, equal %v\n%s", err, same, out)
			}
			for _, w := range c.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("not said: %q\n%s", w, out)
				}
			}
		})
	}
}

func commandChild(t *testing.T) {
	var role struct {
		Name, Dst, Src, Command string
		NNP                     bool
	}
	if err := json.Unmarshal([]byte(os.Getenv("LEADERLAST_TEST_CASE")), &role); err != nil {
		t.Fatal(err)
	}
	if role.NNP {
		// It belongs to a thread, and goes to what that thread starts.
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	if role.Name == "no end" {
		c, cancel := context.WithTimeoutCause(ctx, 300*time.Millisecond, errors.New("test is over"))
		defer cancel()
		ctx = c
	}
	if err := (File{Command: role.Command}).Copy(ctx, role.Dst, role.Src); err != nil {
		t.Fatal(err)
	}
}

func script(t *testing.T, dir, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
