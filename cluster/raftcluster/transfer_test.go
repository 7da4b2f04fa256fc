package raftcluster_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster"
)

// answersAlways is a probe that is wrong about members that are not there.
func answersAlways(_ context.Context, m cluster.Member) (cluster.Member, error) {
	m.Healthy = true
	return m, nil
}

// kill ends a server. Whoever asks it is refused, or if it is frozen waits.
func (f *fleet) kill(s *server, frozen bool) {
	f.t.Helper()
	if err := s.raft.Shutdown().Error(); err != nil {
		f.t.Error(err)
	}
	if !frozen {
		f.cut(s)
	}
}

// The wish is dead or frozen: if that is known it is not tried, and otherwise
// the next voter gets leadership.
func TestTransferPastTheDead(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frozen bool
		probe  func(context.Context, cluster.Member) (cluster.Member, error)
	}{
		{"dead, and it shows", false, nil},
		{"frozen, and it shows", true, nil},
		{"dead since a moment ago", false, answersAlways},
		{"frozen since a moment ago", true, answersAlways},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newProbed(t, tc.probe, 3)
			leader := f.leader()
			leader.well()
			wish, next := f.others(leader)[0], f.others(leader)[1]
			f.kill(wish, tc.frozen)
			f.freeze(wish.id)
			if err := leader.member.TransferLeadership(t.Context(), cluster.MemberID(wish.id)); err != nil {
				t.Fatal(err)
			}
			if _, id := leader.raft.LeaderWithID(); id != next.id {
				t.Errorf("after nil %q leads, want %s", id, next.id)
			}
			// Writes are refused for a while after a failed attempt, not for ever.
			if _, err := leader.store.Swap(t.Context(), "run", "", []byte("v")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A leader that has committed nothing yet does not know who belongs to the
// cluster. It finds out first.
func TestTransferAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	first := f.servers[0]
	for end := time.Now().Add(20 * time.Second); first.raft.State() != raft.Leader && time.Now().Before(end); {
		runtime.Gosched()
	}
	if err := first.member.TransferLeadership(t.Context(), "m2"); err != nil {
		t.Error(err)
	}
	if leader := f.leader(); leader.id != "m2" {
		t.Errorf("%s leads, want m2", leader.id)
	}
}

// A non-voter would depose the leader without being able to lead.
func TestTransferToNonvoter(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "a-spare")
	leader := f.leader()
	leader.well()
	term := leader.raft.CurrentTerm()
	if err := leader.member.TransferLeadership(t.Context(), "a-spare"); err != nil {
		t.Fatal(err)
	}
	if _, id := leader.raft.LeaderWithID(); id == "a-spare" || id == leader.id {
		t.Errorf("%q leads", id)
	}
	if now := leader.raft.CurrentTerm(); now != term+1 {
		t.Errorf("it took %d elections, want 1", now-term)
	}

	f = newFleet(t, 1, "a-spare")
	leader = f.leader()
	leader.well()
	for _, to := range []cluster.MemberID{"a-spare", leader.member.Self()} {
		if err := leader.member.TransferLeadership(t.Context(), to); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("to %s, without another voter: %v, want errors.ErrUnsupported", to, err)
		}
	}
	if leader.raft.State() != raft.Leader {
		t.Error("the only voter does not lead any more")
	}
}

// Nobody answers now: that is no reason to give up for ever.
func TestTransferToNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	leader := f.leader()
	leader.well()
	for _, o := range f.others(leader) {
		f.freeze(o.id)
	}
	err := leader.member.TransferLeadership(t.Context(), "m1")
	if leader.id == "m1" {
		err = leader.member.TransferLeadership(t.Context(), "m2")
	}
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("TransferLeadership = %v, want an error other than errors.ErrUnsupported", err)
	}
	if leader.raft.State() != raft.Leader {
		t.Error("it does not lead any more")
	}
}

// Raft hands nothing over under a protocol version below 3, and that does not
// change while it runs: the member goes last as it is.
func TestTransferOfOldProtocol(t *testing.T) {
	t.Parallel()
	f := &fleet{t: t, probe: answersAlways, frozen: map[raft.ServerID]bool{}}
	f.call = func(ctx context.Context, _, to *server, request []byte) ([]byte, error) {
		return to.member.Answer(ctx, request)
	}
	var conf raft.Configuration
	for _, id := range []raft.ServerID{"m1", "m2"} {
		s := f.newServer(id)
		s.conf.ProtocolVersion, s.conf.LocalID = 2, raft.ServerID(s.addr) // as it has to be there
		s.id = s.conf.LocalID
		f.servers = append(f.servers, s)
		conf.Servers = append(conf.Servers, raft.Server{ID: s.id, Address: s.addr})
	}
	f.connect()
	for _, s := range f.servers {
		if err := raft.BootstrapCluster(s.conf, s.logs, s.logs, s.snaps, s.trans, conf); err != nil {
			t.Fatal(err)
		}
		s.start()
		defer func() { s.raft.Shutdown().Error() }()
	}
	f.elect(f.servers[0])
	leader := f.leader()
	leader.well()
	if err := leader.member.TransferLeadership(t.Context(), cluster.MemberID(f.others(leader)[0].id)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("TransferLeadership = %v, want errors.ErrUnsupported", err)
	}
	if leader.raft.State() != raft.Leader {
		t.Error("it does not lead any more")
	}
}

// An earlier attempt is under way, and raft has but one: the next one waits for
// it, as long as ctx allows.
func TestTransferWaitsForTransfer(t *testing.T) {
	t.Parallel()
	f := newProbed(t, answersAlways, 3)
	leader := f.leader()
	leader.well()
	stuck, next := f.others(leader)[0], f.others(leader)[1]
	f.kill(stuck, true)
	first := leader.raft.LeadershipTransferToServer(stuck.id, stuck.addr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := leader.member.TransferLeadership(ctx, cluster.MemberID(next.id)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TransferLeadership = %v, want the cause of ctx", err)
	}
	if err := leader.member.TransferLeadership(t.Context(), cluster.MemberID(next.id)); err != nil {
		t.Error(err)
	}
	if _, id := leader.raft.LeaderWithID(); id != next.id {
		t.Errorf("%q leads, want %s", id, next.id)
	}
	if first.Error() == nil {
		t.Error("the attempt that was under way went well")
	}
}
