package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/examples/internal/web"
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
	minHealthy    time.Duration

	log   hclog.Logger
	auth  *web.Accounts
	store *store
	http  *http.Server
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
	f.DurationVar(&s.minHealthy, "min-healthy", 0, "time for which a new version must be well (default 10s)")
	f.StringVar(&level, "log-level", level, "trace, debug, info, warn or error")
	return cmd
}

// serve runs the server until ctx is done or it replaces itself.
func (s *server) serve(ctx context.Context) (err error) {
	started, err := upgrade.Boot(identity())
	if err != nil {
		s.log.Warn("serves, but cannot upgrade itself", "error", err)
	}
	defer context.AfterFunc(ctx, started.AskedToEnd)() // by a signal: no start that failed
	if err := s.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.close()) }()
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
		s.log.Info("serving", "url", s.url, "version", version, "pid", os.Getpid())
		return nil
	})
}

// open reads the data and the keys.
func (s *server) open() error {
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
	s.store, err = openStore(filepath.Join(s.dir, "kv.log"))
	return err
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
func (s *server) stop(context.Context) error { return s.store.close() }

// ready says whether this program serves: it answers its own API.
func (s *server) ready(ctx context.Context) error { return s.auth.Answers(ctx, s.url) }
