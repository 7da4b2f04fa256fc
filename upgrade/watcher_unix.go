//go:build unix

package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchEnv makes a process of this program a watcher: "<descriptor>:<pid that is
// watched>".
const watchEnv = "LEADERLAST_WATCH"

const canWatch = true

// watched starts a process that watches the next program, if there is to be one,
// and returns when it does. unwatch ends it again; it may be called repeatedly.
func (o *Orchestrator) watched(ctx context.Context) (unwatch func(), err error) {
	if !o.c.watches() {
		return func() {}, nil
	}
	s := o.c.Started
	s.life.over() // there is one at most
	k, err := s.startWatcher(ctx, charge{
		Program: s.Program.Path, Args: s.args, Dir: s.dir, Confirm: o.c.ConfirmTimeout, Stop: o.c.StopTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("start the process that watches the next program: %w", err)
	}
	s.life.set(k)
	o.c.Logger.Info("a process of this program watches the next one until that is confirmed", "pid", k.watcher, "confirm_timeout", o.c.ConfirmTimeout)
	return sync.OnceFunc(func() {
		s.life.over()
		k.end()
	}), nil
}

// startWatcher starts this very program once more, and returns when it watches.
func (s *Started) startWatcher(ctx context.Context, c charge) (*link, error) {
	charge, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	pid := strconv.Itoa(os.Getpid())
	syscall.ForkLock.RLock() // until nobody inherits the pair who is not meant
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(ends[0])
		unix.CloseOnExec(ends[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	watcher, err := syscall.ForkExec(selfPath(s.Program), []string{s.args[0], "(watches process " + pid + " until its upgrade is confirmed)"}, &syscall.ProcAttr{
		Dir: s.dir,
		Env: append(os.Environ(), watchEnv+"=3:"+pid),
		// It becomes the server, should it come to that: what that writes goes where it went.
		Files: []uintptr{0, 1, 2, uintptr(ends[1])},
	})
	unix.Close(ends[1])
	if err != nil {
		unix.Close(ends[0])
		return nil, os.NewSyscallError("fork/exec", err)
	}
	k := newLink(ends[0], watcher)
	k.file.SetWriteDeadline(time.Now().Add(watchReady))
	_, err = k.file.Write(append(charge, '\n'))
	t := time.NewTimer(watchReady)
	defer t.Stop()
	select {
	case <-k.ready:
		if err == nil {
			return k, nil
		}
	case <-k.ended:
		err = fmt.Errorf("it ended at once (%s); is upgrade.Probe the first line of main?", fateText(k.fate))
	case <-t.C:
		err = fmt.Errorf("it did not watch within %v: %w; is upgrade.Probe the first line of main?", watchReady, os.ErrDeadlineExceeded)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = unix.Kill(watcher, unix.SIGKILL)
	k.file.Close()
	<-k.ended
	return nil, err
}

// stand makes this process a watcher, if it was started as one, and does not
// return then.
func stand(id Identity) {
	ask := os.Getenv(watchEnv)
	if ask == "" {
		return
	}
	os.Unsetenv(watchEnv)
	os.Exit(watch(id, ask))
}

// A watcher is what a process of the program from before does while the next one
// is not confirmed.
type watcher struct {
	charge
	id     Identity
	pid    int // that is watched
	server *parent

	went   bool // the next program has taken the place of this one
	booted bool // and has come to Boot
}

func watch(id Identity, ask string) int {
	// From the first: whoever asks the server to end asks this process as well.
	signals := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(sig) { // as under nohup: the server that this may become ignores it too
			signal.Notify(signals, sig)
		}
	}
	text, of, _ := strings.Cut(ask, ":")
	fd, err := strconv.Atoi(text)
	pid, err2 := strconv.Atoi(of)
	if err != nil || err2 != nil || fd < 3 {
		return 2
	}
	unix.CloseOnExec(fd)
	unix.SetNonblock(fd, true)
	file := os.NewFile(uintptr(fd), "server")
	w := &watcher{id: id, pid: pid}
	file.SetReadDeadline(time.Now().Add(watchReady))
	words := bytes.Buffer{}
	for b := make([]byte, 4<<10); !bytes.Contains(words.Bytes(), []byte{'\n'}); {
		n, err := file.Read(b)
		if words.Write(b[:n]); err != nil {
			return 2 // the server has died before it was watched
		}
	}
	file.SetReadDeadline(time.Time{})
	line, _ := words.ReadBytes('\n')
	if err := json.Unmarshal(line, &w.charge); err != nil || len(w.Args) == 0 {
		return 2
	}
	if !runsFrom(w.Program) {
		return 2 // whoever asks, it is not the server: this process becomes nothing else
	}
	if w.server = watchParent(pid); w.server == nil {
		return 0
	}
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(w.Program)), 0) // it was started by another name
	if _, err := file.Write([]byte{'.'}); err != nil {
		return 2
	}
	heard := make(chan word, 16)
	go func() {
		defer close(heard)
		var b [1]byte
		for {
			if n, err := file.Read(b[:]); n == 0 && err != nil {
				return
			}
			heard <- word(b[0])
		}
	}()
	return w.run(heard, signals)
}

// runsFrom reports whether path is that of the program of this process, as it is of
// one that was started to watch: the next program is not in place yet. What this
// process may do more than the user who has started it, by the set-user-ID bit of
// its file or by capabilities, no other program is to have.
func runsFrom(path string) bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	this, err := os.Stat(selfPath(Program{Path: self}))
	if err != nil {
		return false
	}
	that, err := os.Lstat(path)
	return err == nil && os.SameFile(this, that)
}

