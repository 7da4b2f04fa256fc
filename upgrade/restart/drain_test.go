//go:build unix

package restart

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// local serves h in this process.
func local(t *testing.T, c Config, h http.HandlerFunc) (*Sockets, string) {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	if err := s.Attach(srv); err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return s, l.Addr().String()
}

func roundTrip(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	return answerOf(t, bufio.NewReader(c))
}

func answerOf(t *testing.T, r *bufio.Reader) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

func drained(t *testing.T, s *Sockets) (undo func()) {
	t.Helper()
	undo, err := s.Drain(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return undo
}

func TestDrainNamesWhatIsInFlight(t *testing.T) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	s, addr := local(t, Config{LameDuck: -1, DrainBound: 50 * time.Millisecond, Quiet: 10 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-leave
		io.WriteString(w, "ok")
	})
	c := dial(t, addr)
	io.WriteString(c, "POST /upload?secret=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	<-entered
	half := dial(t, addr)
	io.WriteString(half, "GET /half")
	untilCensus(t, s, 0, 2)

	_, err := s.Drain(context.Background())
	var busy *BusyError
	if !errors.As(err, &busy) || len(busy.Requests) != 1 || busy.Half != 1 || busy.Requests[0].Path != "/upload" || busy.Requests[0].Method != "POST" || busy.Requests[0].Age <= 0 {
		t.Fatalf("error %v, want a BusyError with the upload and half a request", err)
	}
	if !strings.Contains(err.Error(), "1 request is still in flight: POST /upload (") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %q", err)
	}
	close(leave)
	if resp := answerOf(t, bufio.NewReader(c)); resp.Close {
		t.Error("after the roll-back the answer still asks to leave")
	}
	io.WriteString(half, " HTTP/1.1\r\nHost: a\r\n\r\n")
	answerOf(t, bufio.NewReader(half))
	roundTrip(t, dial(t, addr)) // accepts again
	drained(t, s)()
}

// untilCensus waits until the server knows of so many connections.
func untilCensus(t *testing.T, s *Sockets, idle, cut int) {
	t.Helper()
	for range 2000 {
		if i, c, _ := s.census(); i == idle && c == cut {
			return
		}
		time.Sleep(time.Millisecond)
	}
	i, c, h := s.census()
	t.Fatalf("%d idle, %d in flight, %d of the host, want %d and %d", i, c, h, idle, cut)
}

func TestCutRequests(t *testing.T) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	s, addr := local(t, Config{LameDuck: -1, DrainBound: 20 * time.Millisecond, Quiet: 10 * time.Millisecond, CutRequests: true}, func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-leave
	})
	c := dial(t, addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	undo := drained(t, s)
	if p := s.account(); p.Counts.Cut != 1 || p.Counts.Retired != 0 {
		t.Errorf("%+v, want 1 cut", p.Counts)
	}
	undo()
	close(leave)
	answerOf(t, bufio.NewReader(c)) // not cut yet
}

