// Package durable writes files that are complete or absent whatever dies, and
// names the few file system operations that this rests on.
package durable
