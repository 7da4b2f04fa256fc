package raftnode

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// What a connection is for, by ALPN. A node of another release that speaks
// something else under the same name must take a new one.
const (
	protoRaft = "leaderlast-raft/1"
	protoCall = "leaderlast-call/1"
	protoPeer = "leaderlast-peer/1"
)

// identity makes the two sides' TLS configurations. Chains are verified against
// the members' authority alone, names by member ids: hosts do not count.
type identity struct {
	base  *tls.Config
	roots *x509.CertPool
	// member returns nil if id is a member. It is asked in every handshake.
	member func(id raft.ServerID) error
}

// newIdentity judges what the host configured.
func newIdentity(own raft.ServerID, c *tls.Config, member func(raft.ServerID) error) (*identity, error) {
	i := &identity{base: c.Clone(), member: member}
	i.roots = c.RootCAs
	if i.roots == nil {
		i.roots = c.ClientCAs
	}
	if i.roots == nil {
		return nil, errors.New("Config.TLS has no RootCAs: the authority of the members' certificates is required")
	}
	for _, pair := range c.Certificates {
		leaf := pair.Leaf
		if leaf == nil {
			var err error
			if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
				return nil, fmt.Errorf("Config.TLS: %w", err)
			}
		}
		id, err := CertificateID(leaf)
		if err != nil {
			return nil, err
		}
		if id != own {
			return nil, fmt.Errorf("Config.TLS: the certificate is that of member %q, not of %q", id, own)
		}
	}
	i.base.MinVersion = tls.VersionTLS13
	i.base.MaxVersion = 0
	i.base.GetConfigForClient = nil
	i.base.VerifyPeerCertificate = nil
	// A connection lives for long: what a resumption would save is not worth a
	// handshake that leaves certificates out.
	i.base.SessionTicketsDisabled = true
	i.base.ClientSessionCache = nil
	return i, nil
}

// server is the accepting side's.
func (i *identity) server(protocols []string) *tls.Config {
	c := i.base.Clone()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = i.roots
	c.NextProtos = protocols
	c.VerifyConnection = func(s tls.ConnectionState) error {
		id, err := CertificateID(s.PeerCertificates[0])
		if err != nil {
			return fmt.Errorf("%w: %w", errStranger, err)
		}
		if s.NegotiatedProtocol == "" {
			return fmt.Errorf("%w: who calls itself %q did not say by ALPN what the connection is for", errStranger, id)
		}
		return i.member(id)
	}
	return c
}

// client is the dialling side's, for a connection to one of want.
func (i *identity) client(protocol string, want []raft.ServerID) *tls.Config {
	c := i.base.Clone()
	c.NextProtos = []string{protocol}
	c.InsecureSkipVerify = true // of host names: the chain is verified below
	c.VerifyConnection = func(s tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: i.roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if c.Time != nil {
			opts.CurrentTime = c.Time()
		}
		for _, cert := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		if _, err := s.PeerCertificates[0].Verify(opts); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		id, err := CertificateID(s.PeerCertificates[0])
		if err != nil {
			return fmt.Errorf("%w: %w", errStranger, err)
		}
		if !slices.Contains(want, id) {
			return fmt.Errorf("certificate names %q, which is %w that was dialled: want one of %q", id, errStranger, want)
		}
		if s.NegotiatedProtocol != protocol {
			return fmt.Errorf("member %q does not speak %s", id, protocol)
		}
		return nil
	}
	return c
}
