package show

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Scene is where a demo plays: a directory that everything lies in, and a
// program whose commands are shown.
type Scene struct {
	Out     io.Writer // what people read
	Dir     string
	Program string   // path
	Env     []string // besides the present one, for its commands
}

// Say prints a line.
func (s *Scene) Say(mark, format string, args ...any) {
	fmt.Fprintf(s.Out, "%s %s\n", mark, fmt.Sprintf(format, args...))
}

// Took says how long something took that began then.
func Took(begin time.Time) string {
	if d := time.Since(begin); d >= time.Second {
		return d.Round(time.Second).String()
	}
	return "under 1s"
}

// Build makes the program out from the source of pkg. The values are set when it
// is linked: "main.version=1.0.0".
func (s *Scene) Build(ctx context.Context, out, pkg string, values ...string) error {
	flags := "-s -w"
	for _, v := range values {
		flags += " -X " + v
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "GOTMPDIR="+s.Dir) // what it leaves when it is interrupted goes with the rest
	Interruptible(cmd)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s (run the demo inside the repository): %w\n%s", filepath.Base(out), err, text)
	}
	return nil
}

// Command runs a command of the program, and shows it.
func (s *Scene) Command(ctx context.Context, args ...string) error {
	name := filepath.Base(s.Program) + " " + strings.Join(args, " ")
	fmt.Fprintf(s.Out, "\n$ %s\n", name)
	cmd := s.Prepare(ctx, args...)
	cmd.Stdout, cmd.Stderr = s.Out, s.Out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Prepare returns a command of the program that Ctrl-C reaches through the demo.
func (s *Scene) Prepare(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.Program, args...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), s.Env...)
	Interruptible(cmd)
	return cmd
}

// Interruptible has Ctrl-C reach cmd through the demo alone: cmd must not fail
// before the demo knows why.
func Interruptible(cmd *exec.Cmd) {
	detach(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
}

// AwaitInterrupt is for a command that a signal ended: it may have been Ctrl-C,
// in the instant before the command had a process group of its own. We hear of it
// too, perhaps a moment later.
func AwaitInterrupt(ctx context.Context, err error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
