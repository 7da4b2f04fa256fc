//go:build !linux

package durable

import "os"

// exchange replaces b by a: there is no other way here.
func exchange(a, b string) error { return os.Rename(a, b) }
