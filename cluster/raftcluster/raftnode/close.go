package raftnode

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/raft"
)

// Close ends the node: it stops accepting, cuts all connections, and closes raft
// and its store. Leadership is not handed over; call Membership().
// TransferLeadership before. It waits until all that Open has started has ended,
// until ctx is done or for ten seconds; the error then says what has not, and
// the program may be replaced all the same: nothing that was acknowledged is
// lost. The store is left open if raft has not ended by then. Another Close
// waits for the first.
func (n *Node) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, closeTimeout, fmt.Errorf("not within %v: %w", closeTimeout, context.DeadlineExceeded))
	defer cancel()
	if n.closing.CompareAndSwap(false, true) {
		if err := n.abandon(ctx); err != nil {
			n.err = fmt.Errorf("raftnode: close %s: %w", n.c.ID, err)
		}
		close(n.closed)
		return n.err
	}
	select {
	case <-n.closed:
		return n.err
	case <-ctx.Done():
		return fmt.Errorf("raftnode: close %s, which is being closed already: %w", n.c.ID, context.Cause(ctx))
	}
}

// abandon closes whatever Open has opened so far.
func (n *Node) abandon(ctx context.Context) error {
	var errs []error
	bounded := func(what string, f func() error) bool {
		done := make(chan error, 1)
		go func() { done <- f() }()
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", what, err))
			}
			return true
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("%s: has not ended: %w", what, context.Cause(ctx)))
			return false
		}
	}
	if err := n.port.stop(ctx); err != nil {
		errs = append(errs, fmt.Errorf("stop accepting: %w", err))
	}
	// Raft first knows that it ends, then loses its connections: it tries no
	// others, and nothing waits for a member that does not answer.
	var ended func() error
	if n.raft != nil {
		n.finish(ctx)
		ended = n.raft.Shutdown().Error
	}
	n.port.cut()
	n.caller.close()
	if n.peers != nil {
		if err := n.peers.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, fmt.Errorf("peers: %w", err))
		}
		n.client.CloseIdleConnections()
	}
	safe := true
	if ended != nil {
		safe = bounded("raft", ended)
	}
	if n.transport != nil {
		n.transport.CloseStreams()
		n.transport.Close()
	}
	n.port.tasks.close()
	bounded("connections", func() error { return n.port.tasks.wait(ctx) })
	if n.store != nil && safe {
		bounded("store", n.store.Close)
	}
	return errors.Join(errs...)
}

// finish lets what this leader has begun come to its end: raft forgets to answer
// those that wait for an entry on its way to the state machine when it ends.
func (n *Node) finish(ctx context.Context) {
	if n.raft.State() != raft.Leader {
		return
	}
	done := make(chan error, 1)
	go func() { done <- n.raft.Barrier(finishTimeout).Error() }()
	select {
	case <-done:
	case <-time.After(finishTimeout):
	case <-ctx.Done():
	}
}
