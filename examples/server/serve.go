package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
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
	auth  *auth
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served, ran := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.accept(l) }()
	go func() { ran <- orchestrator.Run(ctx) }()
	if err := s.announce(); err != nil {
		return err
	}
	if err := sockets.Ready(); err != nil {
		return err
	}
	s.log.Info("serving", "url", s.url, "version", version, "pid", os.Getpid())

	select {
	case <-ctx.Done():
	case err = <-served:
		cancel(err)
		return errors.Join(err, <-ran)
	case err = <-ran:
		return err
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	err = s.http.Shutdown(grace)
	return errors.Join(err, <-ran)
}

// open reads the data and the keys.
func (s *server) open() error {
	if (s.cert == "") != (s.key == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	for _, path := range s.keyFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("--upgrade-key: %w", err)
		}
		key, err := archive.ParsePublicKey(string(text))
		if err != nil {
			return fmt.Errorf("--upgrade-key %s: %w", path, err)
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 && !s.allowUnsigned {
		return errors.New("no --upgrade-key: this server could never be upgraded; make one with \"kvd upgrade keygen\", or say --allow-unsigned")
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	s.dir = dir
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.auth, err = openAuth(s.dir); err != nil {
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
	var err error
	if s.cert != "" {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		err = s.http.ServeTLS(l, s.cert, s.key)
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// announce writes down where the server is, and by what it is known, for its own
// commands.
func (s *server) announce() error {
	if s.cert != "" {
		pem, err := os.ReadFile(s.cert)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.dir, "server.crt"), pem, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(s.dir, "url"), []byte(s.url+"\n"), 0o600)
}

// stop is called just before the program is replaced: clients have left by then.
func (s *server) stop(context.Context) error { return s.store.close() }

// ready says whether this program serves: it answers its own API.
func (s *server) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v3/info", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.auth.token(defaultUser, time.Minute))
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // it talks to itself
	}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", strings.TrimPrefix(req.URL.Path, "/"), res.Status)
	}
	return nil
}
