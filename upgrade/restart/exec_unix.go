//go:build unix

package restart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

func (s *Sockets) checkExec(ctx context.Context, path string) error {
	if err := s.checkStart(path); err != nil {
		return fmt.Errorf("restart: exec: %w", err)
	}
	if err := s.overlapped(); err != nil {
		return fmt.Errorf("restart: exec: %w", err)
	}
	if s.c.KeepChildren {
		return nil
	}
	kids, err := children()
	if err != nil {
		return fmt.Errorf("restart: exec: look for child processes, which nobody would wait for any more: %w; end them and set KeepChildren", err)
	}
	if len(kids) > 0 {
		return fmt.Errorf("restart: exec: %s alive (%s) and nobody would wait for them any more: end them, set KeepChildren, or let a supervisor restart the server",
			plural(len(kids), "child process is", "child processes are"), strings.Join(kids, ", "))
	}
	return ctx.Err()
}

// checkStart tells whether path can be started as this program was.
func (s *Sockets) checkStart(path string) error {
	if err := checkProgram(path); err != nil {
		return err
	}
	if s.start.err != nil {
		return fmt.Errorf("the working directory of the start is not known, start the server in one that exists: %w", s.start.err)
	}
	if err := unix.Access(s.start.dir, unix.X_OK); err != nil {
		return fmt.Errorf("the new program would start in %s as this one did, and cannot: %w", s.start.dir, err)
	}
	return nil
}

// busyRetries is how often an exec is tried that finds the file open for
// writing: a child of ours that was forked while the file was written has it
// until its own exec, a moment later (golang/go#22315).
const busyRetries = 50

func (s *Sockets) restartExec(ctx context.Context, path string) (err error) {
	if err := s.begin(ctx, "exec"); err != nil {
		return err
	}
	defer s.over()
	if err := checkProgram(path); err != nil {
		return fmt.Errorf("restart: exec: %w", err)
	}
	if s.start.err != nil {
		return fmt.Errorf("restart: exec: the working directory of the start is not known: %w", s.start.err)
	}

	if told, _ := daemon.SdNotify(false, reloading()); told {
		defer daemon.SdNotify(false, daemon.SdNotifyReady) // reached only if exec failed
	}
	back, wderr := os.Getwd()
	if err := os.Chdir(s.start.dir); err != nil {
		return fmt.Errorf("restart: exec: back to the working directory of the start: %w", err)
	}
	defer func() {
		if wderr != nil {
			return // it was removed under us before, there is no way back
		}
		if e := os.Chdir(back); e != nil {
			err = errors.Join(err, fmt.Errorf("restart: exec: undo: %w", e))
		}
	}()
	err = whileBusy(ctx, func() error { return s.execve(path) })
	return fmt.Errorf("restart: exec %s: %w; this program goes on", path, err)
}

// whileBusy calls start again while the program is open for writing.
func whileBusy(ctx context.Context, start func() error) error {
	for try := 0; ; try++ {
		err := start()
		if !errors.Is(err, syscall.ETXTBSY) || try == busyRetries {
			return err
		}
		if e := pauseFor(ctx, 10*time.Millisecond); e != nil {
			return err
		}
	}
}

// reloading is what the service manager is told when a restart begins.
func reloading() string {
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic()/1000)
}

// execve replaces the program. When it returns everything is as before.
func (s *Sockets) execve(path string) error {
	p := s.account()

	// No child is forked between here and the exec, so that none inherits what
	// is passed on: a child that holds a listener keeps clients hanging in its
	// queue after the server's end.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()

	ignored, restore := ignoreSignals()
	defer restore()
	p.Ignored = ignored
	env, fds, err := s.passOn(p)
	if err != nil {
		return err
	}
	defer func() {
		for _, fd := range fds {
			setCloseOnExec(fd, true)
		}
	}()
	for _, fd := range fds {
		if err := setCloseOnExec(fd, false); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	if err := syscall.Exec(path, s.start.args, env); err != nil {
		return os.NewSyscallError("execve", err)
	}
	return nil
}
