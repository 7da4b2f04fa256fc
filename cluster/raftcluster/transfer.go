package raftcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster"
)

// TransferLeadership implements cluster.Membership. It chooses the successor
// itself, since raft would go by the log alone and pick a dead one: the member
// to, or else another one, but always a voter of the latest configuration that
// answers when asked now. If one does not take over it tries the next. It
// returns nil once another member leads, or nobody does and ctx is done or it
// takes longer than an election should.
//
// Without another voter, and with a raft of a ProtocolVersion below 3, the error
// wraps errors.ErrUnsupported; with no voter that answers it does not, for that
// may change. After an attempt that failed raft
// takes no entries for a while: up to the timeout of its transport, if the
// successor accepted the connection and then said nothing.
func (m *Member) TransferLeadership(ctx context.Context, to cluster.MemberID) error {
	if ctx.Err() != nil {
		return fmt.Errorf("raftcluster: transfer leadership of %s: %w", m.c.Local, context.Cause(ctx))
	}
	if !m.leads() {
		return nil
	}
	servers := m.servers()
	if !slices.ContainsFunc(servers, m.successor) {
		return fmt.Errorf("raftcluster: transfer leadership of %s: there is no other voter: %w", m.c.Local, errors.ErrUnsupported)
	}
	if to == m.Self() {
		return nil
	}
	if slices.ContainsFunc(servers, func(s shown) bool { return !s.sure }) {
		// As after an election, until the leader has committed something. If it cannot, nobody is healthy below.
		_, _ = m.settle(ctx)
		servers = m.servers()
	}
	healthy, err := m.healthy(ctx, servers, 0)
	if err != nil {
		return fmt.Errorf("raftcluster: transfer leadership of %s: %w", m.c.Local, err)
	}
	var best []raft.Server
	for i, s := range servers {
		switch {
		case !healthy[i] || !m.successor(s):
		case s.ID == raft.ServerID(to):
			best = slices.Insert(best, 0, s.Server)
		default:
			best = append(best, s.Server)
		}
	}
	err = errors.New("no other voter is healthy")
	for _, s := range best {
		if err = m.transfer(ctx, s); err == nil {
			return nil
		}
		m.c.Logger.Warn("leadership was not taken over", "by", s.ID, "error", err)
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("raftcluster: transfer leadership of %s: %w", m.c.Local, err)
}

func (m *Member) successor(s shown) bool { return s.ID != m.c.Local && s.Suffrage == raft.Voter }

// electionTime is how long an election may take before nobody waits for it.
const electionTime = 5 * time.Second

// transfer returns nil if s, or anybody else, leads now in place of the local
// member.
func (m *Member) transfer(ctx context.Context, s raft.Server) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := m.wait(ctx, func() raft.Future { return m.c.Raft.LeadershipTransferToServer(s.ID, s.Address) })
		switch {
		case err == nil || errors.Is(err, raft.ErrNotLeader):
			return m.succeeded(ctx)
		case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
			// An earlier attempt, which nothing can end; raft has one place to wait for it, and does not wait.
		case errors.Is(err, raft.ErrUnsupportedProtocol):
			return fmt.Errorf("to %s: %w, set raft's ProtocolVersion to 3: %w", s.ID, raft.ErrUnsupportedProtocol, errors.ErrUnsupported)
		default:
			return fmt.Errorf("to %s: %w", s.ID, err)
		}
		if !m.leads() {
			return m.succeeded(ctx)
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("to %s: %w, after: %w", s.ID, context.Cause(ctx), err)
		}
	}
}

// succeeded waits until somebody leads. Raft's nil says only that the local
// member did not at that moment: if it was elected again, nothing is gained. That
// the one named here says so itself is not waited for: whoever called looks for
// that one's takeover in the record.
func (m *Member) succeeded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, electionTime)
	defer cancel()
	for {
		_, changed := m.leadership.watch()
		_, leader := m.c.Raft.LeaderWithID()
		switch {
		case leader != "" && leader != m.c.Local:
			return nil
		case leader == m.c.Local && m.leads():
			return fmt.Errorf("%s was elected again", m.c.Local)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil // it does not lead, which is all that nil says
		}
	}
}
