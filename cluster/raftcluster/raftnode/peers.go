package raftnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

type peerKey struct{}

// PeerID returns the member that sent a request to Config.Peers.
func PeerID(r *http.Request) (raft.ServerID, bool) {
	c, ok := r.Context().Value(peerKey{}).(*conn)
	if !ok {
		return "", false
	}
	return c.id, true
}

// servePeers serves Config.Peers to members.
func (n *Node) servePeers() {
	q := newQueue(n.port.listener.Addr())
	n.port.protocols[protoPeer] = func(c *conn) { q.push(c) }
	n.peers = &http.Server{
		Handler:           http.HandlerFunc(n.servePeer),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * idleTime,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          n.log.Named("peers").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		BaseContext:       func(net.Listener) context.Context { return n.port.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c)
		},
	}
	n.port.tasks.run(func() { n.peers.Serve(q) })
}

func (n *Node) servePeer(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(peerKey{}).(*conn)
	// A member may have been removed since it connected.
	if err := n.authorise(c.id); err != nil {
		n.port.refused(c, err)
		http.Error(w, "not a member", http.StatusForbidden)
		return
	}
	if !n.port.tasks.begin() {
		http.Error(w, "closing", http.StatusServiceUnavailable)
		return
	}
	defer n.port.tasks.end()
	state := c.ConnectionState() // older releases of net/http know nothing of a connection that is not their own
	r.TLS = &state
	n.c.Peers.ServeHTTP(w, r)
}

// PeerClient returns a client for the Peers of other members. A request goes to
// the member whose upgrade API (Config.URL) has the host and port of the
// request's URL; over mutual TLS to that member's raft address and nowhere else,
// whether the URL says http or https. It fails for a host that is no member's.
func (n *Node) PeerClient() *http.Client { return n.client }

func (n *Node) newPeerClient() *http.Client {
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		s, err := n.byURL(addr)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		c, err := n.port.dial(ctx, s.Address, []raft.ServerID{s.ID}, protoPeer)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return &http.Client{Transport: &http.Transport{
		DialContext:            dial,
		DialTLSContext:         dial,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1
		MaxIdleConnsPerHost:    idleCalls,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: 64 << 10,
	}}
}

// byURL returns the one member whose upgrade API is at addr.
func (n *Node) byURL(addr string) (raft.Server, error) {
	var found []raft.Server
	for _, s := range n.servers() {
		if u, err := url.Parse(n.c.URL(s)); err == nil && hostPort(u) == addr {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return raft.Server{}, fmt.Errorf("raftnode: %s is %w's upgrade API", addr, errStranger)
	default:
		return raft.Server{}, fmt.Errorf("raftnode: %s is the upgrade API of both %s and %s: Config.URL must tell members apart: %w", addr, found[0].ID, found[1].ID, errors.ErrUnsupported)
	}
}

// hostPort is what net/http dials for u.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
