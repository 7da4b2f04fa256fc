package raftnode_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode/democerts"
)

// knock dials addr as the holder of certs, and returns the error of the first
// read: that is where a client learns that it was refused.
func knock(addr net.Addr, certs *tls.Config, protocols ...string) error {
	certs = certs.Clone()
	certs.InsecureSkipVerify = true
	certs.NextProtos = protocols
	c, err := tls.Dial("tcp", addr.String(), certs)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	return err
}

// letIn says that the connection was still open when knock lost its patience.
func letIn(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestCertificates(t *testing.T) {
	s := newSite(t, nil, "a", "b", "c")
	other, err := democerts.New()
	if err != nil {
		t.Fatal(err)
	}
	must := func(c *tls.Config, err error) *tls.Config {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := s.members[0]
	for _, tc := range []struct {
		name  string
		certs *tls.Config
		proto []string
		log   string // "" if it is let in
	}{
		{"a member", must(s.ca.TLS("b")), []string{"leaderlast-call/1"}, ""},
		{"a member, for raft", must(s.ca.TLS("b")), []string{"leaderlast-raft/1"}, ""},
		{"no member", must(s.ca.TLS("stranger")), []string{"leaderlast-call/1"}, `certificate names "stranger", which is not a member here; members are ["a" "b" "c"]`},
		{"no member, for raft", must(s.ca.TLS("stranger")), []string{"leaderlast-raft/1"}, `certificate names "stranger"`},
		{"another authority", must(other.TLS("b")), []string{"leaderlast-call/1"}, "certificate signed by unknown authority"},
		{"no certificate", &tls.Config{}, []string{"leaderlast-call/1"}, "client didn't provide a certificate"},
		{"no purpose", must(s.ca.TLS("b")), nil, `"b" did not say by ALPN`},
		{"another purpose", must(s.ca.TLS("b")), []string{"h2"}, "client requested unsupported application protocols"},
		{"peers where nothing is served to them", must(s.ca.TLS("b")), []string{"leaderlast-peer/1"}, "client requested unsupported application protocols"},
		{"an older TLS", func() *tls.Config { c := must(s.ca.TLS("b")); c.MaxVersion = tls.VersionTLS12; return c }(), []string{"leaderlast-call/1"}, "unsupported versions"},
	} {
		err := knock(a.listener.Addr(), tc.certs, tc.proto...)
		if letIn(err) != (tc.log == "") {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.log != "" {
			await(t, "word on "+tc.name, func() bool { return strings.Contains(a.log.String(), tc.log) })
		}
	}
}

// Who is dialled must be who answers: an address of the configuration at which
// another member sits is not spoken to.
func TestDialledIsWhoAnswers(t *testing.T) {
	s := prepare(t, nil, "a", "b", "c")
	s.servers[1].Address, s.servers[2].Address = s.servers[2].Address, s.servers[1].Address
	for _, m := range s.members {
		m.start()
	}
	// Who dials whom depends on who stands for election.
	await(t, "word on the wrong one", func() bool {
		var log string
		for _, m := range s.members {
			log += m.log.String()
		}
		return strings.Contains(log, `certificate names "c", which is not a member that was dialled: want one of ["b"]`) ||
			strings.Contains(log, `certificate names "b", which is not a member that was dialled: want one of ["c"]`)
	})
}

// A certificate must name its node; so a mix-up of files is found at once.
func TestOwnCertificate(t *testing.T) {
	s := prepare(t, nil, "a")
	c := s.members[0].config()
	c.TLS, _ = s.ca.TLS("b")
	if _, err := raftnode.Open(limited(t), c); err == nil || !strings.Contains(err.Error(), `that of member "b", not of "a"`) {
		t.Errorf("another's certificate: %v", err)
	}
	c.TLS.RootCAs = nil
	if _, err := raftnode.Open(limited(t), c); err == nil || !strings.Contains(err.Error(), "RootCAs") {
		t.Errorf("no authority: %v", err)
	}
}

func TestLoadTLS(t *testing.T) {
	s := prepare(t, nil, "a b/c")
	dir := t.TempDir()
	if err := s.ca.Write(dir, "a b/c"); err != nil {
		t.Fatal(err)
	}
	certs, err := raftnode.LoadTLS(filepath.Join(dir, democerts.CAFile), filepath.Join(dir, democerts.CertFile), filepath.Join(dir, democerts.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	m := s.members[0]
	m.change = func(c *raftnode.Config) { c.TLS = certs }
	m.start()
	if _, err := m.Apply(limited(t), []byte("x")); err != nil {
		t.Error(err)
	}
	if err := knock(m.listener.Addr(), certs, "leaderlast-call/1"); !letIn(err) {
		t.Errorf("the certificate of %q: %v", m.id, err)
	}
}

// A newcomer joins half-way, catches up from a snapshot, works, and is refused
// once removed.
func TestJoin(t *testing.T) {
	s := newSite(t, func(c *raftnode.Config) { c.Raft.TrailingLogs = 0 }, "a", "b", "c")
	if _, err := s.members[0].Apply(limited(t), []byte("before")); err != nil {
		t.Fatal(err)
	}
	rev, err := s.members[0].Tracking().Swap(limited(t), "run", "", []byte("begun"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.members {
		if err := m.Barrier(limited(t)); err != nil {
			t.Fatal(err)
		}
		if err := m.Raft().Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	d := s.add("d", func(c *raftnode.Config) { c.Bootstrap, c.Trust = nil, []raft.ServerID{"a", "b", "c"} })
	d.start()
	if err := s.members[0].Join(limited(t), "d", raft.ServerAddress(d.listener.Addr().String()), true); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Apply(limited(t), []byte("at d")); err != nil {
		t.Error(err)
	}
	s.same([]string{"before", "at d"})
	if stats := d.Raft().Stats(); stats["last_snapshot_index"] == "0" {
		t.Error("the newcomer got no snapshot")
	}
	if value, got, err := d.Tracking().Load(limited(t), "run"); err != nil || string(value) != "begun" || got != rev {
		t.Errorf("the record at d: %q, %q, %v", value, got, err)
	}
	if err := s.members[0].Remove(limited(t), "d"); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.members[:3] {
		await(t, "refusal at "+string(m.id), func() bool {
			certs, _ := s.ca.TLS("d")
			return !letIn(knock(m.listener.Addr(), certs, "leaderlast-call/1"))
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if reply, err := d.Apply(ctx, []byte("late")); err == nil {
		t.Errorf("a removed member applied something: %q", reply)
	}
}

// Connections that say nothing keep nobody out, and are ended.
func TestSilentConnections(t *testing.T) {
	s := newSite(t, nil, "a", "b")
	a := s.members[0]
	var silent []net.Conn
	for range 200 {
		c, err := net.Dial("tcp", a.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	certs, _ := s.ca.TLS("b")
	if err := knock(a.listener.Addr(), certs, "leaderlast-call/1"); !letIn(err) {
		t.Errorf("a member was kept out: %v", err)
	}
	silent[0].SetReadDeadline(time.Now().Add(3 * time.Second)) // less than a handshake may take
	if _, err := silent[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the oldest of 200 is still open: %v", err)
	}
}
