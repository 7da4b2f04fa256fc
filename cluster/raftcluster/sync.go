package raftcluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Sync implements cluster.Membership. A member that leads confirms that it does,
// and waits for its own state machine. Any other asks the leader up to where
// the state machine has to come, and waits for that: it never goes by the
// commit index of its own raft, which is 0 after a start, as is what it has
// applied. Sync waits out elections.
//
// Raft has no event for "applied", so the wait looks again after 1 ms, and then
// less and less often, down to every 50 ms.
func (m *Member) Sync(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("raftcluster: sync: %w", context.Cause(ctx))
	}
	reply, err := m.onLeader(ctx, []byte{wireVersion, askIndex})
	if err != nil {
		return fmt.Errorf("raftcluster: sync: %w", err)
	}
	index, n := binary.Uvarint(reply)
	if n <= 0 {
		return fmt.Errorf("raftcluster: sync: the leader answered %d bytes that are no index", len(reply))
	}
	if err := m.applies(ctx, index); err != nil {
		return fmt.Errorf("raftcluster: sync: %s has applied entry %d, and waits for %d: %w", m.c.Local, m.c.Applied(), index, err)
	}
	return nil
}

// applies returns nil once the local state machine has applied the entry at
// index.
func (m *Member) applies(ctx context.Context, index uint64) error {
	return m.reaches(ctx, m.c.Applied, index)
}

// stores returns nil once the local log has the entry at index.
func (m *Member) stores(ctx context.Context, index uint64) error {
	return m.reaches(ctx, m.c.Raft.LastIndex, index)
}

func (m *Member) reaches(ctx context.Context, at func() uint64, index uint64) error {
	for pause := time.Millisecond; at() < index; pause = min(2*pause, 50*time.Millisecond) {
		if m.c.Raft.State() == raft.Shutdown {
			return raft.ErrRaftShutdown
		}
		if !sleep(ctx, pause) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// sleep returns false if ctx is done before d is over.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A barrier is the last one that this member wrote as leader.
type barrier struct {
	mu    sync.Mutex
	term  uint64 // in which
	index uint64 // what the state machine has gone through at least
}

// errAgain is wrapped by errors after which the same request may be made again,
// here or elsewhere.
var errAgain = errors.New("try again")

// settle returns once the local state machine has applied everything that was
// committed when settle was called, and the index of the last entry that it has
// applied. It fails if the local member does not lead.
//
// What is committed and what the state machine has seen cannot be compared as
// they are. The commit index of a new leader may lag until an entry of its own
// term is committed, and entries that are raft's own, such as the first one of
// each leader, never reach the state machine. A Barrier is past both: the first
// settle of a term writes one, and later ones only where the log ends with
// entries of raft's own. All others write nothing.
func (m *Member) settle(ctx context.Context) (uint64, error) {
	term := m.c.Raft.CurrentTerm()
	if !m.leads() {
		return 0, fmt.Errorf("%s does not lead: %w", m.c.Local, errAgain)
	}
	passed, known := m.barrier.in(term)
	if known {
		if err := m.wait(ctx, m.c.Raft.VerifyLeader); err != nil {
			return 0, err
		}
		// If the term is still the same, this member has led all the time.
		if m.c.Raft.CurrentTerm() != term {
			return 0, fmt.Errorf("leadership of %s has changed: %w", m.c.Local, errAgain)
		}
		commit := m.c.Raft.CommitIndex()
		if passed >= commit || m.soon(ctx, commit) {
			return m.c.Applied(), nil
		}
	}
	var future raft.Future
	if err := m.wait(ctx, func() raft.Future { future = m.c.Raft.Barrier(enqueueTime); return future }); err != nil {
		return 0, err
	}
	if f, ok := future.(raft.IndexFuture); ok && m.c.Raft.CurrentTerm() == term {
		m.barrier.pass(term, f.Index())
	}
	return m.c.Applied(), nil
}

// soon says whether the state machine gets to index within a few milliseconds,
// as it does in a cluster that is busy: a barrier costs more.
func (m *Member) soon(ctx context.Context, index uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	return m.applies(ctx, index) == nil
}

func (b *barrier) in(term uint64) (index uint64, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.index, b.term == term && b.index > 0
}

func (b *barrier) pass(term, index uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if term > b.term || term == b.term && index > b.index {
		b.term, b.index = term, index
	}
}

// enqueueTime is how long raft has to take an entry. It takes none while its
// loop is held up by a disk.
const enqueueTime = time.Second

// wait makes a future and waits for it. An error of raft may mean anything,
// from "does not lead" to "may still be committed": it wraps errAgain too. When
// ctx is done, what was begun goes on.
func (m *Member) wait(ctx context.Context, begin func() raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- begin().Error() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%w; %w", err, errAgain)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
