// Package archivetest tests implementations of archive.Store, and gives tests
// of other packages what they need of archives: a Store in memory, one that
// fails on request, and releases that really were packed, signed and checked.
package archivetest
