package raftcluster_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// isSwap says whether a request is one; loads and syncs do no harm anywhere.
func isSwap(request []byte) bool { return bytes.Contains(request, []byte("LLr")) }

// The leader has done the swap, and nobody hears of it: it is proposed again,
// done once, and reported as done.
func TestLostReply(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	follower := f.others(leader)[0]
	var proposed atomic.Int32
	f.setCall(func(ctx context.Context, _, to *server, request []byte) ([]byte, error) {
		reply, err := to.member.Answer(ctx, request)
		if isSwap(request) && proposed.Add(1) <= 2 {
			return nil, errLost
		}
		return reply, err
	})
	first, err := follower.store.Swap(t.Context(), "run", "", []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if n := proposed.Load(); n != 3 {
		t.Errorf("proposed %d times, want 3", n)
	}
	v, rev, err := leader.store.Load(t.Context(), "run")
	if err != nil || string(v) != "one" || rev != first {
		t.Errorf("Load = %q, %q, %v; want one, %q", v, rev, err, first)
	}
	proposed.Store(1) // the next one is lost once
	if _, err := follower.store.Swap(t.Context(), "run", "", []byte("two")); !errors.Is(err, tracking.ErrConflict) {
		t.Errorf("a conflict whose reply was lost = %v, want tracking.ErrConflict", err)
	}
	proposed.Store(1)
	if rev, err := follower.store.Swap(t.Context(), "run", first, []byte("three")); err != nil || rev == first {
		t.Errorf("Swap = %q, %v", rev, err)
	}
}

// The leader goes down with a swap that may still be committed. Whatever became
// of it, it is done once, and the caller hears the truth.
func TestLeadershipLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.swap("run", "before")
	_, old, err := leader.store.Load(t.Context(), "run")
	if err != nil {
		t.Fatal(err)
	}
	follower := f.others(leader)[0]
	var once atomic.Bool
	f.setCall(func(ctx context.Context, _, to *server, request []byte) ([]byte, error) {
		if isSwap(request) && once.CompareAndSwap(false, true) {
			f.cut(to) // what it appends now nobody else gets
		}
		return to.member.Answer(ctx, request)
	})
	rev, err := follower.store.Swap(t.Context(), "run", old, []byte("after"))
	if err != nil {
		t.Fatal(err)
	}
	f.connect()
	for _, s := range f.servers {
		if v, got, err := s.store.Load(t.Context(), "run"); err != nil || got != rev || string(v) != "after" {
			t.Errorf("%s loads %q, %q, %v; want after, %q", s.id, v, got, err, rev)
		}
	}
}

// A request that arrives at a member that does not lead is not passed on.
func TestForwardedOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	sender, wrong := f.others(leader)[0], f.others(leader)[1]
	var strayed, forwarded atomic.Int32
	f.setCall(func(ctx context.Context, from, to *server, request []byte) ([]byte, error) {
		if from != sender {
			forwarded.Add(1)
		} else if strayed.Add(1) <= 3 {
			to = wrong
		}
		return to.member.Answer(ctx, request)
	})
	sender.swap("run", "v")
	if err := sender.member.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if n := forwarded.Load(); n != 0 {
		t.Errorf("%d requests were passed on", n)
	}
	if n := strayed.Load(); n < 4 {
		t.Errorf("only %d requests were sent", n)
	}
}

