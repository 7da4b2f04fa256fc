package capabilities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kballard/go-shellquote"
	"golang.org/x/sys/unix"
)

// run has the configured command write the set.
func (f File) run(ctx context.Context, dst, src string, want set) error {
	text, err := text(src, want)
	if errors.Is(err, ErrNamespaced) {
		return fmt.Errorf("%w; run the server as root of that namespace, or give %s plain capabilities", err, src)
	}
	if err != nil {
		return err
	}
	words, err := shellquote.Split(f.command())
	if err != nil {
		return fmt.Errorf("command %q: %w", f.command(), err)
	}
	if len(words) == 0 {
		return fmt.Errorf("command %q is empty: %w", f.command(), fs.ErrInvalid)
	}
	tool := filepath.Base(words[0])
	if raisesRights(tool) {
		if set, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); set == 1 {
			return fmt.Errorf("%s cannot work: %w; let the service manager give the rights instead "+
				"(AmbientCapabilities= of systemd) and remove them from %s (setcap -r), or unset NoNewPrivileges=",
				tool, ErrNoNewPrivileges, src)
		}
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return fmt.Errorf("%w; install it, or configure another command", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, commandLimit,
		fmt.Errorf("no end after %v: %w", commandLimit, context.DeadlineExceeded))
	defer cancel()

	var said tail
	cmd := exec.CommandContext(ctx, path, append(words[1:], text, dst)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C") // what is said is looked at below
	cmd.Stdout, cmd.Stderr = &said, &said
	// Without a terminal nothing can ask a question; a group of its own lets all
	// of it be ended together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // sudo belongs to root: the signal may be refused
	if err = cmd.Run(); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", words[0], context.Cause(ctx))
	}
	if s := said.String(); strings.Contains(s, "password is required") || strings.Contains(s, "terminal is required") {
		err = ErrPassword
	} else if s != "" {
		err = fmt.Errorf("%w: %s", err, s)
	}
	if rule, rerr := f.Rule(dst, src); rerr == nil && tool == "sudo" {
		err = fmt.Errorf("%w; allow it with this line of sudoers: %s", err, rule)
	}
	return fmt.Errorf("%s: %w", words[0], err)
}

func raisesRights(tool string) bool {
	switch tool {
	case "sudo", "doas", "pkexec", "su", "run0":
		return true
	}
	return false
}

// Rule returns the line of sudoers that permits exactly what Copy(ctx, dst, src)
// runs, for the user of this process. If src has no capabilities, or Command
// does not begin with sudo, it is "".
func (f File) Rule(dst, src string) (string, error) {
	s, err := read(src)
	if err != nil || s.raw == nil {
		return "", err
	}
	text, err := text(src, s)
	if err != nil {
		return "", err
	}
	words, err := shellquote.Split(f.command())
	if err != nil {
		return "", fmt.Errorf("capabilities: command %q: %w", f.command(), err)
	}
	if len(words) == 0 || filepath.Base(words[0]) != "sudo" {
		return "", nil
	}
	words = words[1:]
	for len(words) > 0 && words[0] == "-n" {
		words = words[1:]
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "-") {
		return "", nil // an option of sudo that changes who or where: the rule is the operator's
	}
	words[0] = absolute(words[0])
	who := fmt.Sprintf("#%d", os.Geteuid())
	if u, err := user.LookupId(who[1:]); err == nil {
		who = u.Username
	}
	escape := strings.NewReplacer(`\`, `\\`, ",", `\,`, ":", `\:`, "=", `\=`, " ", `\ `, "*", `\*`, "?", `\?`, "[", `\[`)
	words = append(words, text, dst)
	for i, w := range words {
		words[i] = escape.Replace(w)
	}
	return who + " ALL=(root) NOPASSWD: " + strings.Join(words, " "), nil
}

// absolute finds a tool as sudo would, whose path has the directories that a
// user's lacks.
func absolute(tool string) string {
	if filepath.IsAbs(tool) {
		return tool
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		p := filepath.Join(dir, tool)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p
		}
	}
	return "/usr/sbin/" + tool
}

// A tail keeps the end of what a command says, on one line.
type tail struct{ b []byte }

const tailSize = 1 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	return strings.Join(strings.Fields(string(bytes.ToValidUTF8(t.b, nil))), " ")
}
