package restart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"
)

// commandBound is how long a command may take where ctx sets no limit: what
// systemd gives a service to stop by default.
const commandBound = 90 * time.Second

// Command is the Method that has somebody else restart the server, by a command
// such as "systemctl restart app". The line is split as a shell would, but no
// shell runs it: no variables, no redirection, no pipes.
//
// The command runs in a session of its own, with the environment and the working
// directory of the server and without input. Restart returns nil when it has
// exited with success: what is to end the server is then on its way (with
// systemctl --no-block it may take a moment), or never, if the command does
// something else. If it fails, or has not ended when ctx does (90 s if ctx has no
// deadline), it is killed with its children, and the error carries the last it
// wrote. Sockets live on as with Exit, and Last is always zero.
func Command(line string) (Method, error) {
	args, err := shellquote.Split(line)
	if err != nil {
		return Method{}, fmt.Errorf("restart: command %q: %w", line, err)
	}
	if len(args) == 0 {
		return Method{}, fmt.Errorf("restart: command: the line is empty: %w", os.ErrInvalid)
	}
	return Method{
		Name: "command",
		Check: func(ctx context.Context, path string) error {
			if err := checkProgram(path); err != nil {
				return fmt.Errorf("restart: command: %w", err)
			}
			if _, err := exec.LookPath(args[0]); err != nil {
				return fmt.Errorf("restart: command: %w; install it or name it by its full path", err)
			}
			return ctx.Err()
		},
		Restart: func(ctx context.Context, _ string) error {
			if err := runDetached(ctx, args); err != nil {
				return fmt.Errorf("restart: command %s: %w", shellquote.Join(args...), err)
			}
			return nil
		},
		Last: func() Report { return Report{} },
	}, nil
}

func runDetached(ctx context.Context, args []string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, commandBound)
		defer cancel()
	}
	cmd := exec.Command(args[0], args[1:]...)
	detach(cmd)
	// Not a pipe: when this process is ended, the command must be able to write
	// on.
	out, err := scratch()
	if err != nil {
		return err
	}
	if out != nil {
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		killGroup(cmd)
		<-done
		err = fmt.Errorf("it had not ended after the time it was given, and was killed: %w", context.Cause(ctx))
	}
	if err == nil {
		return nil
	}
	if s := tail(out); s != "" {
		err = fmt.Errorf("%w: %s", err, s)
	}
	return err
}

// tail returns the last the command wrote, on one line.
func tail(f *os.File) string {
	if f == nil {
		return ""
	}
	const most = 1024
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b := make([]byte, min(end, most))
	if _, err := f.ReadAt(b, end-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return strings.Join(strings.Fields(string(bytes.ToValidUTF8(b, nil))), " ")
}