// Nobody leads when the call begins.
func TestWaitsOutElection(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.swap("run", "v")
	follower := f.others(leader)[0]
	f.kill(leader, false)
	follower.swap("run", "w")
	if err := follower.member.Sync(t.Context()); err != nil {
		t.Error(err)
	}

	// And without a quorum until ctx is done.
	f.kill(f.others(leader)[1], false)
	changed := errors.New("the caller has changed its mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(changed) })
	if _, err := follower.store.Swap(ctx, "run", "2", []byte("x")); !errors.Is(err, changed) {
		t.Errorf("Swap without a quorum = %v, want the cause of ctx", err)
	}
}

// A leader that is frozen is given up when there is another one.
func TestFrozenLeader(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.swap("run", "v")
	follower := f.others(leader)[0]
	f.freeze(leader.id)
	time.AfterFunc(20*time.Millisecond, func() { f.cut(leader) })
	begin := time.Now()
	follower.swap("run", "w")
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A new leader looks at once, whatever it missed between two calls.
func TestWaitWakesWithLeadership(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	next := f.others(leader)[0]
	leader.well()
	_, place, err := next.store.Wait(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan error, 1)
	go func() {
		keys, _, err := next.store.Wait(t.Context(), place)
		if len(keys) > 0 {
			err = errors.New(strings.Join(keys, " "))
		}
		woken <- err
	}()
	if err := leader.raft.LeadershipTransferToServer(next.id, next.addr).Error(); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; err != nil {
		t.Error(err)
	}
	f.leader()
	keys, now, err := next.store.Wait(t.Context(), place)
	if keys != nil || now == place || err != nil {
		t.Errorf("from before the change: %q, %q, %v; want nil and another place", keys, now, err)
	}
}

// A member whose program does not know what is in the log is of no use as a
// leader, and does no harm as a follower.
func TestNewerCommand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.swap("run", "v")
	newer := []byte("LLr\x02 of a later release")

	old := f.others(leader)[0]
	if err := old.member.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	old.host.Machine.Apply(99, newer)
	old.swap("run", "w")
	_, place, err := old.store.Wait(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	keys, _, err := old.store.Wait(t.Context(), place)
	if took := time.Since(begin); keys != nil || err != nil || took < 900*time.Millisecond {
		t.Errorf("Wait, blind: %q, %v after %v; want nil after a second", keys, err, took)
	}

	leader.host.Machine.Apply(99, newer)
	for _, s := range f.servers {
		if _, _, err := s.store.Load(t.Context(), "run"); !errors.Is(err, tracking.ErrFormat) {
			t.Errorf("%s: Load = %v, want tracking.ErrFormat", s.id, err)
		}
		if _, err := s.store.Swap(t.Context(), "run", "2", nil); !errors.Is(err, tracking.ErrFormat) {
			t.Errorf("%s: Swap = %v, want tracking.ErrFormat", s.id, err)
		}
	}
}

// A place from before a restart is none: who led meanwhile nobody knows.
func TestWaitFromEarlierLife(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	s := f.leader()
	s.swap("run", "v")
	_, place, err := s.store.Wait(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	s.restart()
	f.elect(s)
	if err := s.member.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys, now, err := s.store.Wait(t.Context(), place); keys != nil || now == place || err != nil {
		t.Errorf("Wait = %q, %q, %v; want nil and another place", keys, now, err)
	}
}

// A host whose state machine does not return what the Machine said.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	s := f.leader()
	member, err := raftcluster.New(raftcluster.Config{Raft: s.raft, Local: s.id, Applied: s.host.applied.Load})
	if err != nil {
		t.Fatal(err)
	}
	store, err := raftcluster.NewStore(raftcluster.StoreConfig{Member: member, Machine: s.host.Machine}) // no Wrap
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Swap(t.Context(), "run", "", nil); err == nil || errors.Is(err, tracking.ErrConflict) {
		t.Errorf("Swap = %v", err)
	}
	if _, err := raftcluster.NewStore(raftcluster.StoreConfig{Member: member, Machine: s.host.Machine}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Store: %v, want fs.ErrExist", err)
	}
	if _, err := raftcluster.NewStore(raftcluster.StoreConfig{Member: member}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no Machine: %v, want fs.ErrInvalid", err)
	}
	if _, err := raftcluster.New(raftcluster.Config{Raft: s.raft, Local: s.id}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no Applied: %v, want fs.ErrInvalid", err)
	}
}

// Once its raft is shut down, a member of a cluster that is gone says so.
func TestShutDown(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	s := f.leader()
	f.kill(s, false)
	if _, _, err := s.store.Load(t.Context(), "run"); !errors.Is(err, raft.ErrRaftShutdown) {
		t.Errorf("Load = %v, want raft.ErrRaftShutdown", err)
	}
	if got := s.show(); !strings.HasPrefix(got, " m1!") {
		t.Errorf("it shows%s, want m1!", got)
	}
}
