// Package leaderlast is the root of a library with which a server replaces its
// own running binary: alone, or one member at a time across its cluster, the
// leader last. It holds no code.
//
// Start at package upgrade. The parts that a host may bring itself are contracts
// with a reference implementation and a suite of tests each:
//
//	archive       what gets installed          archive/archivetest
//	cluster       who is in the cluster        cluster/clustertest
//	tracking      how far an upgrade has come  tracking/trackingtest
//	upgrade       how a program is replaced    upgrade/upgradetest
//	capabilities  how its rights go along
//
// The server in examples/server carries all of it, and shows an upgrade from
// beginning to end:
//
//	go run ./examples/server demo
package leaderlast
