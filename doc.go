// Package leaderlast is the root of a library with which a server replaces its
// own running binary: alone, or one member at a time across its cluster, the
// leader last. It holds no code; start at package upgrade.
package leaderlast
