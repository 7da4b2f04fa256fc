package raftcluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	probeTime = time.Second            // how long a member has to answer
	reuse     = 500 * time.Millisecond // how long an answer is used for others who ask
)

// health is who answered lately.
type health struct {
	mu      sync.Mutex
	answers map[raft.ServerID]*answer
}

// An answer is that of one member, or that it did not answer.
type answer struct {
	from raft.Server
	done chan struct{} // closed once the rest is there
	well bool
	at   time.Time
}

// healthy returns which of servers are well now: those that are sure to belong
// to the cluster, and have answered. Answers that are older than atMost are not
// used, and if there is one, all are asked anew, at once, so that nobody's is
// much older than another's. Whoever asks meanwhile gets the same answers.
func (m *Member) healthy(ctx context.Context, servers []shown, atMost time.Duration) ([]bool, error) {
	answers := make([]*answer, len(servers))
	m.health.mu.Lock()
	kept := map[raft.ServerID]*answer{}
	for _, s := range servers {
		if m.asks(s) && !m.health.answers[s.ID].recent(s.Server, atMost) {
			atMost = 0
		}
	}
	for i, s := range servers {
		if !m.asks(s) {
			continue
		}
		a := m.health.answers[s.ID]
		if !a.recent(s.Server, atMost) {
			a = &answer{from: s.Server, done: make(chan struct{})}
			go m.ask(a)
		}
		answers[i], kept[s.ID] = a, a
	}
	m.health.answers = kept
	m.health.mu.Unlock()

	well := make([]bool, len(servers))
	for i, a := range answers {
		if a == nil {
			well[i] = servers[i].sure && m.c.Raft.State() != raft.Shutdown
			continue
		}
		select {
		case <-a.done:
			well[i] = a.well
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return well, nil
}

func (m *Member) asks(s shown) bool { return s.ID != m.c.Local && s.sure }

// recent says whether a is one of s, and is still to come, or came no longer
// ago than atMost.
func (a *answer) recent(s raft.Server, atMost time.Duration) bool {
	if a == nil || a.from != s {
		return false
	}
	select {
	case <-a.done:
		return time.Since(a.at) < atMost
	default:
		return true
	}
}

// ask fills in a. It outlives whoever wanted to know: others wait for it too.
func (m *Member) ask(a *answer) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	well := make(chan bool, 1)
	go func() { well <- m.probe(ctx, a.from) == nil }()
	select {
	case a.well = <-well:
	case <-ctx.Done(): // and the probe may be deaf to that
	}
	a.at = time.Now()
	close(a.done)
}

var errUnwell = errors.New("says that it is not well")

// probe returns nil if s is well.
func (m *Member) probe(ctx context.Context, s raft.Server) error {
	if m.c.Probe == nil {
		return m.ping(ctx, s)
	}
	member, err := m.c.Probe(ctx, m.member(s))
	if err == nil && !member.Healthy {
		return errUnwell
	}
	return err
}
