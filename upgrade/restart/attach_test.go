//go:build unix

package restart

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestAttach(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Attach(nil); err == nil {
		t.Error("no server: no error")
	}
	srv := new(http.Server)
	if err := s.Attach(srv); err != nil {
		t.Fatal(err)
	}
	if err := s.Attach(srv); err == nil {
		t.Error("attached twice: no error")
	}
	if _, err := New(Config{Quiet: -1}); err == nil {
		t.Error("negative Quiet: no error")
	}
}

// The host's own hooks are called, and requests on listeners of its own are
// waited for.
func TestAttachChains(t *testing.T) {
	s, err := New(Config{LameDuck: -1, DrainBound: 5 * time.Second, Quiet: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	type mine struct{}
	entered, leave := make(chan struct{}), make(chan struct{})
	states := make(chan http.ConnState, 10)
	srv := &http.Server{
		ConnState:   func(_ net.Conn, st http.ConnState) { states <- st },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, mine{}, "yes") },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(mine{}) != "yes" {
				t.Error("the host's ConnContext was lost")
			}
			close(entered)
			<-leave
		}),
	}
	if err := s.Attach(srv); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	c := dial(t, l.Addr().String())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	if st := <-states; st != http.StateNew {
		t.Errorf("first state %v", st)
	}
	began := time.Now()
	time.AfterFunc(50*time.Millisecond, func() { close(leave) })
	undo := drained(t, s)
	defer undo()
	if d := time.Since(began); d < 50*time.Millisecond {
		t.Errorf("drained after %v, with the request in flight", d)
	}
	answerOf(t, bufio.NewReader(c))
}
