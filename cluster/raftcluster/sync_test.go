package raftcluster_test

import (
	"context"
	"errors"
	"testing"
	"time"
)

func (s *server) swap(key, value string) {
	s.f.t.Helper()
	_, old, err := s.store.Load(s.f.t.Context(), key)
	if err == nil {
		_, err = s.store.Swap(s.f.t.Context(), key, old, []byte(value))
	}
	if err != nil {
		s.f.t.Fatal(err)
	}
}

// After a start a member has applied as much as it knows to be committed:
// nothing. Nor is it enough that raft has handed all to the state machine.
func TestSyncAfterStart(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.swap("run", "v")
	follower := f.others(leader)[0]
	f.gated = true
	follower.restart()
	if follower.host.applied.Load() != 0 {
		t.Fatal("the state machine is not blocked")
	}
	until(t, "all handed to the state machine", func() bool { return follower.raft.AppliedIndex() >= leader.raft.CommitIndex() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := follower.member.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync of a member that has applied nothing = %v, want the cause of ctx", err)
	}
	follower.unblock()
	if err := follower.member.Sync(t.Context()); err != nil || follower.host.applied.Load() == 0 {
		t.Errorf("Sync = %v, with %d applied", err, follower.host.applied.Load())
	}
}

// The same on a server alone, which leads before it has applied its log.
func TestSyncAfterStartAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	s := f.leader()
	s.swap("run", "v")
	f.gated = true
	s.restart()
	f.elect(s)
	f.leader()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.member.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync of a leader that has applied nothing = %v, want the cause of ctx", err)
	}
	if v, _, err := s.store.Load(ctx, "run"); err == nil {
		t.Errorf("Load = %q from a state machine that has applied nothing", v)
	}
	s.unblock()
	if err := s.member.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if v, _, err := s.store.Load(t.Context(), "run"); err != nil || string(v) != "v" {
		t.Errorf("Load = %q, %v", v, err)
	}
}

// Looking costs no entries, once a leader has written its barrier.
func TestReadsWriteNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	look := func() {
		for _, s := range f.servers {
			if err := s.member.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.store.Load(t.Context(), "run"); err != nil {
				t.Fatal(err)
			}
		}
	}
	look()
	before, term := leader.raft.LastIndex(), leader.raft.CurrentTerm()
	for range 10 {
		look()
	}
	if after := leader.raft.LastIndex(); after != before && leader.raft.CurrentTerm() == term {
		t.Errorf("the log has grown from %d to %d", before, after)
	}
}

// A leader that is cut off does not know that there is another one, and must
// not answer from what it has.
func TestLoadOfDeposedLeader(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	old := f.leader()
	old.swap("run", "old")
	f.cut(old)
	next := f.others(old)[0]
	f.elect(next) // while the other one has not noticed
	until(t, "another leader", func() bool { _, id := next.raft.LeaderWithID(); return id != "" && id != old.id })
	next.swap("run", "new")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if v, _, err := old.store.Load(ctx, "run"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Load = %q, %v; want the cause of ctx", v, err)
	}
	if err := old.member.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync = %v, want the cause of ctx", err)
	}
	f.connect()
	if v, _, err := old.store.Load(t.Context(), "run"); err != nil || string(v) != "new" {
		t.Errorf("back again: Load = %q, %v; want new", v, err)
	}
}
