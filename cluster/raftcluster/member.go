package raftcluster

import (
	"context"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster"
)

// A Call carries request to the Member of another server, has it answered by
// Member.Answer there, and brings back the reply. It is the host's own
// transport, which says who may call: what it carries can write the record. Any
// error is taken for "no answer": the request may or may not have been carried
// out, and is repeated where that does no harm. It must be safe for concurrent
// use and must return promptly once ctx is done. A request and a reply have up
// to tracking.MaxValue bytes and a little more.
type Call func(ctx context.Context, to raft.Server, request []byte) ([]byte, error)

// A Logger takes a message and alternating keys and values. Both hclog.Logger
// and *slog.Logger are Loggers.
type Logger interface {
	Debug(msg string, args ...any)
	Warn(msg string, args ...any)
}

// A Config says how a Member is made. Raft, Local and Applied are required.
type Config struct {
	Raft  *raft.Raft    // the host's; New does not start or stop it
	Local raft.ServerID // as in the raft.Config

	// Applied returns the index of the last log entry that the host's own state
	// machine has applied, counting what its Apply is given (raft.LogCommand)
	// and nothing else; all members must count alike. Store it at the end of
	// Apply, and keep it in the snapshot, so that Restore brings it back:
	// raft's AppliedIndex counts what was handed to the state machine, and
	// nothing of what is still in its queue has been applied. It must be safe
	// for concurrent use and quick.
	Applied func() uint64

	// Call is required in a cluster of more than one.
	Call Call

	// URL returns the base URL of a member's upgrade API, "" if it is not
	// known. If URL is nil no member has one.
	URL func(raft.Server) string

	// Probe returns m with Healthy as it is now; what else it changes is
	// ignored. It is asked about all members but the local one at once, and has
	// a second: an error or no answer by then means that m is not healthy. An
	// answer is used for half a second. It must be safe for concurrent use.
	//
	// If Probe is nil a member is healthy that answers a Call.
	Probe func(ctx context.Context, m cluster.Member) (cluster.Member, error)

	Logger Logger // nothing is logged if nil
}

// A Member is the cluster.Membership of one server of a raft cluster. It has no
// goroutines of its own but while it is asked, and needs no closing: it lives as
// long as its Raft. All methods are safe for concurrent use.
type Member struct {
	c          Config
	leadership leadership
	configs    configurations
	health     health
	barrier    barrier
	store      atomic.Pointer[Store]
}

// New returns the Member of c.Local. The error wraps fs.ErrInvalid if a field
// of c is missing.
func New(c Config) (*Member, error) {
	for field, missing := range map[string]bool{"Raft": c.Raft == nil, "Local": c.Local == "", "Applied": c.Applied == nil} {
		if missing {
			return nil, fmt.Errorf("raftcluster: Config.%s is required: %w", field, fs.ErrInvalid)
		}
	}
	if c.Logger == nil {
		c.Logger = silent{}
	}
	m := &Member{c: c}
	m.leadership.observe(c.Raft, c.Local)
	m.servers() // what it sees first is in doubt; the sooner it has seen it the better
	return m, nil
}

type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Warn(string, ...any)  {}

// Self implements cluster.Membership.
func (m *Member) Self() cluster.MemberID { return cluster.MemberID(m.c.Local) }

// Members implements cluster.Membership. The members are those of raft's latest
// configuration. While it is not known to be committed, those of the one before
// are listed with them, and whoever is not the same in both is not healthy:
// nobody should be stopped then. A Member just made, and one that has lost its
// leader, knows of no committed configuration until the leader has confirmed
// one, and shows nobody as healthy.
//
// The local member is asked nothing: it is healthy unless its raft is shut
// down. Before the cluster is bootstrapped there are no members, and an error.
func (m *Member) Members(ctx context.Context) ([]cluster.Member, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("raftcluster: members: %w", context.Cause(ctx))
	}
	servers := m.servers()
	if len(servers) == 0 {
		return nil, fmt.Errorf("raftcluster: members: %s has no raft configuration; bootstrap the cluster, or add this member to it", m.c.Local)
	}
	healthy, err := m.healthy(ctx, servers, reuse)
	if err != nil {
		return nil, fmt.Errorf("raftcluster: members: %w", err)
	}
	leader := m.leader()
	members := make([]cluster.Member, 0, len(servers))
	for i, s := range servers {
		member := m.member(s.Server)
		member.Leader = s.ID == leader
		member.Healthy = healthy[i]
		members = append(members, member)
	}
	return members, nil
}

// member returns what the configuration says about s.
func (m *Member) member(s raft.Server) cluster.Member {
	member := cluster.Member{ID: cluster.MemberID(s.ID), Voter: s.Suffrage == raft.Voter}
	if m.c.URL != nil {
		member.Addr = m.c.URL(s)
	}
	return member
}

// leader returns the one leader that is known, "" if none is. A member that is
// about to step down is named as leader by its raft a little longer than it is
// one.
func (m *Member) leader() raft.ServerID {
	_, leader := m.c.Raft.LeaderWithID()
	if leader == m.c.Local && !m.leads() {
		return ""
	}
	return leader
}

func (m *Member) leads() bool { return m.c.Raft.State() == raft.Leader }
