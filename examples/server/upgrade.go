package main

import (
	"net/http"
	"path/filepath"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// upgrades makes the server upgradable: Run of the Orchestrator it returns takes
// the part of this server, and the API for it is mounted on mux.
func (s *server) upgrades(mux *http.ServeMux, started *upgrade.Started, sockets *restart.Sockets) (*upgrade.Orchestrator, error) {
	archives, err := archive.OpenDir(filepath.Join(s.dir, "archives"))
	if err != nil {
		return nil, err
	}
	o, err := upgrade.New(upgrade.Config{
		Started:    started,
		Archives:   archives,
		Cluster:    cluster.Single("kvd", s.url),
		Tracking:   s.record,          // from tracking.NewFile
		Restart:    s.method(sockets), // sockets.Exec(), unless a flag says otherwise
		Drain:      sockets.Drain,
		Stop:       s.stop,
		Ready:      s.ready,
		Readable:   s.readable,
		Committed:  s.committed,
		Companions: []string{"kvctl"},
		Keys:       s.keys, AllowUnsigned: s.allowUnsigned,
		StoreDir:   s.dir,
		MinHealthy: s.minHealthy, MemberTimeout: s.memberTimeout, ConfirmTimeout: s.confirmTimeout,
		StartLimit: s.startLimit, StartTime: s.startTime, Watch: s.watch(),
		Logger: s.log.Named("upgrade"),
	})
	if err != nil {
		return nil, err
	}
	api, err := httpapi.New(httpapi.Config{
		Upgrader:  o,
		Authorize: func(r *http.Request, _ httpapi.Right) error { _, err := s.auth.User(r); return err },
		Principal: func(r *http.Request) string { user, _ := s.auth.User(r); return user },
		Draining:  sockets.Draining,
		Logger:    s.log.Named("api"),
	})
	if err == nil {
		mux.Handle("/api/v3/", api)
	}
	return o, err
}
