package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/examples/internal/web"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A server is raftkvd while it serves.
type server struct {
	id            string
	dir           string // where all of its data lies
	listen        string // for clients
	listenPeers   string // for the other members
	memberTexts   []string
	cert, key, ca string // PEM files
	keyFiles      []string
	allowUnsigned bool
	restart       string // one of restarts
	supervised    bool

	minHealthy, memberTimeout, restartLease time.Duration
	startLimit                              int
	startTime, confirmTimeout               time.Duration

	log     hclog.Logger
	spoilt  *spoil.Program
	keys    []archive.PublicKey
	auth    *web.Accounts
	tls     *tls.Config // own certificate, and who signs those of the members
	members members
	url     string // of its API, as the others know it
	machine *machine
	node    *raftnode.Node
	http    *http.Server
}

// serveHelp is what it takes to start a cluster by hand.
const serveHelp = `Be a member: serve keys and values, and upgrades of this program.

Every member needs a directory of its own with a copy of the program, which it
replaces, and its own data directory. All are told of all members, the same on
each:

  raftkvd serve --id m1 --data m1/data --listen 127.0.0.1:9111 --listen-peers 127.0.0.1:9101 \
      --member m1=127.0.0.1:9101,https://127.0.0.1:9111 \
      --member m2=127.0.0.1:9102,https://127.0.0.1:9112 \
      --member m3=127.0.0.1:9103,https://127.0.0.1:9113 \
      --tls-ca ca.pem --tls-cert m1/cert.pem --tls-key m1/key.pem --upgrade-key release.pub

Members know each other by their certificates, all of one authority. That of m1
names it by the URI leaderlast:member:m1, is fit for servers and clients, and has
the name or address under which clients reach it:

  openssl req -x509 -newkey rsa:3072 -nodes -days 30 -subj /CN=raftkvd -keyout ca.key -out ca.pem
  openssl req -newkey rsa:3072 -nodes -subj /CN=m1 -keyout m1/key.pem -out m1/csr.pem
  printf '%s\n' subjectAltName=URI:leaderlast:member:m1,IP:127.0.0.1 extendedKeyUsage=serverAuth,clientAuth > m1/ext
  openssl x509 -req -in m1/csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile m1/ext -out m1/cert.pem

The first start makes a user with a password (users) and the secret of its tokens
(token.key) in the data directory. So that one login is good at every member,
start one member, and copy both files into the data directories of the others
before they are started first.

The commands below "upgrade" look into the data directory raftkvd-data for where
the members are and how to log in; RAFTKVD_DATA names another one.`

func serveCommand() *cobra.Command {
	s := &server{}
	level := "info"
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Be a member: serve keys and values, and upgrades of this program",
		Long:  serveHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.log = hclog.New(&hclog.LoggerOptions{Name: s.id, Level: hclog.LevelFromString(level), Output: cmd.ErrOrStderr()})
			return s.serve(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.id, "id", "", "name of this member, in its certificate too")
	f.StringVar(&s.dir, "data", "raftkvd-data", "directory for all data; made if it is not there")
	f.StringVar(&s.listen, "listen", "127.0.0.1:8092", "address to listen on for clients")
	f.StringVar(&s.listenPeers, "listen-peers", "127.0.0.1:8093", "address to listen on for the other members")
	f.StringArrayVar(&s.memberTexts, "member", nil, "id=host:port,url: where a member listens for members, and where its API is (repeat it for all; ,later after one that joins by itself when it is started)")
	f.StringVar(&s.cert, "tls-cert", "", "PEM file with the certificate of this member")
	f.StringVar(&s.key, "tls-key", "", "PEM file with its private key")
	f.StringVar(&s.ca, "tls-ca", "", "PEM file with the certificate that signs those of the members")
	f.StringArrayVar(&s.keyFiles, "upgrade-key", nil, "minisign public key that may sign upgrades (repeatable)")
	f.BoolVar(&s.allowUnsigned, "allow-unsigned", false, "take upgrades that nobody signed; for trials only")
	f.StringVar(&s.restart, "restart", restarts[0], "how a new version is started: "+strings.Join(restarts, ", "))
	f.BoolVar(&s.supervised, "supervised", false, "something starts the server again whenever it ends")
	f.DurationVar(&s.minHealthy, "min-healthy", 0, "time for which a new version must be well (default 10s)")
	f.DurationVar(&s.memberTimeout, "member-timeout", 0, "time that one member may take for its part of an upgrade (default 1h)")
	f.DurationVar(&s.restartLease, "restart-lease", 0, "time for which the permission to restart holds (default 30s)")
	f.IntVar(&s.startLimit, "start-limit", 0, "starts of a new version that may end early before the old one is put back (default 3)")
	f.DurationVar(&s.startTime, "start-time", 0, "time for which a start must last (default 1m)")
	f.DurationVar(&s.confirmTimeout, "confirm-timeout", 0, "time from a start of a new version until it must have been well, or the old one is put back (default half of --member-timeout)")
	f.StringVar(&level, "log-level", level, "trace, debug, info, warn or error")
	return cmd
}