func TestDrainFreezes(t *testing.T) {
	s, addr := local(t, Config{LameDuck: -1, Quiet: 20 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	idle, fresh, silent := dial(t, addr), dial(t, addr), dial(t, addr)
	roundTrip(t, idle)
	untilCensus(t, s, 3, 0)
	undo := drained(t, s)
	// Nothing of this reaches a handler before undo.
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	io.WriteString(fresh, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	queued := dial(t, addr)
	io.WriteString(queued, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	untilCensus(t, s, 1, 2) // counted as cut: the requests lie in the kernel
	if _, err := s.Drain(context.Background()); !errors.Is(err, ErrDraining) {
		t.Errorf("a second drain: %v, want ErrDraining", err)
	}
	select {
	case <-s.Draining():
	default:
		t.Error("Draining is not closed")
	}
	undo()
	undo()
	select {
	case <-s.Draining():
		t.Error("Draining is still closed after undo")
	default:
	}
	for _, c := range []net.Conn{idle, fresh, queued} {
		answerOf(t, bufio.NewReader(c))
	}
	roundTrip(t, silent)
}

func TestDrainKeepsDeadlines(t *testing.T) {
	s, err := New(Config{LameDuck: -1, Quiet: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{IdleTimeout: 100 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}
	if err := s.Attach(srv); err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	c := dial(t, l.Addr().String())
	roundTrip(t, c)
	undo := drained(t, s)
	undo()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v; want the end by IdleTimeout", n, err)
	}
}

func TestDrainEndsStreams(t *testing.T) {
	var s *Sockets
	ready := make(chan struct{})
	s, addr := local(t, Config{LameDuck: 10 * time.Millisecond, Quiet: 10 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		<-ready
		io.WriteString(w, "begun")
		http.NewResponseController(w).Flush()
		<-s.Draining()
		io.WriteString(w, "ended")
	})
	close(ready)
	resp, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	undo := drained(t, s)
	defer undo()
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "begunended" {
		t.Errorf("stream %q, %v", b, err)
	}
}

func TestDrainLeavesHijacked(t *testing.T) {
	s, addr := local(t, Config{LameDuck: -1, Quiet: 10 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			defer c.Close()
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
			rw.Flush()
			io.Copy(c, rw)
		}()
	})
	c := dial(t, addr)
	r := bufio.NewReader(c)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	undo := drained(t, s)
	defer undo()
	if p := s.account(); p.Counts.Hijacked != 1 || p.Counts.Cut != 0 {
		t.Errorf("%+v, want 1 hijacked", p.Counts)
	}
	io.WriteString(c, "x") // goes on
	if b, err := r.ReadByte(); b != 'x' || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestDrainContext(t *testing.T) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	s, addr := local(t, Config{}, func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave })
	c := dial(t, addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("cancelled by the operator")
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	if _, err := s.Drain(ctx); !errors.Is(err, cause) {
		t.Errorf("error %v, want the cause", err)
	}
	close(leave)
	answerOf(t, bufio.NewReader(c))
}

// Two requests in one packet: the second is served without a read and without
// StateActive, and must not be taken for silence.
func TestDrainPipelined(t *testing.T) {
	second := make(chan struct{})
	s, addr := local(t, Config{LameDuck: -1, Quiet: time.Nanosecond}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/2" {
			close(second)
		}
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", b, err)
	})
	c := dial(t, addr)
	io.WriteString(c, "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"+
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nt")
	<-second
	time.AfterFunc(50*time.Millisecond, func() { io.WriteString(c, "wo") })
	undo := drained(t, s)
	defer undo()
	r := bufio.NewReader(c)
	for _, want := range []string{"one <nil>", "two <nil>"} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != want {
			t.Errorf("answer %q, want %q", b, want)
		}
	}
}

// Without GOAWAY an HTTP/2 connection under load never falls silent: the drain
// gives up, and has cost nothing.
func TestDrainUndoUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server serverConfig
		load   loadConfig
	}{
		{"HTTP/1.1", serverConfig{}, loadConfig{proto: 1, raw: true, noResend: true}},
		{"HTTP/1.1 TLS", serverConfig{TLS: true}, loadConfig{proto: 1, tls: true, raw: true, noResend: true}},
		{"HTTP/2 TLS", serverConfig{TLS: true}, loadConfig{proto: 2, tls: true}},
		{"HTTP/2 TLS without GOAWAY", serverConfig{TLS: true, NoGOAWAY: true, DrainBound: 20 * time.Millisecond, Quiet: 10 * time.Millisecond}, loadConfig{proto: 2, tls: true, noResend: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := run(t, tt.server, nil)
			tt.load.addr = p.first.Addr
			l := startLoad(tt.load)
			for range 20 {
				h := p.tell("drain")
				switch {
				case h.Err == "":
					p.tell("undo")
				case !tt.server.NoGOAWAY:
					t.Fatal(h.Err)
				}
				served(t, l, 20)
			}
			l.end()
			l.report(t, 20)
			if l.failures.Load() > 0 {
				t.Errorf("%d requests failed", l.failures.Load())
			}
		})
	}
}
