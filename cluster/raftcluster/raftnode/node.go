package raftnode

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/leaderlast/leaderlast/cluster/raftcluster"
)

// A Node is a member of a raft cluster, with everything that it needs. All
// methods may be called concurrently.
type Node struct {
	c   Config
	log hclog.Logger

	fsm       *fsm
	store     *raftboltdb.BoltStore
	logs      raft.LogStore
	transport *transport
	raft      *raft.Raft
	opened    chan struct{} // closed once raft is set

	port   *port
	caller *caller
	peers  *http.Server // nil without Config.Peers
	client *http.Client

	member *raftcluster.Member
	record *raftcluster.Store

	closing atomic.Bool
	closed  chan struct{}
	err     error // of Close, once closed
}

// Open starts a member: it opens its store, joins the others in raft, and serves
// them. It does not wait for a leader. If another process still holds the store
// after five seconds, the error says so. One that wraps ErrDamaged says that what
// lies in Config.Dir cannot be read, and what to do.
func Open(ctx context.Context, c Config) (*Node, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("raftnode: open: %w", err)
	}
	n := &Node{c: c, log: c.Logger, opened: make(chan struct{}), closed: make(chan struct{})}
	i, err := newIdentity(raft.ServerID(c.ID), c.TLS, n.authorise)
	if err != nil {
		return nil, fmt.Errorf("raftnode: open %s: %w", c.ID, err)
	}
	n.port = newPort(c.Listener, i, n.log)
	n.caller = newCaller(n.port)
	if err := n.open(ctx); err != nil {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return nil, fmt.Errorf("raftnode: open %s: %w", c.ID, errors.Join(err, n.abandon(limit)))
	}
	n.port.start()
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	if err := raft.ValidateConfig(n.c.Raft); err != nil {
		return fmt.Errorf("Config.Raft: %w", err)
	}
	if err := n.readable(func() error { return n.openStore(ctx) }); err != nil {
		return err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(n.c.Dir, snapshotsKept, n.c.Raft.Logger)
	if err != nil {
		return fmt.Errorf("snapshots in %s: %w", n.c.Dir, err)
	}
	s := &stream{queue: newQueue(address(n.c.Advertise)), node: n}
	n.transport = &transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s, MaxPool: 3, Timeout: transportTimeout, Logger: n.c.Raft.Logger,
	})}
	n.fsm = newFSM(n.c.FSM, n.log)
	if err := n.bootstrap(snapshots); err != nil {
		return err
	}
	err = n.readable(func() error {
		n.raft, err = raft.NewRaft(n.c.Raft, n.fsm, n.logs, n.store, snapshots, n.transport)
		if err != nil {
			return n.damaged(fmt.Errorf("start raft: %w", err)) // its configuration is valid
		}
		return nil
	})
	if err != nil {
		return err
	}
	close(n.opened)
	if own, ok := n.server(raft.ServerID(n.c.ID)); ok && string(own.Address) != n.c.Advertise {
		n.log.Warn("the others dial this member elsewhere: correct Advertise, or Join it again", "advertise", n.c.Advertise, "configured", own.Address)
	}
	if err := n.upgrades(); err != nil {
		return err
	}
	n.port.protocols[protoRaft] = s.take
	n.port.protocols[protoCall] = n.answerCalls
	n.client = n.newPeerClient()
	if n.c.Peers != nil {
		n.servePeers()
	}
	return nil
}

// openStore opens the log and raft's own variables.
func (n *Node) openStore(ctx context.Context) error {
	if err := os.MkdirAll(n.c.Dir, 0o700); err != nil {
		return err
	}
	wait := lockTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = max(time.Millisecond, min(wait, time.Until(end)))
	}
	path := filepath.Join(n.c.Dir, "raft.db")
	options := *bbolt.DefaultOptions
	options.Timeout = wait
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &options})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("%s has been locked by another process for %v: the program before still runs, end it first: %w", path, wait, os.ErrDeadlineExceeded)
	}
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
		return n.damaged(fmt.Errorf("%s: %w", path, err))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	n.store = store
	n.logs, err = raft.NewLogCache(512, store)
	return err
}

func (n *Node) bootstrap(snapshots raft.SnapshotStore) error {
	if len(n.c.Bootstrap) == 0 {
		return nil
	}
	existing, err := raft.HasExistingState(n.logs, n.store, snapshots)
	if err != nil || existing {
		return err
	}
	conf := raft.Configuration{Servers: n.c.Bootstrap}
	if err := raft.BootstrapCluster(n.c.Raft, n.logs, n.store, snapshots, n.transport, conf); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// upgrades makes what upgrades need: the membership, and the record.
func (n *Node) upgrades() error {
	var err error
	n.member, err = raftcluster.New(raftcluster.Config{
		Raft:    n.raft,
		Local:   raft.ServerID(n.c.ID),
		Applied: n.fsm.applied.Load,
		Call:    n.ask,
		URL:     n.c.URL,
		Probe:   n.c.Probe,
		Logger:  n.log,
	})
	if err != nil {
		return err
	}
	n.record, err = raftcluster.NewStore(raftcluster.StoreConfig{Member: n.member, Machine: n.fsm.machine, Wrap: wrapRecord})
	return err
}

// ask carries a request to the leader's raftcluster.Member.
func (n *Node) ask(ctx context.Context, to raft.Server, request []byte) ([]byte, error) {
	r, err := n.caller.call(ctx, to, kindAsk, request)
	if err != nil {
		return nil, err
	}
	if r.status != replyDone {
		return nil, fmt.Errorf("raftnode: call %s: %s", to.ID, r.body)
	}
	return r.body, nil
}

// Raft returns the node's raft. What is applied through it directly reaches
// nobody: use Apply.
func (n *Node) Raft() *raft.Raft { return n.raft }

// Membership returns the cluster as this member sees it.
func (n *Node) Membership() *raftcluster.Member { return n.member }

// Tracking returns the record of upgrades, kept in the log beside the host's
// state.
func (n *Node) Tracking() *raftcluster.Store { return n.record }