// serve runs the member until ctx is done or it replaces itself.
func (s *server) serve(ctx context.Context) (err error) {
	if s.spoilt, err = spoil.New(strings.TrimSpace(spoilt), s.log.Error); err != nil { // good, but in tests and the demo
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
	if err := s.open(); err != nil {
		return err
	}
	sockets, err := restart.New(restart.Config{})
	if err != nil {
		return err
	}
	clients, err := sockets.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	defer clients.Close()

	if err := s.spoilt.Opened(ctx, filepath.Join(s.dir, "raft", "raft.db")); err != nil {
		return err
	}
	mux, peers := http.NewServeMux(), http.NewServeMux()
	if err := s.join(ctx, sockets, peers); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	(&api{server: s, boot: started.BootID, since: started.At}).mount(mux)
	s.http = &http.Server{
		Handler: mux, TLSConfig: &tls.Config{Certificates: s.tls.Certificates, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 8 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: s.log.StandardLogger(nil),
	}
	orchestrator, err := s.upgrades(mux, peers, started, sockets)
	if err != nil {
		return err
	}
	if err := sockets.Attach(s.http); err != nil {
		return err
	}
	return web.Serve(ctx, s.http, func() error { return s.http.ServeTLS(clients, "", "") }, orchestrator.Run, func() error {
		if err := s.spoilt.Serving(); err != nil {
			return err
		}
		if err := web.Announce(s.dir, s.ca, s.members.urls(s.id)...); err != nil {
			return err
		}
		if err := sockets.Ready(); err != nil {
			return err
		}
		go s.enter(ctx)
		s.log.Info("serving", "url", s.url, "version", version, "pid", os.Getpid())
		return nil
	})
}

// open reads keys, certificates and who the members are.
func (s *server) open() (err error) {
	if err := s.checkRestart(); err != nil {
		return err
	}
	if s.members, err = parseMembers(s.memberTexts); err != nil {
		return err
	}
	self, ok := s.members.get(s.id)
	if !ok {
		return fmt.Errorf("--id %q is none of the members", s.id)
	}
	s.url = self.url
	if s.keys, err = web.Keys(s.keyFiles); err != nil {
		return err
	}
	if len(s.keys) == 0 && !s.allowUnsigned {
		return fmt.Errorf("no --upgrade-key: this member could never be upgraded; make one with %q, or say --allow-unsigned", product+" upgrade keygen")
	}
	if s.ca == "" || s.cert == "" || s.key == "" {
		return errors.New("members know each other by certificates: --tls-ca, --tls-cert and --tls-key are needed; serve --help says how to make them")
	}
	if s.tls, err = raftnode.LoadTLS(s.ca, s.cert, s.key); err != nil {
		return err
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	s.auth, err = web.Open(s.dir)
	return err
}

// stop is for the end of the process; Stop of an upgrade is the node's own Close.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.node.Close(ctx)
}

// ready says whether this program serves: it answers its own API.
func (s *server) ready(ctx context.Context) error {
	if err := s.spoilt.Ready(); err != nil {
		return err
	}
	return s.auth.Answers(ctx, s.url)
}

// allow lets users do everything but what only members ask of each other.
func (s *server) allow(r *http.Request, right httpapi.Right) error {
	if right == httpapi.RightPeer {
		return errors.New("only members ask this, on a port of their own")
	}
	_, err := s.auth.User(r)
	return err
}

// membersOnly is for the port for members: whoever gets there has shown the
// certificate of one.
func membersOnly(_ *http.Request, right httpapi.Right) error {
	if right != httpapi.RightPeer {
		return errors.New("members ask nothing else of each other")
	}
	return nil
}
