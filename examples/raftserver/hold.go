package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// holdVariable names the socket of a test that wants to stop this program in the
// middle of an upgrade. It is not set otherwise, and nothing here happens then.
const holdVariable = "RAFTKVD_HOLD"

// held returns c with everything that the host gives to an upgrade asking a test
// first, if there is one: hooks, leadership, and each write of the record.
func held(c upgrade.Config) upgrade.Config {
	h := holder{socket: os.Getenv(holdVariable), member: string(c.Cluster.Self())}
	if h.socket == "" {
		return c
	}
	c.Tracking = &heldStore{c.Tracking, h}
	c.Cluster = &heldCluster{c.Cluster, h}
	drain, stop, ready, restart := c.Drain, c.Stop, c.Ready, c.Restart.Restart
	c.Drain = func(ctx context.Context) (func(), error) {
		h.ask(ctx, "drain", h.member)
		return drain(ctx)
	}
	c.Stop = func(ctx context.Context) error {
		h.ask(ctx, "stop", h.member)
		return stop(ctx)
	}
	c.Ready = func(ctx context.Context) error {
		h.ask(ctx, "ready", h.member)
		return ready(ctx)
	}
	c.Restart.Restart = func(ctx context.Context, path string) error {
		h.ask(ctx, "exec", h.member)
		return restart(ctx, path)
	}
	return c
}

// A holder asks a test whether this member may go on.
type holder struct{ socket, member string }

// ask tells what this member is about to do, and about whom, and returns when it
// may: at once if nobody listens.
func (h holder) ask(ctx context.Context, what, whom string) {
	c, err := net.Dial("unix", h.socket)
	if err != nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	fmt.Fprintf(c, "%s %s %s\n", h.member, what, whom)
	c.Read(make([]byte, 1)) // or the end of the test
}

// A heldStore asks before each write of the record that moves a turn, by the
// state that the turn gets.
type heldStore struct {
	tracking.Store
	holder
}

// Swap implements tracking.Store.
func (s *heldStore) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (tracking.Revision, error) {
	if before, rev, err := s.Load(ctx, key); err == nil && rev == old {
		s.moved(ctx, key, before, value)
	}
	return s.Store.Swap(ctx, key, old, value)
}

func (s *heldStore) moved(ctx context.Context, key string, before, after []byte) {
	if key != tracking.KeyRun {
		was, _ := tracking.DecodeReport(before)
		is, _ := tracking.DecodeReport(after)
		if is.Last != nil && (was.Last == nil || was.Last.Run != is.Last.Run) {
			s.ask(ctx, "last-word", s.member)
		}
		return
	}
	was, _ := tracking.DecodeRun(before)
	is, _ := tracking.DecodeRun(after)
	for _, t := range is.Turns {
		if old := was.Turn(t.Member); old == nil || old.State != t.State {
			s.ask(ctx, string(t.State), t.Member)
		}
	}
	for _, t := range was.Turns {
		if is.Turn(t.Member) == nil {
			s.ask(ctx, "end", t.Member)
		}
	}
}

// A heldCluster asks before leadership goes to another member.
type heldCluster struct {
	cluster.Membership
	holder
}

// TransferLeadership implements cluster.Membership.
func (c *heldCluster) TransferLeadership(ctx context.Context, to cluster.MemberID) error {
	if string(to) != c.member {
		c.ask(ctx, "transfer", string(to))
	}
	return c.Membership.TransferLeadership(ctx, to)
}
