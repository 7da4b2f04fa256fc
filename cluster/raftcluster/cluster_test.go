package raftcluster_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/raftcluster"
)

// A server is one member of a fleet, and survives restarts.
type server struct {
	f      *fleet
	id     raft.ServerID
	addr   raft.ServerAddress
	conf   *raft.Config
	logs   *logs
	snaps  *raft.InmemSnapshotStore
	trans  *raft.InmemTransport
	raft   *raft.Raft
	host   *host
	member *raftcluster.Member
	store  *raftcluster.Store
}

// Logs are on a disk that may be full.
type logs struct {
	*raft.InmemStore
	full atomic.Bool
}

func (l *logs) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l *logs) StoreLogs(entries []*raft.Log) error {
	if l.full.Load() {
		return syscall.ENOSPC
	}
	return l.InmemStore.StoreLogs(entries)
}

// A fleet is a raft cluster in this process.
type fleet struct {
	t       *testing.T
	servers []*server
	probe   func(context.Context, cluster.Member) (cluster.Member, error) // of every member that starts from now on

	gated bool // state machines that start from now on apply nothing until unblock

	mu     sync.Mutex
	call   func(ctx context.Context, from, to *server, request []byte) ([]byte, error)
	frozen map[raft.ServerID]bool // answer nothing that we ask
}

func newFleet(t *testing.T, voters int, nonvoters ...raft.ServerID) *fleet {
	t.Helper()
	return newProbed(t, nil, voters, nonvoters...)
}

func newProbed(t *testing.T, probe func(context.Context, cluster.Member) (cluster.Member, error), voters int, nonvoters ...raft.ServerID) *fleet {
	t.Helper()
	f := &fleet{t: t, probe: probe, frozen: map[raft.ServerID]bool{}}
	f.call = func(ctx context.Context, _, to *server, request []byte) ([]byte, error) {
		return to.member.Answer(ctx, request)
	}
	var conf raft.Configuration
	for i := range voters {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(fmt.Sprintf("m%d", i+1))})
	}
	for _, id := range nonvoters {
		conf.Servers = append(conf.Servers, raft.Server{ID: id, Suffrage: raft.Nonvoter})
	}
	for i, c := range conf.Servers {
		f.servers = append(f.servers, f.newServer(c.ID))
		conf.Servers[i].Address = f.servers[i].addr
	}
	f.connect()
	for _, s := range f.servers {
		if err := raft.BootstrapCluster(s.conf, s.logs, s.logs, s.snaps, s.trans, conf); err != nil {
			t.Fatal(err)
		}
		s.start()
	}
	f.elect(f.servers[0])
	t.Cleanup(func() {
		var ended []raft.Future
		for _, s := range f.servers {
			s.unblock()
			ended = append(ended, s.raft.Shutdown())
		}
		for _, e := range ended {
			e.Error()
		}
	})
	return f
}

func (f *fleet) newServer(id raft.ServerID) *server {
	s := &server{f: f, id: id, logs: &logs{InmemStore: raft.NewInmemStore()}, snaps: raft.NewInmemSnapshotStore()}
	s.addr, s.trans = raft.NewInmemTransportWithTimeout("at-"+raft.ServerAddress(id), 150*time.Millisecond)
	s.conf = raft.DefaultConfig()
	s.conf.LocalID = id
	// Long, so that no leader is lost on a machine with other things to do; elect is for those who cannot wait.
	s.conf.HeartbeatTimeout = 400 * time.Millisecond
	s.conf.ElectionTimeout = 400 * time.Millisecond
	s.conf.LeaderLeaseTimeout = 400 * time.Millisecond
	s.conf.CommitTimeout = 5 * time.Millisecond
	s.conf.LogOutput = io.Discard
	return s
}

// elect has s stand for election now, as if a leader had asked it to.
func (f *fleet) elect(s *server) {
	f.t.Helper()
	_, trans := raft.NewInmemTransportWithTimeout("", 10*time.Second)
	trans.Connect(s.addr, s.trans)
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	if err := trans.TimeoutNow(s.id, s.addr, request, &raft.TimeoutNowResponse{}); err != nil {
		f.t.Fatal(err)
	}
}

