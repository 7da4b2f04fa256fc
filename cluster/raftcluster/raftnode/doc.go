// Package raftnode is a member of a raft cluster for servers that have none:
// store, transport and state machine, with the record of upgrades in the same
// log. A server that runs hashicorp/raft already takes package raftcluster
// instead.
//
// A Node has one TCP port. Everything on it is TLS 1.3 with certificates on both
// sides; what a connection is for is agreed by ALPN: raft's own traffic, calls
// between members (commands for the leader, and what package raftcluster asks),
// and HTTP between members' orchestrators. A certificate names the member whose
// it is (MemberURI), and must name one of raft's latest configuration, or of
// Config.Trust: to have one of the same authority is not enough. That is looked
// at in each handshake, at each call and each request over HTTP, and at what comes
// over a connection of raft itself: a member that is removed is cut off, a leader
// that removes itself a few seconds later, so that its followers hear of it.
//
// The host brings a raft.FSM. Its commands go through Apply, on any member, and
// are applied once each. What upgrades need comes with the node: Membership,
// Tracking and PeerClient fit into upgrade.Config as they are, Close into its
// Stop.
package raftnode
