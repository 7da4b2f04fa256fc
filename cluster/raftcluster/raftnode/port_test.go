package raftnode_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// peers answers who asks, and sends back what it is sent.
func peers(self string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := raftnode.PeerID(r)
		if !ok || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "nobody", http.StatusInternalServerError)
			return
		}
		io.WriteString(w, self+" to "+string(id)+" at "+r.URL.Path+": ")
		io.Copy(w, r.Body)
	})
}

// Every member reaches every other's handler by the URL of its upgrade API, and
// nobody else does.
func TestPeers(t *testing.T) {
	s := newSite(t, func(c *raftnode.Config) {
		c.Peers = peers(c.ID)
		c.URL = func(s raft.Server) string {
			if s.ID == "b" {
				return "http://b.example.com/"
			}
			return "https://" + string(s.ID) + ".example.com:8092/api"
		}
	}, "a", "b", "c")
	large := strings.Repeat("x", 300<<10)
	for _, from := range s.members {
		for to, url := range map[string]string{"a": "https://a.example.com:8092/x", "b": "http://b.example.com/x", "c": "https://c.example.com:8092/x"} {
			for range 3 {
				resp, err := from.PeerClient().Post(url, "", strings.NewReader(large))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := to + " to " + string(from.id) + " at /x: " + large; err != nil || string(body) != want {
					t.Errorf("%s asks %s: %d bytes %.60q, %v", from.id, to, len(body), body, err)
				}
			}
		}
	}
	if _, err := s.members[0].PeerClient().Get("https://d.example.com:8092/"); err == nil || !strings.Contains(err.Error(), "not a member") {
		t.Errorf("a host that is no member's: %v", err)
	}
	certs, _ := s.ca.TLS("stranger")
	if err := knock(s.members[0].listener.Addr(), certs, "leaderlast-peer/1"); letIn(err) {
		t.Error("a stranger was let in")
	}
	// A member that is restarted is reached again.
	s.members[1].stop()
	s.members[1].start()
	resp, err := s.members[0].PeerClient().Get("http://b.example.com/y")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// A relay carries connections to a member until it freezes: then it takes
// everything and passes nothing on, as a stopped process does.
type relay struct {
	net.Listener
	mu     sync.Mutex
	frozen bool
	conns  []net.Conn
	wg     sync.WaitGroup
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	r.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			r.wg.Go(func() { r.carry(in, out) })
			r.wg.Go(func() { r.carry(out, in) })
		}
	})
	t.Cleanup(r.end)
	return r
}

func (r *relay) carry(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		frozen := r.frozen
		r.mu.Unlock()
		if frozen {
			if err != nil {
				return
			}
			continue
		}
		if _, w := to.Write(buf[:n]); err != nil || w != nil {
			from.Close()
			to.Close()
			return
		}
	}
}

func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = true
}

func (r *relay) end() {
	r.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// Members that take everything and answer nothing hold up neither commands nor
// Close.
func TestFrozen(t *testing.T) {
	s := prepare(t, nil, "a", "b", "c")
	relays := map[raft.ServerID]*relay{}
	for i, m := range s.members {
		relays[m.id] = newRelay(t, m.listener.Addr().String())
		addr := relays[m.id].Addr().String()
		s.servers[i].Address = raft.ServerAddress(addr)
		m.change = func(c *raftnode.Config) { c.Advertise = addr }
	}
	for _, m := range s.members {
		m.start()
	}
	leader, others := s.leader(), s.others()
	relays[others[0].id].freeze()
	if _, err := leader.Apply(limited(t), []byte("x")); err != nil {
		t.Errorf("with one of three frozen: %v", err)
	}
	relays[others[1].id].freeze()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := leader.Apply(ctx, []byte("y")); err == nil {
				t.Error("applied without a quorum")
			}
		})
	}
	begun := time.Now()
	if err := leader.Close(limited(t)); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(begun); took > 2*time.Second { // less than raft would wait for an answer
		t.Errorf("close took %v", took)
	} else {
		t.Logf("close took %v", took)
	}
	wg.Wait()
}

// A state machine that hangs is named by Close, which does not wait for it.
func TestCloseIsBounded(t *testing.T) {
	stuck, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, func(c *raftnode.Config) { c.FSM = &sticky{counts: c.FSM.(*counts), stuck: stuck, release: release} }, "a")
	a := s.members[0]
	ctx, cancel := context.WithCancel(context.Background())
	applied := make(chan error)
	go func() {
		_, err := a.Apply(ctx, []byte("stick"))
		applied <- err
	}()
	<-stuck
	short, end := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer end()
	if err := a.Close(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "raft: has not ended") {
		t.Errorf("close: %v", err)
	}
	cancel()
	if err := <-applied; err == nil {
		t.Error("the command that hangs was acknowledged")
	}
	a.Node = nil
	close(release)
}

type sticky struct {
	*counts
	stuck, release chan struct{}
}

func (s *sticky) Apply(l *raft.Log) any {
	if bytes.Equal(l.Data, []byte("stick")) {
		close(s.stuck)
		<-s.release
	}
	return s.counts.Apply(l)
}

// Over the sockets of package restart, in both ways: the node closes, the socket
// lives on, and who connects meanwhile is served by the next one.
func TestSocketsLiveOn(t *testing.T) {
	for name, listen := range map[string]func(*restart.Sockets) (net.Listener, error){
		"File": func(s *restart.Sockets) (net.Listener, error) {
			return raftnode.Listen(context.Background(), s.File, "raft", "127.0.0.1:0")
		},
		"Listen": func(s *restart.Sockets) (net.Listener, error) {
			return s.Listen(context.Background(), "tcp", "127.0.0.1:0")
		},
		"Listen, drained": func(s *restart.Sockets) (net.Listener, error) {
			return s.Listen(context.Background(), "tcp", "127.0.0.1:0")
		},
	} {
		t.Run(name, func(t *testing.T) {
			sockets, err := restart.New(restart.Config{LameDuck: -1, Quiet: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			s := prepare(t, nil, "a")
			m := s.members[0]
			m.listener.Close()
			if m.listener, err = listen(sockets); err != nil {
				t.Fatal(err)
			}
			addr := m.listener.Addr()
			s.servers[0].Address = raft.ServerAddress(addr.String())
			m.start()
			s.leader()
			if _, err := m.Apply(limited(t), []byte("x")); err != nil {
				t.Fatal(err)
			}
			undo := func() {}
			if strings.Contains(name, "drained") {
				if undo, err = sockets.Drain(limited(t)); err != nil {
					t.Fatal(err)
				}
			}
			m.stop()
			// The kernel takes it, the next node answers it.
			waiting, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer waiting.Close()
			undo()
			m.start()
			s.same([]string{"x"})
			certs, _ := s.ca.TLS("a")
			if err := knock(addr, certs, "leaderlast-call/1"); !letIn(err) {
				t.Errorf("after the restart: %v", err)
			}
			waiting.SetDeadline(time.Now().Add(10 * time.Second))
			waiting.Write([]byte("no TLS at all, which ends it\r\n\r\n"))
			if _, err := io.ReadAll(waiting); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("who connected in between was never answered")
			}
		})
	}
}
