//go:build unix

package show

import (
	"os/exec"
	"syscall"
)

// detach keeps the terminal's signals from cmd.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
