package raftnode

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"time"

	"github.com/hashicorp/raft"
)

// MaxCommand is how large a command of the host may be, and a reply of its state
// machine, in bytes. Raft is at its best with much less.
const MaxCommand = 1 << 20

const (
	// enqueueTime is how long raft's main loop may take to take a command.
	enqueueTime = 2 * time.Second
	// attemptTime bounds one call to a leader, which may be frozen.
	attemptTime = 10 * time.Second
	// leaderLook is how often an attempt looks whether the leader still leads.
	leaderLook = 100 * time.Millisecond
	// retryLeast and retryMost are the pauses while nobody leads.
	retryLeast = 10 * time.Millisecond
	retryMost  = 250 * time.Millisecond
)

// An FSMError is what the host's state machine answered to a command if it was an
// error. It is the same on every member; only its text crosses the network.
type FSMError struct{ Text string }

// Error returns the text.
func (e *FSMError) Error() string { return e.Text }

// Apply applies a command of the host: on the leader, to which it is forwarded
// once if that is another member. It returns what the host's state machine
// answered: a reply, or an *FSMError. While nobody leads it waits, and tries
// again, until ctx is done.
//
// A command is applied at most once, however often its way was lost. When ctx is
// done first the error wraps its cause, and the command may or may not have been
// applied, or be applied yet.
func (n *Node) Apply(ctx context.Context, command []byte) ([]byte, error) {
	if n.c.FSM == nil {
		return nil, fmt.Errorf("raftnode: apply: Config.FSM is nil: %w", errors.ErrUnsupported)
	}
	if len(command) > MaxCommand {
		return nil, fmt.Errorf("raftnode: apply: a command of %d bytes, more than %d: %w", len(command), MaxCommand, fs.ErrInvalid)
	}
	var id commandID
	rand.Read(id[:])
	born := n.fsm.applied.Load()
	tried := false
	for {
		o, unsure, err := n.applyOnce(ctx, wrapHost(id, born, command))
		tried = tried || unsure
		switch {
		case err != nil:
			return nil, fmt.Errorf("raftnode: apply: %w", err)
		case o.status == outcomeReply:
			return o.reply, nil
		case o.status == outcomeError:
			return nil, &FSMError{string(o.reply)}
		case o.status != outcomeStale || len(o.reply) != 8:
			return nil, fmt.Errorf("raftnode: apply: an answer of a kind that this program does not know (%d)", o.status)
		case tried:
			return nil, fmt.Errorf("raftnode: apply: more than %d other commands came between two attempts: it is not known whether this one was applied", rememberCommands)
		}
		// Nothing was sent before, so nothing was applied: this member is only
		// far behind. Every later index is above that of the refusal.
		born = binary.BigEndian.Uint64(o.reply)
	}
}

// applyOnce returns the outcome of an entry, and whether an attempt before the
// one that had it may have been applied too.
func (n *Node) applyOnce(ctx context.Context, entry []byte) (o outcome, unsure bool, err error) {
	r, unsure, err := n.leader(ctx, kindApply, entry)
	if err != nil {
		return outcome{}, unsure, err
	}
	if r.status == replyFailed || len(r.body) == 0 {
		return outcome{}, unsure, errors.New(string(r.body))
	}
	return outcome{r.body[0], r.body[1:]}, unsure, nil
}

// leader has the leader do what kind and body say, and returns its answer, which
// is replyDone or replyFailed. Attempts go on until ctx is done: what is asked
// for must bear being done twice. The answer may be that to the last of several
// attempts; unsure says that an earlier one may have been done.
func (n *Node) leader(ctx context.Context, kind byte, body []byte) (answer reply, unsure bool, err error) {
	last := errors.New("nobody leads")
	for pause := retryLeast; ; pause = min(2*pause, retryMost) {
		if ctx.Err() != nil {
			return reply{}, unsure, fmt.Errorf("%w; last attempt: %w", context.Cause(ctx), last)
		}
		if n.port.accepting.Err() != nil {
			return reply{}, unsure, fmt.Errorf("node %s: %w", n.c.ID, fs.ErrClosed)
		}
		r, err := n.attempt(ctx, kind, body)
		switch {
		case err != nil:
			var never *dialError
			unsure = unsure || !errors.As(err, &never)
			last = err
		case r.status == replyDone, r.status == replyFailed:
			return r, unsure, nil
		case r.status == replyUnknown:
			unsure, last = true, errors.New(string(r.body))
		default:
			last = errors.New("nobody leads")
		}
		select {
		case <-time.After(pause + mathrand.N(pause)):
		case <-ctx.Done():
		case <-n.port.ctx.Done():
		}
	}
}

// attempt asks whoever leads now, itself or another member.
func (n *Node) attempt(ctx context.Context, kind byte, body []byte) (reply, error) {
	_, id := n.raft.LeaderWithID()
	switch id {
	case "":
		return reply{status: replyNotLeader}, nil
	case raft.ServerID(n.c.ID):
		return n.answer(ctx, kind, body), nil
	}
	to, ok := n.server(id)
	if !ok {
		return reply{status: replyNotLeader}, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTime, fmt.Errorf("no answer of the leader %s within %v", id, attemptTime))
	defer cancel()
	ctx, deposed := context.WithCancelCause(ctx)
	defer deposed(nil)
	// A frozen leader does not answer, but it is not the leader for long.
	look := time.NewTicker(leaderLook)
	defer look.Stop()
	type result struct {
		r   reply
		err error
	}
	done := make(chan result, 1)
	if !n.port.tasks.run(func() {
		r, err := n.caller.call(ctx, to, kind, body)
		done <- result{r, err}
	}) {
		return reply{status: replyNotLeader}, nil
	}
	for {
		select {
		case d := <-done:
			return d.r, d.err
		case <-look.C:
			if _, now := n.raft.LeaderWithID(); now != id {
				deposed(fmt.Errorf("%s does not lead any more", id))
			}
		}
	}
}

// applyHere applies an entry of the host if this member leads.
func (n *Node) applyHere(ctx context.Context, entry []byte) reply {
	if len(entry) < hostHeader || entry[0] != tagHost {
		return failed(fmt.Errorf("raftnode: not a command: %w", fs.ErrInvalid))
	}
	f := n.raft.Apply(entry, enqueueTime)
	if r := n.settle(ctx, f); r.status != replyDone {
		return r
	}
	o, ok := f.Response().(outcome)
	if !ok {
		return failed(fmt.Errorf("raftnode: %v", f.Response()))
	}
	return reply{replyDone, append([]byte{o.status}, o.reply...)}
}

// settle waits for a future of raft, and says what is known of it.
func (n *Node) settle(ctx context.Context, f raft.Future) reply {
	done := make(chan error, 1)
	go func() { done <- f.Error() }() // no task: a raft that ends may never answer
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-n.port.ctx.Done():
		err = fs.ErrClosed
	}
	switch {
	case err == nil:
		return reply{status: replyDone}
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return reply{status: replyNotLeader, body: []byte(err.Error())}
	default:
		return reply{replyUnknown, []byte(err.Error())}
	}
}

// Barrier returns once this member has applied everything that was committed in
// the cluster when it was called: what is read from the host's state machine
// afterwards is no older than that. It works on any member.
func (n *Node) Barrier(ctx context.Context) error { return n.member.Sync(ctx) }
