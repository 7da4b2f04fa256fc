package raftcluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster"
)

// A settings server has a raft of its own: its entries are JSON, its state is a
// map. What it adds for upgrades is marked.
type settings struct {
	mu      sync.Mutex
	values  map[string]string
	applied uint64              // added
	record  raftcluster.Machine // added
}

type entry struct {
	Key, Value string
	Upgrade    []byte `json:",omitempty"` // added: a kind of entry
}

func (s *settings) Apply(l *raft.Log) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.applied = l.Index }() // added
	var e entry
	if err := json.Unmarshal(l.Data, &e); err != nil {
		return err
	}
	if e.Upgrade != nil { // added
		return s.record.Apply(l.Index, e.Upgrade)
	}
	s.values[e.Key] = e.Value
	return nil
}

type state struct {
	Values  map[string]string
	Applied uint64 // added
	Record  []byte // added
}

func (s *settings) Snapshot() (raft.FSMSnapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record, err := s.record.Snapshot() // added
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(state{s.values, s.applied, record})
	return persist(data), err
}

func (s *settings) Restore(r io.ReadCloser) error {
	defer r.Close()
	var st state
	if err := json.NewDecoder(r).Decode(&st); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values, s.applied = st.Values, st.Applied
	return s.record.Restore(st.Record) // added; nothing, in a snapshot from before
}

// Applied is added.
func (s *settings) Applied() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

type persist []byte

func (p persist) Persist(sink raft.SnapshotSink) error {
	_, err := io.Copy(sink, bytes.NewReader(p))
	if err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (persist) Release() {}

// A server with a raft of its own, alone here, keeps the record of its upgrades
// in its own log.
func Example() {
	// What is there already.
	fsm := &settings{values: map[string]string{}}
	conf := raft.DefaultConfig()
	conf.LocalID = "m1"
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 50e6, 50e6, 50e6
	conf.LogOutput = io.Discard
	logs, snaps := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	addr, transport := raft.NewInmemTransport("")
	members := raft.Configuration{Servers: []raft.Server{{ID: "m1", Address: addr}}}
	if err := raft.BootstrapCluster(conf, logs, logs, snaps, transport, members); err != nil {
		fmt.Println(err)
		return
	}
	r, err := raft.NewRaft(conf, fsm, logs, logs, snaps, transport)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { r.Shutdown().Error() }()

	// What is added.
	member, err := raftcluster.New(raftcluster.Config{
		Raft:    r,
		Local:   conf.LocalID,
		Applied: fsm.Applied,
		URL:     func(s raft.Server) string { return "https://" + string(s.ID) + ".example.org:8092" },
		// Call: a request to the server's own port, answered there by member.Answer
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := raftcluster.NewStore(raftcluster.StoreConfig{
		Member:  member,
		Machine: &fsm.record,
		Wrap: func(command []byte) []byte {
			data, _ := json.Marshal(entry{Upgrade: command})
			return data
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	rev, err := store.Swap(ctx, "run", "", []byte("staged"))
	fmt.Printf("revision %q, %v\n", rev, err)
	value, rev, err := store.Load(ctx, "run")
	fmt.Printf("%s, revision %q, %v\n", value, rev, err)
	all, err := member.Members(ctx)
	for _, m := range all {
		fmt.Println(m.ID, m.Addr, "leads:", m.Leader, "healthy:", m.Healthy, err)
	}
	// Output:
	// revision "1", <nil>
	// staged, revision "1", <nil>
	// m1 https://m1.example.org:8092 leads: true healthy: true <nil>
}

// A Machine alone: commands are opaque, and what it does not know it leaves
// alone.
func ExampleMachine() {
	var m raftcluster.Machine
	m.Apply(7, []byte("an entry of the host, by mistake"))
	data, err := m.Snapshot()
	fmt.Println(string(data), err)
	var other raftcluster.Machine
	fmt.Println(other.Restore(data))
	// Output:
	// {"format":1,"counter":0,"keys":{}} <nil>
	// <nil>
}
