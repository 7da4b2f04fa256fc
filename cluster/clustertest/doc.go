// Package clustertest tests implementations of cluster.Membership, and has a
// cluster in memory for the tests of what uses one.
//
// TestMembership is the definition of the contract. Call it from a test of the
// implementation's own package; it needs nothing but the standard library.
package clustertest
