package raftnode_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode/democerts"
)

// A site is a cluster whose members run in this process.
type site struct {
	t       *testing.T
	ca      *democerts.Authority
	members []*member
	servers []raft.Server
}

// A member is one place of a cluster; what runs there comes and goes.
type member struct {
	*raftnode.Node
	site     *site
	id       raft.ServerID
	dir      string
	listener net.Listener
	fsm      *counts
	log      *lines
	change   func(*raftnode.Config)
}

// newSite starts members of these names, and waits until they have a leader.
func newSite(t *testing.T, change func(*raftnode.Config), ids ...raft.ServerID) *site {
	t.Helper()
	s := prepare(t, change, ids...)
	for _, m := range s.members {
		m.start()
	}
	s.leader()
	return s
}

// prepare makes what members need to start.
func prepare(t *testing.T, change func(*raftnode.Config), ids ...raft.ServerID) *site {
	t.Helper()
	gone(t)
	ca, err := democerts.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, ca: ca}
	for _, id := range ids {
		m := s.add(id, change)
		s.servers = append(s.servers, raft.Server{ID: id, Address: raft.ServerAddress(m.listener.Addr().String())})
	}
	return s
}

func (s *site) add(id raft.ServerID, change func(*raftnode.Config)) *member {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	m := &member{site: s, id: id, dir: s.t.TempDir(), listener: l, log: &lines{}, change: change}
	s.members = append(s.members, m)
	s.t.Cleanup(func() {
		m.stop()
		l.Close()
		if s.t.Failed() {
			s.t.Logf("log of %s:\n%s", id, m.log)
		}
	})
	return m
}

func (m *member) config() raftnode.Config {
	m.site.t.Helper()
	certs, err := m.site.ca.TLS(m.id)
	if err != nil {
		m.site.t.Fatal(err)
	}
	m.fsm = &counts{}
	c := raftnode.Config{
		ID: string(m.id), Dir: m.dir, Listener: m.listener, TLS: certs, FSM: m.fsm, Bootstrap: m.site.servers, Raft: quickly(),
		Logger: hclog.New(&hclog.LoggerOptions{Name: string(m.id), Output: m.log, Level: hclog.Debug}),
	}
	if m.change != nil {
		m.change(&c)
	}
	return c
}

// quickly are raft's defaults but a little faster; much faster ones bring false
// elections on a loaded machine.
func quickly() *raft.Config {
	conf := raft.DefaultConfig()
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 600*time.Millisecond, 600*time.Millisecond, 400*time.Millisecond
	conf.CommitTimeout = 5 * time.Millisecond
	return conf
}

func (m *member) start() {
	m.site.t.Helper()
	n, err := raftnode.Open(limited(m.site.t), m.config())
	if err != nil {
		m.site.t.Fatal(err)
	}
	m.Node = n
}

func (m *member) stop() {
	m.site.t.Helper()
	if m.Node == nil {
		return
	}
	if err := m.Close(limited(m.site.t)); err != nil {
		m.site.t.Errorf("close %s: %v", m.id, err)
	}
	m.Node = nil
}

// leader waits until one member leads and all that run know it.
func (s *site) leader() *member {
	s.t.Helper()
	var leader *member
	await(s.t, "a leader that all know", func() bool {
		leader = nil
		named := map[raft.ServerID]bool{}
		for _, m := range s.members {
			if m.Node == nil {
				continue
			}
			_, id := m.Raft().LeaderWithID()
			named[id] = true
			if m.Raft().State() == raft.Leader {
				leader = m
			}
		}
		return leader != nil && len(named) == 1 && named[leader.id]
	})
	return leader
}

// others returns the members that do not lead.
func (s *site) others() []*member {
	leader := s.leader()
	var others []*member
	for _, m := range s.members {
		if m != leader && m.Node != nil {
			others = append(others, m)
		}
	}
	return others
}

// transfer hands leadership to one of the others. A leader that has just been
// elected first has to learn who is well.
func (s *site) transfer(i int) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		leader, to := s.leader(), s.others()[i%2]
		if err = leader.Membership().TransferLeadership(limited(s.t), to.Membership().Self()); err == nil && s.leader() != leader {
			return
		}
	}
	s.t.Fatalf("leadership was not handed over in 10 s: %v", err)
}

// same waits until every member that runs has seen each command exactly once.
func (s *site) same(commands []string) {
	s.t.Helper()
	for _, m := range s.members {
		if m.Node == nil {
			continue
		}
		if err := m.Barrier(limited(s.t)); err != nil {
			s.t.Errorf("%s: %v", m.id, err)
			continue
		}
		for _, command := range commands {
			if n := m.fsm.count(command); n != 1 {
				s.t.Errorf("%s has applied %q %d times, want once", m.id, command, n)
			}
		}
	}
}

// limited is ample time for anything a test does.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s after 30 s", what)
		}
	}
}

// gone fails the test if what it started outlives its last cleanup.
func gone(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	if t.Name() == "TestCloseIsBounded" {
		before += 2 // raft does not answer what waits behind a state machine that hangs
	}
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines, %d before the test:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if os.Getenv("RAFTNODE_LOG") != "" {
		os.Stderr.Write(p)
	}
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ReplaceAll(l.b.String(), `\"`, `"`)
}
