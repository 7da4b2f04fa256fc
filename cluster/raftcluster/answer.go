package raftcluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/tracking"
)

// attemptTime bounds one attempt at the leader, so that one that is frozen is
// given up for the next.
const attemptTime = 5 * time.Second

// Answer carries out what the Call of another member asks of this one, and
// returns the reply for it. A request for the leader that arrives at a member
// that does not lead is not passed on: the reply says so, and the member that
// asked looks for the leader again. The error is that of ctx alone; everything
// else is said in the reply.
func (m *Member) Answer(ctx context.Context, request []byte) ([]byte, error) {
	limit, cancel := context.WithTimeoutCause(ctx, attemptTime, fmt.Errorf("%s takes longer than %v: %w", m.c.Local, attemptTime, errAgain))
	defer cancel()
	result, err := m.execute(limit, request)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("raftcluster: answer: %w", context.Cause(ctx))
	}
	return encodeReply(result, err), nil
}

// execute carries out a request here.
func (m *Member) execute(ctx context.Context, request []byte) ([]byte, error) {
	if len(request) < 2 || request[0] != wireVersion {
		return nil, fmt.Errorf("%s does not know this request: %w", m.c.Local, tracking.ErrFormat)
	}
	what, rest := request[1], request[2:]
	switch what {
	case askPing:
		if index, n := binary.Uvarint(rest); n > 0 { // an earlier release asks without
			if err := m.stores(ctx, index); err != nil {
				return nil, fmt.Errorf("%s has entry %d in its log, and waits for %d: %w; %w", m.c.Local, m.c.Raft.LastIndex(), index, err, errAgain)
			}
		}
		return []byte(m.c.Local), nil
	case askIndex:
		index, err := m.settle(ctx)
		return binary.AppendUvarint(nil, index), err
	case askLoad, askSwap:
		s := m.store.Load()
		if s == nil {
			return nil, fmt.Errorf("%s leads and has no Store: %w", m.c.Local, errNo)
		}
		if what == askLoad {
			return s.load(ctx, string(rest))
		}
		return s.propose(ctx, rest)
	}
	return nil, fmt.Errorf("%s does not know requests of kind %d: %w", m.c.Local, what, tracking.ErrFormat)
}

// onLeader has the leader carry out a request, wherever it is, and goes on
// trying until ctx is done. The request must be one that does no harm if it is
// carried out twice.
func (m *Member) onLeader(ctx context.Context, request []byte) ([]byte, error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		_, changed := m.leadership.watch()
		result, err := m.attempt(ctx, request)
		switch {
		case err == nil:
			return result, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%w, after: %v", context.Cause(ctx), err)
		case m.c.Raft.State() == raft.Shutdown:
			return nil, fmt.Errorf("%s: %w", m.c.Local, raft.ErrRaftShutdown)
		case !errors.Is(err, errAgain):
			return nil, err
		}
		m.c.Logger.Debug("the leader has not answered yet", "error", err)
		t := time.NewTimer(pause)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// attempt makes one attempt at whoever leads now.
func (m *Member) attempt(ctx context.Context, request []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTime, fmt.Errorf("no answer for %v: %w", attemptTime, errAgain))
	defer cancel()
	addr, leader := m.c.Raft.LeaderWithID()
	switch {
	case leader == m.c.Local:
		return m.execute(ctx, request)
	case leader == "":
		return nil, fmt.Errorf("nobody is known to lead: %w", errAgain)
	}
	to := raft.Server{Suffrage: raft.Voter, ID: leader, Address: addr}
	for _, s := range m.c.Raft.GetConfiguration().Configuration().Servers {
		if s.ID == leader {
			to = s
		}
	}
	type reply struct {
		data []byte
		err  error
	}
	done := make(chan reply, 1)
	go func() {
		data, err := m.call(ctx, to, request)
		done <- reply{data, err}
	}()
	for {
		_, changed := m.leadership.watch()
		if _, now := m.c.Raft.LeaderWithID(); now != leader {
			return nil, fmt.Errorf("%s led, and has not answered: %w", leader, errAgain)
		}
		select {
		case r := <-done:
			return r.data, r.err
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// call asks another member.
func (m *Member) call(ctx context.Context, to raft.Server, request []byte) ([]byte, error) {
	if m.c.Call == nil {
		return nil, fmt.Errorf("%s cannot ask %s: Config.Call is required in a cluster of more than one: %w", m.c.Local, to.ID, errNo)
	}
	reply, err := m.c.Call(ctx, to, request)
	if err != nil {
		return nil, fmt.Errorf("ask %s at %s: %w; %w", to.ID, to.Address, err, errAgain)
	}
	result, err := decodeReply(reply)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", to.ID, err)
	}
	return result, nil
}

// ping returns nil if the member s answers, is s, and has in its log what is
// known here to be committed: one that cannot write its log any more, as on a
// full disk, answers for long, and is no part of a quorum. ctx is how long it may
// take to catch up.
func (m *Member) ping(ctx context.Context, s raft.Server) error {
	request := binary.AppendUvarint([]byte{wireVersion, askPing}, m.c.Raft.CommitIndex())
	id, err := m.call(ctx, s, request)
	if err == nil && raft.ServerID(id) != s.ID {
		err = fmt.Errorf("%q answers at %s in place of %s", id, s.Address, s.ID)
	}
	return err
}
