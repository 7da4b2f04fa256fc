package raftnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// A memberChange adds a server, or removes it if there is no address.
type memberChange struct {
	ID      raft.ServerID      `json:"id"`
	Address raft.ServerAddress `json:"address,omitempty"`
	Voter   bool               `json:"voter,omitempty"`
}

// Join makes the server id, which others reach at addr, a member of the cluster,
// as a voter or not. It works on any member, waits while nobody leads, and may be
// repeated. The newcomer runs with an empty Config.Bootstrap, and with the
// members in Config.Trust.
func (n *Node) Join(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, voter bool) error {
	if id == "" || addr == "" {
		return fmt.Errorf("raftnode: join %q at %q: both are required", id, addr)
	}
	return n.change(ctx, memberChange{id, addr, voter})
}

// Remove ends the membership of id, on the terms of Join.
func (n *Node) Remove(ctx context.Context, id raft.ServerID) error {
	return n.change(ctx, memberChange{ID: id})
}

func (n *Node) change(ctx context.Context, c memberChange) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("raftnode: change of members: %w", err)
	}
	r, _, err := n.leader(ctx, kindMembers, body)
	if err == nil && r.status == replyFailed {
		err = errors.New(string(r.body))
	}
	if err != nil {
		return fmt.Errorf("raftnode: change the membership of %s: %w", c.ID, err)
	}
	return nil
}

// changeHere makes the change if this member leads.
func (n *Node) changeHere(ctx context.Context, c memberChange) reply {
	var f raft.IndexFuture
	switch {
	case c.Address == "":
		f = n.raft.RemoveServer(c.ID, 0, enqueueTime)
	case c.Voter:
		f = n.raft.AddVoter(c.ID, c.Address, 0, enqueueTime)
	default:
		f = n.raft.AddNonvoter(c.ID, c.Address, 0, enqueueTime)
	}
	r := n.settle(ctx, f)
	if r.status == replyUnknown && ctx.Err() == nil && n.raft.State() == raft.Leader {
		r.status = replyFailed // still the leader: it will not have it
	}
	return r
}
