package raftnode

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/raft"
)

// memberScheme and memberPrefix make the name of a member in its certificate.
const (
	memberScheme = "leaderlast"
	memberPrefix = "member:"
)

// MemberURI returns the URI that names the member id in its certificate, as a
// subject alternative name: leaderlast:member:<id>, the id path-escaped.
func MemberURI(id raft.ServerID) *url.URL {
	return &url.URL{Scheme: memberScheme, Opaque: memberPrefix + url.PathEscape(string(id))}
}

// CertificateID returns the member that cert names by exactly one MemberURI.
// Common names and DNS names are not looked at: certificates of web servers and
// clients carry those too, and may well be of the same authority.
func CertificateID(cert *x509.Certificate) (raft.ServerID, error) {
	var id string
	for _, u := range cert.URIs {
		escaped, ok := strings.CutPrefix(u.Opaque, memberPrefix)
		if u.Scheme != memberScheme || !ok {
			continue
		}
		name, err := url.PathUnescape(escaped)
		if err != nil || name == "" || id != "" {
			return "", fmt.Errorf("raftnode: certificate of %q: names no member, or more than one, in %v: %w", cert.Subject, cert.URIs, fs.ErrInvalid)
		}
		id = name
	}
	if id == "" {
		return "", fmt.Errorf("raftnode: certificate of %q: no member's name: want the URI %s:%s<id> as subject alternative name: %w", cert.Subject, memberScheme, memberPrefix, fs.ErrInvalid)
	}
	return raft.ServerID(id), nil
}

// LoadTLS returns the Config.TLS of the member whose certificate and key are in
// these PEM files, in a cluster whose members' authority is in the file ca.
func LoadTLS(ca, cert, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("raftnode: member's certificate: %w", err)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("raftnode: members' authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("raftnode: members' authority: no certificate in %s: %w", ca, fs.ErrInvalid)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}, nil
}

// errStranger is wrapped by the error that refuses a certificate of the members'
// authority: what it names is no member, or not the one that was dialled.
var errStranger = errors.New("not a member")

// authorise returns nil if id is a member of the cluster as this node knows it.
func (n *Node) authorise(id raft.ServerID) error {
	servers := n.servers()
	for _, s := range servers {
		if s.ID == id {
			return nil
		}
	}
	for _, known := range n.c.Trust {
		if known == id {
			return nil
		}
	}
	names := make([]string, len(servers))
	for i, s := range servers {
		names[i] = string(s.ID)
	}
	return fmt.Errorf("certificate names %q, which is %w here; members are %q", id, errStranger, names)
}

// servers are the members: those of raft's latest configuration or, as long as
// there is none, of Config.Bootstrap.
func (n *Node) servers() []raft.Server {
	if f := n.raft.GetConfiguration(); f.Error() == nil {
		if servers := f.Configuration().Servers; len(servers) > 0 {
			return servers
		}
	}
	return n.c.Bootstrap
}

func (n *Node) server(id raft.ServerID) (raft.Server, bool) {
	for _, s := range n.servers() {
		if s.ID == id {
			return s, true
		}
	}
	return raft.Server{}, false
}

// at returns the members that are to be found at this address.
func (n *Node) at(addr raft.ServerAddress) []raft.ServerID {
	var ids []raft.ServerID
	for _, s := range n.servers() {
		if s.Address == addr {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
