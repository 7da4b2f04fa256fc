package raftnode_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

// Three members elect a leader, and the record and the host's commands work from
// each of them.
func TestCluster(t *testing.T) {
	s := newSite(t, nil, "a", "b", "c")
	var commands []string
	for _, m := range s.members {
		command := "x from " + string(m.id)
		reply, err := m.Apply(limited(t), []byte(command))
		if err != nil || string(reply) != "did "+command {
			t.Errorf("apply at %s: %q, %v", m.id, reply, err)
		}
		if err := m.Barrier(limited(t)); err != nil || m.fsm.count(command) != 1 {
			t.Errorf("%s does not see its own command after a barrier (%v)", m.id, err)
		}
		commands = append(commands, command)
		if rev, err := m.Tracking().Swap(limited(t), "member/"+string(m.id), "", []byte(command)); err != nil || rev == "" {
			t.Errorf("swap at %s: %q, %v", m.id, rev, err)
		}
	}
	s.same(commands)
	for _, m := range s.members {
		value, _, err := m.Tracking().Load(limited(t), "member/a")
		if err != nil || string(value) != "x from a" {
			t.Errorf("load at %s: %q, %v", m.id, value, err)
		}
		await(t, "view of three healthy members at "+string(m.id), func() bool {
			members, err := m.Membership().Members(limited(t))
			healthy := 0
			for _, m := range members {
				if m.Healthy && m.Voter && strings.HasPrefix(m.Addr, "https://127.0.0.1:") {
					healthy++
				}
			}
			return err == nil && healthy == 3
		})
	}
}

// A cluster for each clause takes its time.
func TestRecord(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	trackingtest.TestStore(t, func(t *testing.T) (tracking.Store, tracking.Store) {
		s := newSite(t, nil, "a", "b", "c")
		return s.leader().Tracking(), s.others()[0].Tracking()
	})
}

func TestHostErrors(t *testing.T) {
	s := newSite(t, nil, "a", "b", "c")
	for _, m := range s.members {
		var refused *raftnode.FSMError
		if _, err := m.Apply(limited(t), []byte("refuse "+m.id)); !errors.As(err, &refused) || refused.Text != "will not refuse "+string(m.id) {
			t.Errorf("%s: %v, want the state machine's error", m.id, err)
		}
		if _, err := m.Apply(limited(t), []byte("odd "+m.id)); !errors.As(err, &refused) || !strings.Contains(refused.Text, "a int") {
			t.Errorf("%s: %v, want a word on the odd answer", m.id, err)
		}
		if _, err := m.Apply(limited(t), make([]byte, raftnode.MaxCommand+1)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s, too large: %v", m.id, err)
		}
		large := strings.Repeat("x", raftnode.MaxCommand-len("did "))
		if reply, err := m.Apply(limited(t), []byte(large)); err != nil || len(reply) != raftnode.MaxCommand {
			t.Errorf("%s, as large as may be: %d bytes, %v", m.id, len(reply), err)
		}
	}
}

// While leadership moves around under load every command is applied once.
func TestTransferUnderLoad(t *testing.T) {
	s := newSite(t, nil, "a", "b", "c")
	long := limited(t)
	ctx, cancel := context.WithCancel(long)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var done []string
	for i, m := range s.members {
		for w := range 2 {
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					command := fmt.Sprintf("%d/%d/%d", i, w, n)
					if _, err := m.Apply(long, []byte(command)); err != nil {
						t.Errorf("apply at %s: %v", m.id, err)
						return
					}
					mu.Lock()
					done = append(done, command)
					mu.Unlock()
				}
			})
		}
	}
	for i := range 6 {
		s.transfer(i)
		mu.Lock()
		before := len(done)
		mu.Unlock()
		await(t, "progress under the new leader", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(done) > before+20
		})
	}
	cancel()
	wg.Wait()
	s.same(done)
}

// A leader that is cut off in the middle of its work loses nothing that it has
// acknowledged, and nothing is done twice.
func TestLeaderGone(t *testing.T) {
	s := newSite(t, nil, "a", "b", "c")
	other := s.others()[0]
	var wg sync.WaitGroup
	var mu sync.Mutex
	var done []string
	long := limited(t)
	ctx, cancel := context.WithCancel(long)
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				command := fmt.Sprintf("%d/%d", w, n)
				if _, err := other.Apply(long, []byte(command)); err != nil {
					t.Errorf("apply: %v", err)
					return
				}
				mu.Lock()
				done = append(done, command)
				mu.Unlock()
			}
		})
	}
	for range 2 {
		leader := s.leader()
		if leader == other {
			break
		}
		leader.stop()
		s.leader()
		leader.start()
		s.leader()
	}
	cancel()
	wg.Wait()
	s.same(done)
}

// A member that is closed and opened again, over the same directory and the same
// listener, has everything, also from a snapshot; so has the whole cluster.
func TestReopen(t *testing.T) {
	s := newSite(t, nil, "a", "b", "c")
	var done []string
	apply := func(m *member, command string) {
		t.Helper()
		if _, err := m.Apply(limited(t), []byte(command)); err != nil {
			t.Fatal(err)
		}
		done = append(done, command)
	}
	apply(s.members[0], "one")
	rev, err := s.members[1].Tracking().Swap(limited(t), "run", "", []byte("begun"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.members {
		if err := m.Barrier(limited(t)); err != nil {
			t.Fatal(err)
		}
		if err := m.Raft().Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	apply(s.members[2], "two")
	for _, m := range s.members {
		m.stop()
	}
	for _, m := range s.members {
		m.start()
	}
	s.leader()
	for _, m := range s.members {
		apply(m, "three at "+string(m.id))
		if value, got, err := m.Tracking().Load(limited(t), "run"); err != nil || string(value) != "begun" || got != rev {
			t.Errorf("%s: %q, %q, %v after the restart", m.id, value, got, err)
		}
	}
	s.same(done)
}

func TestRestartRecord(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	trackingtest.TestRestart(t, func(t *testing.T) (tracking.Store, func() tracking.Store) {
		s := newSite(t, nil, "a")
		return s.members[0].Tracking(), func() tracking.Store {
			s.members[0].stop()
			s.members[0].start()
			return s.members[0].Tracking()
		}
	})
}

// A second process that opens the store is told why it cannot.
func TestLocked(t *testing.T) {
	s := newSite(t, nil, "a")
	other := s.add("a", nil)
	c := other.config()
	c.Dir = s.members[0].dir
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	n, err := raftnode.Open(ctx, c)
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("open took %v", took)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v, %v: want the lock's timeout", n, err)
	}
	// Its listener is as good as before.
	c.Dir = t.TempDir()
	c.Bootstrap = []raft.Server{{ID: "a", Address: raft.ServerAddress(c.Listener.Addr().String())}}
	n, err = raftnode.Open(limited(t), c)
	if err != nil {
		t.Fatal(err)
	}
	other.Node = n
	if _, err := n.Apply(limited(t), []byte("x")); err != nil {
		t.Error(err)
	}
}
