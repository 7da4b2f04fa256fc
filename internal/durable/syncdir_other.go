//go:build !unix

package durable

// SyncDir does nothing: this operating system writes out a rename together with
// the file, and has no way to ask for a directory.
func SyncDir(dir string) error { return nil }
