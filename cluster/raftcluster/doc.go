// Package raftcluster joins a server that has a cluster of hashicorp/raft of
// its own to an upgrade: who is in that cluster, and the record of the upgrade
// as entries of its log.
//
// A Member is the cluster.Membership. It takes the server's own *raft.Raft, and
// starts no second one beside it. A Machine and a Store are the tracking.Store:
// the server embeds the Machine in its state machine, beside its own state, and
// the Store proposes commands for it. A Member can be used without a Store.
//
// # What the host brings
//
//   - Applied, the index that its own state machine has come to. Raft's
//     AppliedIndex counts what was handed over, and is no substitute.
//   - Call, which carries a few bytes to another member and back: to its
//     Member.Answer. It is the host's transport, and the host says who may call
//     there: the members, and nobody else.
//   - for a Store, a kind of log entry, and a place in its snapshots.
//
// Example shows all of it.
//
// # What is kept to
//
// Leadership is handed to a voter that was chosen and asked first, never to
// whom raft would pick, and nil from raft is not taken for success. Sync and
// Load go by what a leader says that has confirmed that it still leads: never
// by a comparison of the local indexes, which are equal after a start, when
// both are 0. A configuration that is not committed shows whom it changes as
// not healthy. Raft's observations only make somebody look sooner.
//
// Reading writes nothing, but for one Barrier in each term and one after
// entries of raft's own (a change of configuration): these are entries of raft,
// which the state machine never sees.
//
// # Old and new programs
//
// Log, snapshots and Calls cross from old programs to new ones and back in the
// middle of an upgrade. Each has a version. A leader that is asked for
// something that it does not know says so, and puts nothing into the log; the
// caller sees tracking.ErrFormat. A command in the log that a Machine does not
// know stops that Machine, and loses nothing: see Machine.Apply. Snapshots are
// JSON whose unknown fields are ignored.
//
// A server that begins to use the package needs no care: the record is silent
// until something is staged, and that is refused while a member runs a program
// that does not answer for it.
//
// # What only the host can see to
//
// A roll meets rules of raft that no Member knows of:
//
//   - ProtocolVersion is 3, and stays so. Below that raft hands no leadership
//     over, and going up from 2 changes the IDs of servers.
//   - A release that goes from raft 1.6 or older to 1.7 or later sets
//     PreVoteDisabled, and the one after it drops that: old members answer a
//     pre-vote as if they refused it, and with one member down nobody is elected.
//   - While members of two releases are mixed, each may get a snapshot of the
//     other, and every entry. So a format of snapshots, a kind of entry,
//     MsgpackUseNewTimeFormat and the kind of log store change in the release
//     after the one that has learned to read them, and an Apply that meets what it
//     does not know neither panics nor goes on without it.
//   - TrailingLogs is more than what is written while one member is away: else it
//     comes back by a snapshot.
//   - BootstrapCluster is called only where HasExistingState says no. The store is
//     opened with a bound on the wait for its lock (BoltOptions.Timeout): without
//     one a program whose predecessor still lives hangs, and says nothing.
//   - Nothing removes dead servers by itself (autopilot does) sooner than
//     upgrade.Config.MemberTimeout: a member that is removed in its turn ends the
//     run as failed.
//
// # Times
//
// After a transfer to a member that has frozen since it was asked, raft takes
// no entries for the timeout of its transport. Two to three seconds are a
// better choice for that than the customary ten. Entries have up to
// tracking.MaxValue bytes, which raft carries without losing its heartbeats;
// what is installed never goes through the log.
package raftcluster
