package raftnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster"
)

const (
	// transportTimeout bounds an exchange of raft's. It is also how long writes
	// may be refused after a transfer of leadership to a frozen member.
	transportTimeout = 2500 * time.Millisecond
	// lockTimeout is how long a predecessor may take to let go of the store.
	lockTimeout = 5 * time.Second
	// closeTimeout bounds Close if its context does not.
	closeTimeout = 10 * time.Second
	// finishTimeout bounds how long Close waits for commands under way.
	finishTimeout = time.Second
	// snapshotsKept are the latest ones.
	snapshotsKept = 2
)

// A Config is what a Node needs. ID, Dir, Listener and TLS are required.
type Config struct {
	ID  string // of this member, for ever
	Dir string // of this node alone; made if it is not there

	// Listener is a TCP listener, new or inherited from the program before; see
	// Listen. It stays the caller's: Close ends accepting and leaves it open, so
	// that it lives on when the program is replaced, or serves the next node of
	// this process. One that has no SetDeadline method is closed instead.
	Listener net.Listener

	// Advertise is the host:port at which the others dial this member; the
	// listener's own address if "".
	Advertise string

	// TLS holds this member's certificate, which names it (MemberURI), and the
	// authority of all members' certificates as RootCAs. Certificates must be fit
	// for servers and clients alike; GetCertificate and GetClientCertificate may
	// stand in for Certificates. Everything spoken is TLS 1.3, mutual.
	TLS *tls.Config

	// FSM is the host's state machine; nil if the record is all there is. It sees
	// the commands of Apply alone, at most once each; raft.BatchingFSM and
	// raft.ConfigurationStore are not looked for. It answers with a []byte, an
	// error or nil, at most MaxCommand bytes of it.
	FSM raft.FSM

	// Bootstrap is the members of a new cluster, this one among them, the same on
	// all of them. It counts only where there is no state yet. A newcomer to a
	// cluster that runs has none: another member calls Join.
	Bootstrap []raft.Server

	// Trust names members that this node lets in although the configuration that
	// it knows does not name them: those that add this one to the cluster, or
	// have joined while this one was away.
	Trust []raft.ServerID

	// Raft is raft's configuration; raft.DefaultConfig if nil. LocalID is set
	// from ID, Logger from Logger if it is nil.
	Raft *raft.Config

	// URL returns the base URL of a member's upgrade API; https:// and the
	// member's address if nil. PeerClient finds members by its host and port.
	URL func(raft.Server) string

	// Peers is served to members on this port, over HTTP/1.1; nobody else reaches
	// it. PeerID tells who asks.
	Peers http.Handler

	// Probe returns another member with Healthy as it is now. If it is nil, a
	// member is healthy that answers a call within a second.
	Probe func(context.Context, cluster.Member) (cluster.Member, error)

	Logger hclog.Logger // hclog's default, named raftnode, if nil
}

func (c Config) withDefaults() (Config, error) {
	var missing []error
	need := func(ok bool, field string) {
		if !ok {
			missing = append(missing, fmt.Errorf("%s is required: %w", field, fs.ErrInvalid))
		}
	}
	need(c.ID != "", "Config.ID")
	need(c.Dir != "", "Config.Dir")
	need(c.Listener != nil, "Config.Listener")
	need(c.TLS != nil, "Config.TLS")
	if err := errors.Join(missing...); err != nil {
		return c, err
	}
	if c.Advertise == "" {
		c.Advertise = c.Listener.Addr().String()
	}
	host, _, err := net.SplitHostPort(c.Advertise)
	if err != nil {
		return c, fmt.Errorf("Config.Advertise: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return c, fmt.Errorf("Config.Advertise: nobody can dial %s: name an address of this host: %w", c.Advertise, fs.ErrInvalid)
	}
	if len(c.Bootstrap) > 0 && !slices.ContainsFunc(c.Bootstrap, func(s raft.Server) bool { return string(s.ID) == c.ID }) {
		return c, fmt.Errorf("Config.Bootstrap: %s is not among the members of the new cluster: %w", c.ID, fs.ErrInvalid)
	}
	if c.URL == nil {
		c.URL = func(s raft.Server) string { return "https://" + string(s.Address) }
	}
	if c.Logger == nil {
		c.Logger = hclog.Default().Named("raftnode")
	}
	conf := raft.DefaultConfig()
	if c.Raft != nil {
		own := *c.Raft
		conf = &own
	}
	conf.LocalID = raft.ServerID(c.ID)
	if conf.Logger == nil {
		conf.Logger = c.Logger.Named("raft")
	}
	c.Raft = conf
	return c, nil
}
