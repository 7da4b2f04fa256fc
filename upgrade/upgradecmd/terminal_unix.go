//go:build unix

package upgradecmd

import (
	"os"
	"syscall"
)

var resizeSignals = []os.Signal{syscall.SIGWINCH}

// enableEscapes does nothing where terminals understand them unasked.
func enableEscapes(*os.File) {}
