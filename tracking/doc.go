// Package tracking is how far an upgrade has come: the record that all members
// share, and from which any of them can go on when another one dies.
//
// # The record
//
// The record is a handful of values in a Store:
//
//	plan         frozen at the start: who takes part, under which rules
//	run          status, wish, takeovers, and the turns in flight
//	member/<id>  what that member says of itself, written by it alone
//
// Every step of a turn, whoever makes it, is a Swap of run; nothing in a
// member's report permits anything. If claims were kept with the member and
// the wish with the run, an operator's cancel and a member's claim could both
// succeed. Values are emptied, never deleted, so that a revision from before a
// clean-up can never be taken for a later one.
//
// # Old and new programs
//
// A Store carries bytes. Run, Plan and Report are how they are read and
// written, here and nowhere else: in the middle of an upgrade old and new
// programs share the record, so fields that a release does not know are kept at
// every depth (Extra), and a value in a newer Format is neither acted on nor
// written over (ErrFormat).
//
// # Stores
//
// File is the Store of a single server. Clusters bring their own, kept by the
// consensus that they have anyway; package trackingtest says whether one is
// right.
//
// Profile is the record as the clients of the profile API know it.
package tracking
