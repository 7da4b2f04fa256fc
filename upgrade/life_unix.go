//go:build unix

package upgrade

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A lifeline is the link of a server to the process that watches it, if there is
// one. It goes on in the next program of the same process, and in no other.
type lifeline struct {
	mu   sync.Mutex
	link *link
}

// A link is one to a watcher that is a child of this process.
type link struct {
	fd      int
	file    *os.File // of fd
	watcher int      // its PID

	ready chan struct{}   // closed when the watcher says that it watches
	ended chan struct{}   // closed when it has ended and was waited for
	fate  unix.WaitStatus // of the watcher, once ended
}

// newLink takes fd, and waits for the watcher when it closes its end: it has ended
// then, or is about to.
func newLink(fd, watcher int) *link {
	unix.SetNonblock(fd, true) // so that deadlines work
	k := &link{
		fd: fd, file: os.NewFile(uintptr(fd), "watcher"), watcher: watcher,
		ready: make(chan struct{}), ended: make(chan struct{}),
	}
	go k.tend()
	return k
}

func (k *link) tend() {
	defer close(k.ended)
	var b [1]byte
	if n, _ := k.file.Read(b[:]); n == 1 {
		close(k.ready)
		_, _ = io.Copy(io.Discard, k.file)
	}
	for {
		if _, err := unix.Wait4(k.watcher, &k.fate, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// end waits for a watcher that was told that its time is over.
func (k *link) end() {
	t := time.NewTimer(watchEnd)
	defer t.Stop()
	select {
	case <-k.ended:
		return
	case <-t.C:
	}
	_ = unix.Kill(k.watcher, unix.SIGKILL) // nobody has waited for it: it is still that process
	<-k.ended
}

// inherit takes over what the program before has passed on.
func (l *lifeline) inherit() {
	value := os.Getenv(lifeEnv)
	os.Unsetenv(lifeEnv)
	var n [3]int
	for i, s := range strings.SplitN(value, ":", len(n)) {
		var err error
		if n[i], err = strconv.Atoi(s); err != nil {
			return
		}
	}
	if n[2] != os.Getpid() || n[0] < 3 {
		return // of another process
	}
	var st unix.Stat_t
	if unix.Fstat(n[0], &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return
	}
	unix.CloseOnExec(n[0])
	l.set(newLink(n[0], n[1]))
}

func (l *lifeline) set(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link = k
}

func (l *lifeline) get() *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.link
}

// say tells the watcher how far this process is. One that has ended need not know.
func (l *lifeline) say(w word) {
	if k := l.get(); k != nil {
		k.say(w)
	}
}

func (k *link) say(w word) {
	k.file.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = k.file.Write([]byte{byte(w)})
}

// over tells the watcher that its time is over.
func (l *lifeline) over() {
	l.mu.Lock()
	k := l.link
	l.link = nil
	l.mu.Unlock()
	if k == nil {
		return
	}
	k.say(wordOver)
	go func() { // the link keeps its number until nobody reads from it
		<-k.ended
		k.file.Close()
	}()
}

// hand passes the link on to the next program of this process; undo is for when
// there is none.
func (l *lifeline) hand() (undo func()) {
	k := l.get()
	if k == nil {
		return func() {}
	}
	k.say(wordGoes)
	os.Setenv(lifeEnv, strings.Join([]string{strconv.Itoa(k.fd), strconv.Itoa(k.watcher), strconv.Itoa(os.Getpid())}, ":"))
	unix.FcntlInt(uintptr(k.fd), unix.F_SETFD, 0)
	return func() {
		unix.CloseOnExec(k.fd)
		os.Unsetenv(lifeEnv)
	}
}
