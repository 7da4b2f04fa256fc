package upgradecmd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T, w, h uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("LEADERLAST_NOSKIP") != "" {
			t.Fatalf("needs a pseudo-terminal: %v", err)
		}
		t.Skipf("needs a pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	setSize(t, master, w, h)
	return master, slave
}

func setSize(t *testing.T, master *os.File, w, h uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: h, Col: w}); err != nil {
		t.Fatal(err)
	}
}

// A watched screen is one that a goroutine can wait for.
type watchedScreen struct {
	*screen
	mu      sync.Mutex
	changed chan struct{}
}

func (s *watchedScreen) Write(p []byte) (int, error) {
	n, err := s.screen.Write(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return n, err
}

func (s *watchedScreen) until(t *testing.T, what string, ok func(text string) bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if ok(s.text()) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: the screen shows\n%s", what, s.text())
		}
	}
}

func has(parts ...string) func(string) bool {
	return func(text string) bool {
		for _, p := range parts {
			if !strings.Contains(text, p) {
				return false
			}
		}
		return true
	}
}

// On a real terminal and over real connections: a run is watched, the window is
// made narrower and wider, the server goes away and comes back at the same
// address, and the screen holds in the end what it should, each line once.
func TestTerminal(t *testing.T) {
	master, slave := openTerminal(t, 80, 24)
	shown := &watchedScreen{screen: newScreen(t, 80, 24), changed: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(shown, &terminalOutput{master}) })

	fake := newFakeServer(t, loadScript(t, "cluster-working"))
	t.Cleanup(fake.stop)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	server := serve(fake, listener)

	root := &cobra.Command{Use: "provd"}
	m := thisMachine()
	m.getenv = func(name string) string {
		return map[string]string{"TERM": "xterm", "LANG": "en_US.UTF-8", "NO_COLOR": "1"}[name]
	}
	m.loc = time.UTC
	root.AddCommand(New(Config{machine: &m}))
	root.SetArgs([]string{"upgrade", "status", "--watch", "--endpoint", "http://" + address})
	root.SetOut(slave)
	root.SetErr(slave)
	root.SetIn(slave)
	code := make(chan int, 1)
	go func() { code <- Execute(context.Background(), root) }()

	shown.until(t, "start", has("m2  done", "MEMBER", "rejoining", "Ctrl-C leaves"))

	for _, w := range []uint16{50, 100, 80} {
		shown.resize(int(w), 24)
		setSize(t, master, w, 24)
		if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
			t.Fatal(err)
		}
		// The header is drawn anew, whole where it fits.
		shown.until(t, "resize", func(text string) bool {
			return strings.Count(text, "MEMBER") == 1 && strings.Count(text, "Ctrl-C leaves") == 1 &&
				strings.Contains(text, "goes last") == (w > 60)
		})
	}

	server.Close()
	shown.until(t, "connection lost", has("Connection lost at ", "Give up: Ctrl-C"))
	fake.apply(change{Lines: []map[string]any{{"type": "member.note", "member": "m3", "text": "while you were away"}}})
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server = serve(fake, listener)
	defer server.Close()
	shown.until(t, "connection back", has("again through ", "1 missed line follows", "while you were away", "MEMBER"))
	fake.apply(change{Status: map[string]any{"status": "finished"}, Run: map[string]any{"finished_at": "@0s", "result": "finished"}})

	if got := <-code; got != CodeOK {
		t.Errorf("exit code %d", got)
	}
	shown.until(t, "end", has("finished: provd 4.12.0 on m1 m2 m3", "provd upgrade unstage"))
	text := shown.text()
	for _, once := range []string{"m2  done", "again through", "while you were away", "finished: "} {
		if strings.Count(text, once) != 1 {
			t.Errorf("%q is not there once:\n%s", once, text)
		}
	}
	for _, never := range []string{"MEMBER", "Connection lost", "Ctrl-C leaves"} {
		if strings.Contains(text, never) {
			t.Errorf("%q stayed:\n%s", never, text)
		}
	}
}

// terminalOutput reads what a terminal shows. The line discipline ends lines with
// CR LF, and the screen takes both.
type terminalOutput struct{ f *os.File }

func (o *terminalOutput) Read(p []byte) (int, error) {
	n, err := o.f.Read(p)
	if errors.Is(err, syscall.EIO) { // the other side was closed
		err = io.EOF
	}
	return n, err
}

// serve answers requests from a script over a real connection.
func serve(f *fakeServer, l net.Listener) *http.Server {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Host = "10.0.0.11:8092"
		resp, err := f.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})}
	go s.Serve(l)
	return s
}

// A password is not shown, and the terminal shows again what is typed afterwards,
// also when the operator has had enough.
func TestPasswordPrompt(t *testing.T) {
	master, slave := openTerminal(t, 80, 24)
	shown := &watchedScreen{screen: newScreen(t, 80, 24), changed: make(chan struct{})}
	go func() { _, _ = io.Copy(shown, &terminalOutput{master}) }()
	t.Chdir(t.TempDir())
	echo := func() bool {
		state, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return state.Lflag&unix.ECHO != 0
	}
	signals := make(chan os.Signal, 2)
	m := thisMachine()
	m.signals = func() (<-chan os.Signal, func()) { return signals, func() {} }
	root := &cobra.Command{Use: "provd"}
	root.AddCommand(New(Config{machine: &m, Connect: func(context.Context, Target) (httpapi.ClientConfig, error) {
		return httpapi.ClientConfig{}, errors.New("no server in this test")
	}}))
	root.SetArgs([]string{"upgrade", "keygen", "--out", "release"})
	root.SetOut(slave)
	root.SetErr(slave)
	root.SetIn(slave)
	code := make(chan int, 1)
	go func() { code <- Execute(context.Background(), root) }()
	shown.until(t, "question", has("Password for the new key:"))
	for late := time.Now().Add(30 * time.Second); echo(); {
		if time.Now().After(late) {
			t.Fatal("what is typed would be shown")
		}
		time.Sleep(time.Millisecond) // there is no event for a terminal's mode
	}
	if _, err := master.WriteString("correct horse\n"); err != nil {
		t.Fatal(err)
	}
	shown.until(t, "second question", has("The same again:"))
	signals <- os.Interrupt
	if got := <-code; got != CodeInterrupt {
		t.Errorf("exit code %d", got)
	}
	if !echo() {
		t.Error("the terminal was left without an echo")
	}
	if _, err := master.WriteString("\n"); err != nil { // ends the read that was abandoned
		t.Fatal(err)
	}
	if text := shown.text(); strings.Contains(text, "horse") {
		t.Errorf("the password is on the screen:\n%s", text)
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}
