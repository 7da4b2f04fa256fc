package capabilities

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRule(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	src := file(t, dir, "src", raw(revision2, 1<<10|1<<13, 0, true, 0))
	for _, c := range []struct{ command, dst, want string }{
		{"", "/opt/.server.upgrade", `root ALL=(root) NOPASSWD: ` + absolute("setcap") + ` cap_net_bind_service\,cap_net_raw\=ep /opt/.server.upgrade`},
		{"sudo -n /x/caps -q", "/opt/a b", `root ALL=(root) NOPASSWD: /x/caps -q cap_net_bind_service\,cap_net_raw\=ep /opt/a\ b`},
		{"doas setcap", "/opt/a", ""},
		{"sudo -u other setcap", "/opt/a", ""},
	} {
		got, err := File{Command: c.command}.Rule(c.dst, src)
		if err != nil || got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.command, got, err, c.want)
		}
	}
	if got, err := (File{}).Rule("/opt/a", file(t, dir, "none", nil)); got != "" || err != nil {
		t.Errorf("no capabilities: %q, %v", got, err)
	}
}

// TestSudo has sudo permit one path to an ordinary user, by the line that Rule
// gives, and nothing else.
func TestSudo(t *testing.T) {
	if v := os.Getenv("LEADERLAST_TEST_SUDO"); v != "" {
		var p [3]string
		if err := json.Unmarshal([]byte(v), &p); err != nil {
			t.Fatal(err)
		}
		rule, err := File{}.Rule(p[0], p[2])
		fmt.Printf("rule: %s\n", rule)
		if err == nil {
			err = File{}.Check(t.Context(), p[1], p[2])
		}
		fmt.Printf("check: %v\n", err)
		return
	}
	needsRoot(t)
	_, err := exec.LookPath("sudo")
	needs(t, err == nil, "sudo")
	info, err := os.Stat("/etc/sudoers.d")
	needs(t, err == nil && info.IsDir(), "/etc/sudoers.d")
	dir := openDir(t)
	src := file(t, dir, "src", raw(revision2, 1<<10, 0, true, 0))
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	test := filepath.Join(dir, "test")
	if err := os.WriteFile(test, self, 0o755); err != nil {
		t.Fatal(err)
	}
	permitted, other := filepath.Join(dir, ".server.upgrade"), filepath.Join(dir, ".other.upgrade")
	run := func(try string) string {
		paths, _ := json.Marshal([]string{permitted, try, src})
		cmd := exec.Command(test, "-test.run=^TestSudo$")
		cmd.Env = append(os.Environ(), "LEADERLAST_TEST_SUDO="+string(paths))
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".*.upgrade")); len(left) > 0 {
			t.Errorf("left %v", left)
		}
		return string(out)
	}
	out := run(permitted)
	if !strings.Contains(out, ErrPassword.Error()) {
		t.Fatalf("without a rule: %s", out)
	}
	_, rest, _ := strings.Cut(out, "rule: ")
	rule, _, _ := strings.Cut(rest, "\n")
	// The rule stands in a directory that only the processes started from this
	// thread see in place of the real one. The thread ends with the test.
	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "leaderlast"), []byte(rule+"\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	err = unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount(rules, "/etc/sudoers.d", "", unix.MS_BIND, "")
	}
	needs(t, err == nil, "mount namespaces")
	if out := run(permitted); !strings.Contains(out, "check: <nil>") {
		t.Errorf("with the rule %q: %s", rule, out)
	}
	if out := run(other); !strings.Contains(out, ErrPassword.Error()) {
		t.Errorf("the rule permits more than it says: %s", out)
	}
}
