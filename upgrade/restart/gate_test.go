//go:build unix

package restart

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

func openGate(t *testing.T) *gate {
	t.Helper()
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*gate)
}

// What connects during a pause waits, and is served by whoever resumes.
func TestGatePauses(t *testing.T) {
	g := openGate(t)
	accepted := make(chan net.Conn)
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := g.Accept()
			if err != nil {
				failed <- err
				return
			}
			accepted <- c
		}
	}()
	for range 100 {
		if err := g.pause(context.Background()); err != nil {
			t.Fatal(err)
		}
		c := dial(t, g.Addr().String())
		select {
		case <-accepted:
			t.Fatal("a connection left the queue during the pause")
		case <-time.After(time.Millisecond):
		}
		g.resume()
		(<-accepted).Close()
		c.Close()
	}
	if err := g.pause(context.Background()); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept on a listener closed in the pause: %v", err)
	}
	if err := g.pause(context.Background()); err != nil {
		t.Errorf("pause of a closed listener: %v", err)
	}
}

// A server's own deadline ends its Accept, in a pause too, and the socket serves
// on: for another Accept, and for whoever connected meanwhile.
func TestGateDeadline(t *testing.T) {
	g := openGate(t)
	for _, paused := range []bool{false, true} {
		if paused {
			if err := g.pause(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // one that waits in Accept, and one that comes later
			ended := make(chan error)
			go func() {
				_, err := g.Accept()
				ended <- err
			}()
			g.SetDeadline(longAgo())
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("paused: %v: %v, want the deadline", paused, err)
			}
		}
		c := dial(t, g.Addr().String())
		defer c.Close()
		if paused {
			g.resume()
			if _, err := g.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the deadline did not outlive the pause: %v", err)
			}
		}
		g.SetDeadline(time.Time{})
		s, err := g.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

// Nobody accepting is paused too, and a pause that cannot be had opens again.
func TestGatePauseFails(t *testing.T) {
	g := openGate(t)
	if err := g.pause(context.Background()); err != nil {
		t.Fatal(err)
	}
	g.resume()
	g.mu.Lock()
	g.inside++ // somebody who never comes back
	g.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.pause(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	dial(t, g.Addr().String())
	if _, err := g.Accept(); err != nil {
		t.Error(err)
	}
}

// A connection keeps what net/http and hosts look for in it.
func TestConnKeepsItsNature(t *testing.T) {
	g := openGate(t)
	dial(t, g.Addr().String())
	c, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(interface{ CloseWrite() error }); !ok {
		t.Error("CloseWrite is gone")
	}
	if _, ok := c.(interface {
		SetKeepAlive(bool) error
	}); !ok {
		t.Error("SetKeepAlive is gone")
	}
	if find(c) == nil {
		t.Error("not found again")
	}
}

func BenchmarkServe(b *testing.B) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok")) })
	bench := func(b *testing.B, l net.Listener, srv *http.Server) {
		go srv.Serve(l)
		defer srv.Close()
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		url := "http://" + l.Addr().String()
		b.ReportAllocs()
		for b.Loop() {
			resp, err := client.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body) // or the connection is not kept
			resp.Body.Close()
		}
	}
	b.Run("plain", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		bench(b, l, &http.Server{Handler: h})
	})
	b.Run("attached", func(b *testing.B) {
		s, err := New(Config{})
		if err != nil {
			b.Fatal(err)
		}
		l, err := s.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		srv := &http.Server{Handler: h}
		if err := s.Attach(srv); err != nil {
			b.Fatal(err)
		}
		bench(b, l, srv)
	})
}

// A connection that something happened on after it was judged is not frozen.
func TestFreezeComesTooLate(t *testing.T) {
	g := openGate(t)
	client := dial(t, g.Addr().String())
	c, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tr := find(c)
	seq := tr.seq.Load()
	b := make([]byte, 1)
	for i, want := range "ab" {
		if _, err := client.Write([]byte{byte(want)}); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(b); n != 1 || b[0] != byte(want) {
			t.Fatalf("byte %d: read %d, %v", i, n, err)
		}
		if i == 0 {
			tr.freeze(seq)
		}
	}
	if tr.held() != nil {
		t.Error("still held")
	}
	// Nothing has happened since: now it parks, until it is let go.
	tr.freeze(tr.seq.Load())
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(b)
		read <- err
	}()
	for h := tr.held(); !h.parked.Load(); {
		time.Sleep(time.Millisecond)
	}
	client.Write([]byte("c"))
	select {
	case err := <-read:
		t.Fatalf("read while frozen: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	tr.thaw()
	if err := <-read; err != nil || b[0] != 'c' {
		t.Errorf("after the thaw %q, %v", b, err)
	}
}
