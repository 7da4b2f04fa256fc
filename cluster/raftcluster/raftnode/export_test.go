package raftnode

import (
	"context"

	"github.com/hashicorp/raft"
)

// Ping makes one call to another member, with no second attempt.
func (n *Node) Ping(ctx context.Context, to raft.Server) error {
	_, err := n.ask(ctx, to, []byte{1, 1})
	return err
}

// Idle is how many connections are kept for calls.
func (n *Node) Idle() int {
	n.caller.mu.Lock()
	defer n.caller.mu.Unlock()
	idle := 0
	for _, lines := range n.caller.idle {
		idle += len(lines)
	}
	return idle
}
