package show

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// A Process is a server that runs on its own: Ctrl-C does not reach it.
type Process struct {
	PID   int
	Ended <-chan struct{} // closed when it has ended
	Began time.Time

	cmd *exec.Cmd
	log string
}

// Start runs cmd as a Process. What it prints is added to the file log.
func Start(cmd *exec.Cmd, log string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	detach(cmd)
	p := &Process{cmd: cmd, log: log, Began: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	p.PID, p.Ended = cmd.Process.Pid, ended
	go func() { defer close(ended); cmd.Wait() }()
	return p, nil
}

// Await calls serves until it returns nil: the server answers.
func (p *Process) Await(ctx context.Context, limit time.Duration, serves func(context.Context) error) error {
	for {
		err := serves(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Ended:
			return fmt.Errorf("the server ended at once; its log:\n%s", p.LastLog())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
			if time.Since(p.Began) > limit {
				return fmt.Errorf("the server does not answer after %v (%w); its log:\n%s", limit, err, p.LastLog())
			}
		}
	}
}

// Stop ends the server as an operator would, and by force if it does not end.
func (p *Process) Stop() {
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.Ended:
	case <-time.After(15 * time.Second):
		p.Kill()
	}
}

// Kill ends the server with SIGKILL.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.Ended
}

// LastLog is the end of what it printed.
func (p *Process) LastLog() string {
	b, _ := os.ReadFile(p.log)
	if len(b) > 4096 {
		b = b[len(b)-4096:]
	}
	return string(b)
}
