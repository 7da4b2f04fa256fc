package upgradecmd

import (
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// A machine is what a command sees of the process and terminal it runs in.
type machine struct {
	getenv   func(string) string
	terminal func(stream any) (width, height int, ok bool) // of a stream, if it is one
	signals  func() (c <-chan os.Signal, stop func())      // that end a command
	resized  func() (c <-chan os.Signal, stop func())
	loc      *time.Location
}

func thisMachine() machine {
	return machine{
		getenv:   os.Getenv,
		terminal: terminalSize,
		signals:  func() (<-chan os.Signal, func()) { return notify(os.Interrupt, syscall.SIGTERM) },
		resized:  func() (<-chan os.Signal, func()) { return notify(resizeSignals...) },
		loc:      time.Local,
	}
}

func notify(sigs ...os.Signal) (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 2)
	if len(sigs) > 0 { // none would mean all
		signal.Notify(c, sigs...)
	}
	return c, func() { signal.Stop(c) }
}

// terminalSize judges the stream itself; nothing here ever opens /dev/tty.
func terminalSize(stream any) (width, height int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	enableEscapes(f)
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24, true
	}
	return width, height, true
}

// A stream is one of stdout and stderr.
type stream struct {
	io.Writer
	tty   bool
	style style
}

// stream judges w by itself: where it leads, and what the environment asks.
func (m machine) stream(w io.Writer, noColour bool) stream {
	_, _, tty := m.terminal(w)
	return stream{Writer: w, tty: tty, style: style{
		colour: !noColour && m.colour(tty),
		utf8:   m.utf8(),
	}}
}

func (m machine) colour(tty bool) bool {
	switch {
	case m.getenv("NO_COLOR") != "":
		return false
	case yes(m.getenv("CLICOLOR_FORCE")), yes(m.getenv("FORCE_COLOR")):
		return true
	}
	return tty && m.getenv("CLICOLOR") != "0" && m.getenv("TERM") != "dumb" && (m.getenv("TERM") != "" || runtime.GOOS == "windows")
}

// utf8 reports whether the two signs can be shown. As everywhere the first of
// the three variables that is set decides.
func (m machine) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := m.getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return m.getenv("WT_SESSION") != ""
}

// live reports whether a region can be redrawn on w, and is welcome.
func (m machine) live(w stream) bool {
	term := m.getenv("TERM")
	known := term != "" && term != "dumb" || term == "" && runtime.GOOS == "windows"
	return w.tty && known && !yes(m.getenv("ACCESSIBLE"))
}

// yes reads a variable that switches something on.
func yes(value string) bool {
	switch strings.ToLower(value) {
	case "", "0", "false", "no":
		return false
	}
	return true
}

// size is that of the terminal behind w. COLUMNS goes before what it says.
func (m machine) size(w io.Writer) (width, height int) {
	width, height, ok := m.terminal(w)
	if !ok {
		width, height = 80, 0
	}
	if n, err := strconv.Atoi(m.getenv("COLUMNS")); err == nil && n >= 20 {
		width = n
	}
	return width, height
}
