//go:build unix

package restart

import (
	"context"
	"errors"
	"net"
	"net/http"
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
