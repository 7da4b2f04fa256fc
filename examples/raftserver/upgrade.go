package main

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// join makes the server a member of its cluster. The socket for the other members
// lives on when the program is replaced.
func (s *server) join(ctx context.Context, sockets *restart.Sockets, peers http.Handler) error {
	l, err := raftnode.Listen(ctx, sockets.File, "peers", s.listenPeers)
	if err != nil {
		return err
	}
	s.machine = newMachine(s.spoilt.Apply)
	first, trust := s.members.first(s.id)
	s.node, err = raftnode.Open(ctx, raftnode.Config{
		ID: s.id, Dir: filepath.Join(s.dir, "raft"), FSM: s.machine,
		Listener: l, Advertise: s.members.peer(s.id), TLS: s.tls,
		Bootstrap: first, Trust: trust, URL: s.members.apiURL, Peers: peers,
		Raft: s.members.raft(), Logger: s.log,
	})
	return s.mendable(err)
}

// upgrades makes the server upgradable: Run of the Orchestrator it returns takes
// the part of this member, and the API for it is mounted on mux.
func (s *server) upgrades(mux, peers *http.ServeMux, started *upgrade.Started, sockets *restart.Sockets) (*upgrade.Orchestrator, error) {
	archives, err := archive.OpenDir(filepath.Join(s.dir, "archives"))
	if err != nil {
		return nil, err
	}
	o, err := upgrade.New(held(upgrade.Config{
		Started:    started,
		Archives:   archives,
		Cluster:    s.node.Membership(),
		Tracking:   s.node.Tracking(),
		PeerClient: s.node.PeerClient(),
		Restart:    s.method(sockets), // sockets.Exec(), unless a flag says otherwise
		Drain:      sockets.Drain,
		Stop:       s.node.Close,
		Ready:      s.ready,
		Keys:       s.keys, AllowUnsigned: s.allowUnsigned,
		StoreDir:   s.dir,
		MinHealthy: s.minHealthy, MemberTimeout: s.memberTimeout, RestartLease: s.restartLease,
		StartLimit: s.startLimit, StartTime: s.startTime, ConfirmTimeout: s.confirmTimeout, Watch: s.watch(),
		Logger: s.log.Named("upgrade"),
	}))
	if err != nil {
		return nil, err
	}
	c := httpapi.Config{
		Upgrader:  o,
		Authorize: s.allow,
		Principal: func(r *http.Request) string { user, _ := s.auth.User(r); return user },
		Draining:  sockets.Draining,
		Logger:    s.log.Named("api"),
	}
	api, err := httpapi.New(c)
	if err != nil {
		return nil, err
	}
	mux.Handle("/api/v3/", api)
	c.Authorize = membersOnly // on the port that only members reach
	if api, err = httpapi.New(c); err == nil {
		peers.Handle("/", api)
	}
	return o, err
}