// connect has every server reach every other.
func (f *fleet) connect() {
	for _, a := range f.servers {
		for _, b := range f.servers {
			if a != b {
				a.trans.Connect(b.addr, b.trans)
			}
		}
	}
}

// cut takes a server off the others' network.
func (f *fleet) cut(s *server) {
	s.trans.DisconnectAll()
	for _, o := range f.servers {
		o.trans.Disconnect(s.addr)
	}
}

// start begins a new life of the server, with nothing in memory.
func (s *server) start() {
	s.f.t.Helper()
	s.host = &host{Machine: new(raftcluster.Machine), gate: make(chan struct{})}
	if !s.f.gated {
		s.unblock()
	}
	var err error
	if s.raft, err = raft.NewRaft(s.conf, s.host, s.logs, s.logs, s.snaps, s.trans); err != nil {
		s.f.t.Fatal(err)
	}
	s.member, err = raftcluster.New(raftcluster.Config{
		Raft:    s.raft,
		Local:   s.id,
		Applied: s.host.applied.Load,
		URL:     func(m raft.Server) string { return "https://" + string(m.ID) },
		Call:    s.call,
		Probe:   s.f.probe,
	})
	if err != nil {
		s.f.t.Fatal(err)
	}
	s.store, err = raftcluster.NewStore(raftcluster.StoreConfig{Member: s.member, Machine: s.host.Machine, Wrap: wrap})
	if err != nil {
		s.f.t.Fatal(err)
	}
}

func (s *server) unblock() { s.host.open.Do(func() { close(s.host.gate) }) }

// restart ends the server without a word, and begins a new life of it.
func (s *server) restart() {
	s.f.t.Helper()
	if err := s.raft.Shutdown().Error(); err != nil {
		s.f.t.Error(err)
	}
	for _, o := range s.f.servers {
		o.trans.Disconnect(s.addr)
	}
	s.addr, s.trans = raft.NewInmemTransportWithTimeout(s.addr, 150*time.Millisecond)
	s.f.connect()
	s.start()
}

func (s *server) call(ctx context.Context, to raft.Server, request []byte) ([]byte, error) {
	s.f.mu.Lock()
	call, frozen := s.f.call, s.f.frozen[to.ID]
	s.f.mu.Unlock()
	if frozen {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, o := range s.f.servers {
		if o.id == to.ID && o.addr == to.Address {
			return call(ctx, s, o, request)
		}
	}
	return nil, fmt.Errorf("nobody is at %s", to.Address)
}

func (f *fleet) setCall(call func(ctx context.Context, from, to *server, request []byte) ([]byte, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call = call
}

func (f *fleet) freeze(id raft.ServerID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen[id] = true
}

// until waits for what nothing reports.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// leader waits until all servers agree on one.
func (f *fleet) leader() *server {
	f.t.Helper()
	var leader *server
	until(f.t, "a leader that all know", func() bool {
		_, id := f.servers[0].raft.LeaderWithID()
		leader = nil
		for _, s := range f.servers {
			if _, other := s.raft.LeaderWithID(); other != id {
				return false
			}
			if s.id == id && s.raft.State() == raft.Leader {
				leader = s
			}
		}
		return leader != nil
	})
	return leader
}

// others returns the servers that are not s.
func (f *fleet) others(s *server) []*server {
	var all []*server
	for _, o := range f.servers {
		if o != s {
			all = append(all, o)
		}
	}
	return all
}

// well waits until s sees everybody as healthy.
func (s *server) well() {
	s.f.t.Helper()
	until(s.f.t, "all healthy", func() bool {
		members, err := s.member.Members(s.f.t.Context())
		if err != nil {
			return false
		}
		for _, m := range members {
			if !m.Healthy {
				return false
			}
		}
		return true
	})
}

// show returns what s sees as one line: * leads, ! is not healthy, ? has no vote.
func (s *server) show() string {
	s.f.t.Helper()
	members, err := s.member.Members(s.f.t.Context())
	if err != nil {
		return err.Error()
	}
	line := ""
	for _, m := range members {
		line += " " + string(m.ID)
		for _, mark := range []struct {
			sign string
			on   bool
		}{{"*", m.Leader}, {"!", !m.Healthy}, {"?", !m.Voter}} {
			if mark.on {
				line += mark.sign
			}
		}
	}
	return line
}

var _ cluster.Membership = (*raftcluster.Member)(nil)
