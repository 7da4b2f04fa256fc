package raftnode_test

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// one is a raft.StreamLayer of one connection.
type one struct {
	net.Listener
	conn net.Conn
}

func (o *one) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	if o.conn == nil {
		return nil, errors.New("the one connection was cut")
	}
	c := o.conn
	o.conn = nil
	return c, nil
}

// A member that is removed says nothing in raft any more, over the connections
// either that it had before.
func TestRemovedFallsSilent(t *testing.T) {
	s := newSite(t, nil, "a", "b", "c", "d")
	leader := s.leader()
	var removed, witness *member
	for _, m := range s.members {
		switch {
		case m == leader:
		case removed == nil:
			removed = m
		default:
			witness = m
		}
	}
	certs, err := s.ca.TLS(removed.id)
	if err != nil {
		t.Fatal(err)
	}
	certs = certs.Clone()
	certs.InsecureSkipVerify, certs.NextProtos = true, []string{"leaderlast-raft/1"}
	c, err := tls.Dial("tcp", witness.listener.Addr().String(), certs)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: &one{l, c}, MaxPool: 1, Timeout: 2 * time.Second})
	defer trans.Close()
	speak := func() error {
		ask := &raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(removed.id)}}
		return trans.RequestVote(witness.id, raft.ServerAddress(witness.listener.Addr().String()), ask, &raft.RequestVoteResponse{})
	}
	if err := speak(); err != nil {
		t.Fatalf("as a member: %v", err)
	}
	if err := leader.Remove(limited(t), removed.id); err != nil {
		t.Fatal(err)
	}
	await(t, "silence of the removed one", func() bool { return speak() != nil })
}
