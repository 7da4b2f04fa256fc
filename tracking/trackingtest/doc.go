// Package trackingtest tests implementations of tracking.Store, and has a Store
// in memory and a faulty one for the tests of what uses a Store.
//
// TestStore and TestRestart are the definition of the contract: an
// implementation that passes both can carry upgrades. Call them from a test of
// the implementation's own package; they need nothing but the standard library.
package trackingtest
