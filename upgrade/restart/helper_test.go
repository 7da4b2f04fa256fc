//go:build unix

package restart

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is its own server: started with roleVariable it is a program
// that is told by its standard input what to do and answers a line of JSON each.

const roleVariable = "RESTART_TEST_SERVER"

// badVariable makes a program one that is no good.
const badVariable = "RESTART_TEST_BAD"

var rounds = flag.Int("restart.rounds", 3, "restarts per load test")

func TestMain(m *testing.M) {
	if v := os.Getenv(roleVariable); v != "" {
		serve(v)
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// serverConfig is the value of roleVariable.
type serverConfig struct {
	LameDuck, DrainBound, Quiet time.Duration
	Cut, KeepChildren           bool
	Network                     string // tcp
	Addr                        string // 127.0.0.1:0
	Raw                         bool   // no http.Server: echo each connection
	TLS                         bool
	H2C                         bool
	UDP                         string
	File                        string        // passed on by this name
	Init                        time.Duration // start-up time
	Late                        bool          // SIGHUP is asked for only when told "notify"
	NoGOAWAY                    bool          // as if net/http made no GOAWAY of the header
	NoSocket                    bool          // serve without any socket of ours
	Silent                      bool          // after a restart nobody says ready

	// of a hand-over
	Until                        Until
	ReadyTimeout, ConfirmTimeout time.Duration
	Linger                       time.Duration
	Store                        string // a file that one process at a time can lock; requests fail without it
}

// hello is the server's first line.
type hello struct {
	PID        int
	Args       []string
	Dir        string
	Env        []string
	Left       []string // of our variables, after New
	Addr       string
	UDPAddr    string
	FileOffset int64
	Activated  []Activation
	Last       Report
	Err        string
	Open       string // what the census says
	FDs        int
	Goroutines int
	Kids       []string
}

func serve(config string) {
	answer := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		os.Stdout.Write(append(b, '\n'))
	}
	var c serverConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		panic(err)
	}
	env := os.Environ()
	s, err := New(Config{LameDuck: c.LameDuck, DrainBound: c.DrainBound, Quiet: c.Quiet, CutRequests: c.Cut, KeepChildren: c.KeepChildren})
	if err != nil {
		answer(hello{Err: err.Error()})
		os.Exit(1)
	}
	h := hello{PID: os.Getpid(), Args: os.Args, Env: env, Last: s.Last(), Activated: s.Activated()}
	for _, v := range []string{Variable, listenPID, listenFDs, listenNames} {
		if os.Getenv(v) != "" {
			h.Left = append(h.Left, v)
		}
	}
	h.Dir, _ = os.Getwd()
	die := func(err error) {
		answer(hello{Err: err.Error()})
		os.Exit(1)
	}
	time.Sleep(c.Init)

	st := &store{path: c.Store}
	if err := st.open(context.Background()); err != nil {
		die(err)
	}
	srv := newServer(c, st)
	if !c.NoSocket {
		l, err := s.Listen(context.Background(), c.Network, c.Addr)
		if err != nil {
			die(err)
		}
		h.Addr = l.Addr().String()
		if c.Raw {
			go echo(l)
		} else {
			if err := s.Attach(srv); err != nil {
				die(err)
			}
			go func() {
				if c.TLS {
					err = srv.ServeTLS(l, "", "")
				} else {
					err = srv.Serve(l)
				}
				die(fmt.Errorf("serve ended: %w", err))
			}()
		}
	}
	if c.UDP != "" {
		p, err := s.ListenPacket(context.Background(), "udp", c.UDP)
		if err != nil {
			die(err)
		}
		h.UDPAddr = p.LocalAddr().String()
		go func() {
			b := make([]byte, 1500)
			for {
				n, from, err := p.ReadFrom(b)
				if err != nil {
					die(err)
				}
				p.WriteTo(b[:n], from)
			}
		}()
	}
	if c.File != "" {
		f, err := s.File("state", func() (*os.File, error) { return os.OpenFile(c.File, os.O_RDWR, 0) })
		if err != nil {
			die(err)
		}
		h.FileOffset, _ = f.Seek(1, io.SeekCurrent)
	}
	if !c.Late {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	switch os.Getenv(badVariable) {
	case "dies": // with whom it serves
		s.Ready()
		time.Sleep(20 * time.Millisecond)
		os.Exit(3)
	case "leaves": // when nobody is served
		s.Ready()
		time.Sleep(20 * time.Millisecond)
		if _, err := s.Drain(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(3)
	case "closes": // its sockets, as a server does that cannot start
		os.Unsetenv(badVariable)
		s.held[0].conn.(io.Closer).Close()
		os.Exit(3)
	}
	if !c.Silent {
		if err := s.Ready(); err != nil {
			die(err)
		}
		h.Last = s.Last()
	}
	answer(h)
	obey(s, c, st, answer)
}

// obey reads commands. Each is answered before the next may be sent: what a
// reader has buffered dies with its program.
func obey(s *Sockets, c serverConfig, st *store, answer func(any)) {
	var undo func()
	self, _ := os.Executable()
	if p := os.Getenv("RESTART_TEST_SELF"); p != "" {
		self = p
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		var err error
		switch verb {
		case "restart": // with this program, or what arg names
			if arg == "" {
				arg = self
			}
			var u func()
			if u, err = s.Drain(context.Background()); err == nil {
				err = s.Exec().Restart(context.Background(), arg)
				u()
			}
		case "handover":
			if arg == "" {
				arg = self
			}
			ctx, cancel := context.WithCancel(context.Background())
			if name, ok := strings.CutPrefix(arg, "until "); ok { // that file is gone
				arg = self
				go func() {
					for exists(name) {
						time.Sleep(time.Millisecond)
					}
					cancel()
				}()
			}
			err = s.HandOver(st.handOver(c)).Restart(ctx, arg)
			cancel()
		case "close": // the listener
			s.held[0].gate.Close()
		case "lose": // the store for good, as soon as it is let go
			st.lost.Store(true)
		case "confirm":
			s.Confirm()
		case "elder": // wait until it has gone
			for s.overlapped() != nil {
				time.Sleep(time.Millisecond)
			}
		case "fds":
			fds, _ := os.ReadDir("/proc/self/fd")
			kids, _ := filepath.Glob("/proc/self/task/*/children")
			h := hello{FDs: len(fds), Goroutines: runtime.NumGoroutine()}
			for _, k := range kids {
				b, _ := os.ReadFile(k)
				h.Kids = append(h.Kids, strings.Fields(string(b))...) // zombies too
			}
			answer(h)
			continue
		case "look":
			idle, cut, _ := s.census()
			answer(hello{Open: fmt.Sprintf("cut %d idle %d", cut, idle)})
			continue
		case "exec": // without a drain
			err = s.Exec().Restart(context.Background(), self)
		case "become": // by the Method that arg names, without a drain
			m := s.HandOver(st.handOver(c))
			if arg == "exit" {
				m = Exit(ExitConfig{Code: 7, Trust: true, Sockets: s})
			}
			err = m.Become(context.Background(), self)
		case "check":
			err = s.Exec().Check(context.Background(), arg)
		case "drain":
			undo, err = s.Drain(context.Background())
		case "undo":
			undo()
		case "chdir":
			err = os.Chdir(arg)
		case "args":
			os.Args = []string{"overwritten"}
		case "ready":
			err = s.Ready()
		case "notify":
			signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		case "child":
			err = exec.Command("sleep", arg).Start()
		case "fork": // children, until told otherwise, that say whether they hold a socket
			go forkForever()
		case "exit":
			err = Exit(ExitConfig{Code: 7, Trust: true}).Restart(context.Background(), self)
		case "command":
			var m Method
			if m, err = Command(arg); err == nil {
				err = m.Restart(context.Background(), self)
			}
		case "quit":
			os.Exit(0)
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		dir, _ := os.Getwd()
		answer(hello{PID: os.Getpid(), Err: text, Last: s.Last(), Dir: dir})
	}
	os.Exit(0) // the test has gone
}
