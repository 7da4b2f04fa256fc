package raftcluster_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, "a-spare")
	leader := f.leader()
	leader.well()
	if err := leader.member.TransferLeadership(t.Context(), "m2"); err != nil {
		t.Fatal(err)
	}
	leader = f.leader()
	for _, s := range f.servers {
		s.well()
		members, err := s.member.Members(t.Context())
		if err != nil || len(members) != 4 {
			t.Fatalf("%v, %v", members, err)
		}
		for i, id := range []cluster.MemberID{"a-spare", "m1", "m2", "m3"} {
			want := cluster.Member{ID: id, Addr: "https://" + string(id), Voter: i > 0, Leader: id == leader.member.Self(), Healthy: true}
			if members[i] != want {
				t.Errorf("%s sees %+v, want %+v", s.id, members[i], want)
			}
		}
	}
}

// However often somebody looks, a member is asked now and then; one that hangs
// holds nobody up for longer than a second, and one that says it is not well is
// not. The local member is not asked.
func TestProbes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var hangs atomic.Bool
	hang := make(chan struct{})
	f := newProbed(t, func(ctx context.Context, m cluster.Member) (cluster.Member, error) {
		switch m.ID {
		case "m1":
			return m, errors.New("the local member is asked")
		case "m2":
			asked.Add(1)
			m.Healthy = true
		case "m4":
			if hangs.Load() {
				<-hang // deaf to its context
			}
		case "m5":
			return cluster.Member{Healthy: true}, errors.New("connection refused")
		}
		m.Voter, m.Leader = true, true // not its to say
		return m, nil
	}, 1, "m2", "m3", "m4", "m5")
	t.Cleanup(func() { close(hang) })
	m1 := f.leader()
	until(t, "m2 alone healthy", func() bool { return m1.show() == " m1* m2? m3!? m4!? m5!?" })
	before, begin := asked.Load(), time.Now()
	for time.Since(begin) < 300*time.Millisecond {
		m1.show()
	}
	if n := asked.Load() - before; n > 2 {
		t.Errorf("asked %d times in %v", n, time.Since(begin))
	}
	hangs.Store(true)
	until(t, "m2 asked again", func() bool { m1.show(); return asked.Load() > before })

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var err error
	until(t, "nothing known any more", func() bool { _, err = m1.member.Members(ctx); return err != nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Members = %v, want the cause of ctx", err)
	}
}

// A change that has no quorum to be committed is shown, and not as healthy.
func TestUncommittedConfiguration(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.well()
	for _, o := range f.others(leader) {
		f.cut(o)
	}
	leader.raft.AddVoter("m4", "at-m4", 0, 0)
	f.servers = append(f.servers, f.newServer("m4")) // it answers, or would
	until(t, "m4 listed", func() bool {
		members, err := leader.member.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			if m.ID == "m4" {
				if m.Healthy {
					t.Error("m4 is healthy before it is a member")
				}
				return true
			}
			if !m.Healthy {
				t.Errorf("%s is in both configurations, and not healthy", m.ID)
			}
		}
		return false
	})
	f.servers = f.servers[:3]
	f.connect()
	f.leader()
	for _, s := range f.servers {
		until(t, "one that is committed", func() bool { // which of the two is for the election to say
			members, err := s.member.Members(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range members[:3] {
				if !m.Healthy {
					return false
				}
			}
			return true
		})
	}
}

// A member that is not in a cluster yet.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	s := f.newServer("m2")
	s.start()
	t.Cleanup(func() { s.raft.Shutdown().Error() })
	if got := s.show(); got == "" || got[0] == ' ' {
		t.Errorf("members:%s, want an error", got)
	}
	if err := s.member.TransferLeadership(t.Context(), "m1"); err != nil {
		t.Error(err)
	}
	// It is added.
	f.servers = append(f.servers, s)
	f.connect()
	leader := f.servers[0]
	until(t, "a leader", func() bool { return leader.raft.State() == raft.Leader })
	if err := leader.raft.AddNonvoter("m2", s.addr, 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	s.well()
	if got := s.show(); got != " m1* m2?" {
		t.Errorf("members:%s", got)
	}
	if err := s.member.Sync(t.Context()); err != nil {
		t.Error(err)
	}
}

// A member whose log cannot grow answers, and is not well: it is no part of a
// quorum. It is as soon as it has caught up.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.well()
	ill := f.others(leader)[0]
	ill.logs.full.Store(true)
	if _, err := leader.store.Swap(t.Context(), "k", "", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for _, s := range f.others(ill) {
		until(t, string(s.id)+" knows of the full disk", func() bool { return strings.Contains(s.show(), string(ill.id)+"!") })
	}
	if err := cluster.SafeToStop(members(t, leader), f.others(leader)[1].member.Self()); err == nil {
		t.Error("another member can be spared")
	}
	ill.logs.full.Store(false)
	leader.well()
}

func members(t *testing.T, s *server) []cluster.Member {
	t.Helper()
	all, err := s.member.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}
