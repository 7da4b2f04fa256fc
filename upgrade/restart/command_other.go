//go:build !unix

package restart

import (
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) { cmd.Process.Kill() }

// scratch returns no file: an open one cannot be removed here.
func scratch() (*os.File, error) { return nil, nil }
