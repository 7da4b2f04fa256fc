// Package democerts makes certificates of members for demos and tests. Keys are
// made where the authority is and lie about unprotected: a cluster that matters
// gets its certificates from an authority of its own, with the same URI in them
// (raftnode.MemberURI).
package democerts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
)

// lifetime is more than any demo's.
const lifetime = 30 * 24 * time.Hour

// An Authority signs the certificates of one demo's members.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// New makes an authority.
func New() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("democerts: %w", err)
	}
	t := template("leaderlast demo authority")
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("democerts: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("democerts: %w", err)
	}
	return &Authority{key, cert}, nil
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(lifetime),
	}
}

// Member makes a certificate that names the member id, and its key, as PEM.
func (a *Authority) Member(id raft.ServerID) (cert, key []byte, err error) {
	t := template(string(id))
	t.URIs = []*url.URL{raftnode.MemberURI(id)}
	// Clients that reach the member's own API on this machine look for these.
	t.DNSNames, t.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("democerts: member %s: %w", id, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, k.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("democerts: member %s: %w", id, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("democerts: member %s: %w", id, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

// PEM returns the authority's own certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// TLS makes a certificate for the member id and returns it as raftnode.Config.TLS
// takes it.
func (a *Authority) TLS(id raft.ServerID) (*tls.Config, error) {
	cert, key, err := a.Member(id)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("democerts: member %s: %w", id, err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}, nil
}

// Names of the files that Write writes; raftnode.LoadTLS reads them.
const (
	CAFile   = "ca.pem"
	CertFile = "member.pem"
	KeyFile  = "member.key"
)

// Write makes a certificate for the member id and writes it into dir, with its
// key and the authority's certificate.
func (a *Authority) Write(dir string, id raft.ServerID) error {
	cert, key, err := a.Member(id)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{CAFile: a.PEM(), CertFile: cert, KeyFile: key} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return fmt.Errorf("democerts: member %s: %w", id, err)
		}
	}
	return nil
}
