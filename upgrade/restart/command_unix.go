//go:build unix

package restart

import (
	"os"
	"os/exec"
	"syscall"
)

// detach gives the command a session of its own: a signal to the server's process
// group or terminal does not reach it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func killGroup(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// scratch returns an open file that has no name any more.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "leaderlast-command-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
