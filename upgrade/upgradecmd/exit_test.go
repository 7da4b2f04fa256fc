package upgradecmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

func TestCodeOf(t *testing.T) {
	ctx := context.Background()
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(cause)
		return ctx
	}
	late, cancel := context.WithDeadline(ctx, time.Now())
	defer cancel()
	refused := func(k upgrade.Kind) error { return fmt.Errorf("x: %w", &upgrade.Refusal{Kind: k}) }
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{ctx, errors.New("x"), CodeError},
		{ctx, usagef("x"), CodeUsage},
		{ctx, &ExitError{Code: CodeNeedsHands}, CodeNeedsHands},
		{ctx, refused(upgrade.Invalid), CodeRefused},
		{ctx, refused(upgrade.Short), CodeRefused},
		{ctx, refused(upgrade.NotFound), CodeRefused},
		{ctx, refused(upgrade.Conflict), CodeRefused},
		{ctx, refused(upgrade.NotReady), CodeRefused},
		{ctx, refused(upgrade.TooLarge), CodeRefused},
		{ctx, refused(upgrade.NoSpace), CodeRefused},
		{ctx, refused(upgrade.Busy), CodeRefused},
		{ctx, refused(upgrade.Unsupported), CodeRefused},
		{ctx, refused(upgrade.Untrusted), CodeDenied},
		{ctx, refused(upgrade.Forbidden), CodeDenied},
		{ctx, refused(upgrade.Unavailable), CodeUnknown},
		{ctx, &unknownError{lines: []string{"x"}}, CodeUnknown},
		{ctx, &archive.Error{Reason: archive.Truncated}, CodeRefused},
		{ctx, &archive.Error{Reason: archive.Unsigned}, CodeDenied},
		{ctx, &url.Error{Err: errors.New("x")}, CodeUnknown},
		{ctx, &net.OpError{Err: syscall.ECONNREFUSED}, CodeUnknown},
		{ctx, &fs.PathError{Err: syscall.ENOENT}, CodeError},
		{ended(&signalCause{os.Interrupt}), errors.New("x"), CodeInterrupt},
		{ended(&signalCause{syscall.SIGTERM}), errors.New("x"), CodeTerminate},
		{ended(nil), errors.New("x"), CodeInterrupt},
		{ended(&timeoutCause{"x"}), errors.New("x"), CodeTimeout},
		{late, errors.New("x"), CodeTimeout},
	} {
		if got := codeOf(c.ctx, c.err); got != c.want {
			t.Errorf("%T %v: exit code %d, want %d", c.err, c.err, got, c.want)
		}
	}
	if ExitCode(nil) != 0 || ExitCode(errors.New("x")) != 1 || ExitCode(fmt.Errorf("x: %w", &ExitError{Code: 9})) != 9 {
		t.Error("ExitCode")
	}
	for _, code := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 130, 143} {
		if _, ok := exitNames[code]; !ok {
			t.Errorf("exit code %d has no name", code)
		}
	}
}

func TestCompletion(t *testing.T) {
	makeArchive(t)
	for args, want := range map[string]string{
		"upgrade st":                  "stage start status",
		"upgrade provd-":              "provd-4.12.0.zip",
		"upgrade n":                   "",
		"upgrade --progress ":         "auto tty plain none",
		"upgrade status -o ":          "text json",
		"upgrade pack --format ":      "zip tar.gz",
		"upgrade status --":           "--endpoint --no-color --output --progress --timeout --token-file --yes --exit-code --fresh --member --watch",
		"upgrade start ":              "",
		"upgrade unstage ":            "",
		"upgrade check ./":            "zip tgz tar.gz",
		"upgrade stage ./":            "zip tgz tar.gz",
		"upgrade stage a.zip ":        "",
		"upgrade sign --key k ./":     "zip tgz tar.gz",
		"upgrade ./":                  "zip tgz tar.gz",
		"upgrade inspect --program ":  "",
		"upgrade start --skip-check ": "",
	} {
		r := &running{result: make(chan error, 1)}
		root := r.root(t)
		last := strings.LastIndexByte(args, ' ')
		root.SetArgs(append(append([]string{cobra.ShellCompNoDescRequestCmd}, strings.Fields(args[:last])...), args[last+1:]))
		if err := root.Execute(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		var got []string
		for _, line := range strings.Fields(r.out.String()) {
			if strings.HasPrefix(line, ":") {
				break
			}
			if line != "--help" && line != "--product" {
				got = append(got, line)
			}
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%q completes to %q, want %q", args, g, want)
		}
	}
}

// With stdout in a file, the file holds what stays and no escape, and the terminal
// what is redrawn and nothing else.
func TestStreams(t *testing.T) {
	r := run(t, setup{script: "cluster-failed", width: 80, onlyErr: true, coloured: true, args: []string{"upgrade", "start", "--watch"}})
	if text := r.screen.text(); strings.TrimSpace(text) != "" {
		t.Errorf("on the terminal stayed:\n%s", text)
	}
	out := r.out.String()
	if strings.ContainsRune(out, '\x1b') || !strings.Contains(out, "m2  done") || !strings.Contains(out, "failed: 4.12.0 does not start") {
		t.Errorf("in the file:\n%s", out)
	}
}

// A group can be the root of a program, have another name, and another program.
func TestMounting(t *testing.T) {
	group := New(Config{Name: "self-update", Program: "drpd"})
	root := &cobra.Command{Use: "provd"}
	system := &cobra.Command{Use: "system"}
	root.AddCommand(system)
	system.AddCommand(group)
	tree := &tree{Config: Config{Program: "drpd"}, root: group}
	if got := tree.path(); got != "drpd system self-update" {
		t.Errorf("mounted: %q", got)
	}
	tree.Program = ""
	if got := tree.path(); got != "provd system self-update" {
		t.Errorf("mounted: %q", got)
	}
	alone := New(Config{Program: "provd-upgrade"})
	tree.root, tree.Program = alone, "provd-upgrade"
	if got := tree.path(); got != "provd-upgrade" {
		t.Errorf("alone: %q", got)
	}
	for _, word := range []string{"./x", "x.zip", "x.TGZ", "a.tar.gz", `C:\x`} {
		if !isArchiveName(word) {
			t.Errorf("%s is no archive", word)
		}
	}
	for _, word := range []string{"status", ".zip", "zip", "x.gz", ""} {
		if isArchiveName(word) {
			t.Errorf("%s is an archive", word)
		}
	}
}
