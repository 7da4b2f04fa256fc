package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/examples/internal/web"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A server is kvd while it serves.
type server struct {
	dir           string // where all of its data lies
	listen        string
	url           string // of its API
	cert, key     string // PEM files; plain HTTP without
	keyFiles      []string
	keys          []archive.PublicKey
	allowUnsigned bool
	restart       string // one of restarts
	supervised    bool
	noWayBack     bool

	minHealthy, memberTimeout time.Duration
	startLimit                int
	startTime, confirmTimeout time.Duration

	format  int  // of the data that this version writes
	onTrial bool // this version is not accepted yet

	log    hclog.Logger
	spoilt *spoil.Program
	auth   *web.Accounts
	record *tracking.File // of upgrades; locked, and the data with it
	store  *store
	http   *http.Server
}

func serveCommand() *cobra.Command {
	s := &server{}
	level := "info"
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve keys and values, and upgrades of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.log = hclog.New(&hclog.LoggerOptions{Name: "kvd", Level: hclog.LevelFromString(level), Output: cmd.ErrOrStderr()})
			return s.serve(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.dir, "data", "kvd-data", "directory for all data; made if it is not there")
	f.StringVar(&s.listen, "listen", "127.0.0.1:8092", "address to listen on")
	f.StringVar(&s.cert, "tls-cert", "", "PEM file with the certificate; plain HTTP without")
	f.StringVar(&s.key, "tls-key", "", "PEM file with the private key")
	f.StringArrayVar(&s.keyFiles, "upgrade-key", nil, "minisign public key that may sign upgrades (repeatable)")
	f.BoolVar(&s.allowUnsigned, "allow-unsigned", false, "take upgrades that nobody signed; for trials only")
	f.StringVar(&s.restart, "restart", restarts[0], "how a new version is started: "+strings.Join(restarts, ", "))
	f.BoolVar(&s.supervised, "supervised", false, "something starts the server again whenever it ends, and follows to the next process of it")
	f.DurationVar(&s.minHealthy, "min-healthy", 0, "time for which a new version must be well (default 10s)")
	f.DurationVar(&s.memberTimeout, "member-timeout", 0, "time that an upgrade may take in all (default 1h)")
	f.IntVar(&s.startLimit, "start-limit", 0, "starts of a new version that may end early before the old one is put back (default 3)")
	f.DurationVar(&s.startTime, "start-time", 0, "time for which a start must last (default 1m)")
	f.DurationVar(&s.confirmTimeout, "confirm-timeout", 0, "time from a start of a new version until it must have been well, or the old one is put back (default half of --member-timeout)")
	f.BoolVar(&s.noWayBack, "no-way-back", false, "keep no copy of the data for the old version, and do not put it back once their format has changed")
	f.StringVar(&level, "log-level", level, "trace, debug, info, warn or error")
	return cmd
}

// serve runs the server until ctx is done or it replaces itself.
func (s *server) serve(ctx context.Context) (err error) {
	if s.spoilt, err = spoil.New(spoilt, s.log.Error); err != nil { // good, but in tests
		return err
	}
	if err := s.spoilt.Begin(); err != nil {
		return err
	}
	started, err := upgrade.Boot(s.spoilt.Identity(identity()))
	if err != nil {
		s.log.Warn("serves, but cannot upgrade itself", "error", err)
	}
	defer started.AskedToEndBy(ctx)() // by a signal: no start that failed
	if err := s.spoilt.Booted(ctx); err != nil {
		return err
	}
	if err := s.open(ctx, started); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.close()) }()
	if err := s.spoilt.Opened(ctx, s.dataPath()); err != nil {
		return err
	}
	sockets, err := restart.New(restart.Config{})
	if err != nil {
		return err
	}
	l, err := sockets.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	s.url = s.scheme() + "://" + l.Addr().String()

	mux := http.NewServeMux()
	(&api{store: s.store, auth: s.auth, boot: started.BootID, since: started.At}).mount(mux)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 8 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: s.log.StandardLogger(nil)}
	orchestrator, err := s.upgrades(mux, started, sockets)
	if err != nil {
		return err
	}
	if err := sockets.Attach(s.http); err != nil {
		return err
	}
	return web.Serve(ctx, s.http, func() error { return s.accept(l) }, orchestrator.Run, func() error {
		if err := web.Announce(s.dir, s.cert, s.url); err != nil {
			return err
		}
		if err := sockets.Ready(); err != nil {
			return err
		}
		if err := s.spoilt.Serving(); err != nil {
			return err
		}
		s.log.Info("serving", "url", s.url, "version", version, "pid", os.Getpid())
		return nil
	})
}

// open reads the keys, the record and the data.
func (s *server) open(ctx context.Context, started *upgrade.Started) error {
	if err := s.checkRestart(); err != nil {
		return err
	}
	if (s.cert == "") != (s.key == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	keys, err := web.Keys(s.keyFiles)
	if err != nil {
		return err
	}
	s.keys = keys
	if len(s.keys) == 0 && !s.allowUnsigned {
		return errors.New("no --upgrade-key: this server could never be upgraded; make one with \"kvd upgrade keygen\", or say --allow-unsigned")
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.auth, err = web.Open(s.dir); err != nil {
		return err
	}
	if s.record, err = tracking.NewFile(filepath.Join(s.dir, "upgrade.json")); err != nil {
		return err
	}
	return s.openData(ctx, started)
}

func (s *server) scheme() string {
	if s.cert != "" {
		return "https"
	}
	return "http"
}

func (s *server) accept(l net.Listener) error {
	if s.cert == "" {
		return s.http.Serve(l)
	}
	s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	return s.http.ServeTLS(l, s.cert, s.key)
}

// stop is called just before the program is replaced: clients have left by then.
// A copy for this version would be older than what it leaves now.
func (s *server) stop(context.Context) error {
	if err := remove(s.copyPath(version)); err != nil {
		return err
	}
	return s.store.close()
}

// ready says whether this program serves: it answers its own API.
func (s *server) ready(ctx context.Context) error {
	if err := s.spoilt.Ready(); err != nil {
		return err
	}
	return s.auth.Answers(ctx, s.url)
}