// run returns the exit status of a watcher that did not have to act, or could not.
func (w *watcher) run(heard <-chan word, signals <-chan os.Signal) int {
	deadline := time.NewTimer(w.Stop + w.Confirm + w.margin())
	defer deadline.Stop()
	asked := false
	for {
		select {
		case s, ok := <-heard:
			if !ok {
				heard = nil // dead, or another program has closed what it does not know
				continue
			}
			if w.hears(s, deadline) {
				return 0
			}
		case <-signals:
			asked = true
		case <-w.server.gone:
			fate := w.server.fate()
			if !w.lastWords(heard, deadline) {
				return 0
			}
			select {
			case <-signals:
				asked = true
			default:
			}
			if asked || fate.Signaled() && asksToEnd(fate.Signal()) {
				return 0
			}
			return w.act(w.died(fate), signals, false)
		case <-deadline.C:
			if asked {
				return 0
			}
			return w.end(signals)
		}
	}
}

// hears reports whether the word is the last one.
func (w *watcher) hears(s word, deadline *time.Timer) (over bool) {
	switch s {
	case wordGoes: // it may go on to Boot, which tells; it does not watch itself before that
		w.went, w.booted = true, false
		deadline.Reset(w.Confirm)
	case wordBooted:
		w.booted = true
		deadline.Reset(w.Confirm + w.margin())
	case wordWaits:
		deadline.Reset(w.Confirm + w.margin())
	case wordReturns:
		deadline.Reset(returnBound)
	case wordOver:
		return true
	}
	return false
}

// lastWords takes what the server has said before it died, and reports whether
// there is still something to watch. A child of the server may hold its end of the
// link; then it is enough to have waited a little.
func (w *watcher) lastWords(heard <-chan word, deadline *time.Timer) bool {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	for heard != nil {
		select {
		case s, ok := <-heard:
			if !ok {
				return true
			}
			if w.hears(s, deadline) {
				return false
			}
		case <-t.C:
			return true
		}
	}
	return true
}

func asksToEnd(s syscall.Signal) bool {
	return s == unix.SIGINT || s == unix.SIGTERM || s == unix.SIGHUP
}

// died says how the server ended, as the end of a sentence that begins with the
// version that is put back.
func (w *watcher) died(fate unix.WaitStatus) string {
	how := ""
	if text := fateText(fate); text != "" {
		how = " (" + text + ")"
	}
	switch {
	case w.booted:
		return "died before it was confirmed" + how
	case w.went:
		return "died before it came to serve" + how
	}
	return "was in place when the one before it died" + how + ", and was not started"
}

// fateText says how a process ended, "" if that is not known.
func fateText(s unix.WaitStatus) string {
	switch {
	case s.Signaled():
		return "signal: " + s.Signal().String()
	case s == unknownFate:
		return ""
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// unknownFate is of no process: it has stopped, and has not.
const unknownFate = ^unix.WaitStatus(0)

func (w *watcher) complain(err error) int {
	w.say(err.Error())
	return 1
}

// say writes to the log of the server, as far as that is what it has for stderr.
func (w *watcher) say(text string) {
	fmt.Fprintf(os.Stderr, "upgrade: the process %d that watched %s (%d): %s\n", os.Getpid(), w.Program, w.pid, text)
}
