package upgradecmd

import (
	"os"

	"golang.org/x/sys/windows"
)

// resizeSignals is empty: the size is asked for at every redraw.
var resizeSignals []os.Signal

// enableEscapes asks a console to act on escape sequences. One that cannot
// shows them, as it does those of every other program.
func enableEscapes(f *os.File) {
	var mode uint32
	handle := windows.Handle(f.Fd())
	if windows.GetConsoleMode(handle, &mode) == nil {
		_ = windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
	}
}
