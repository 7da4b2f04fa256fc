//go:build !linux

package tracking_test

import "testing"

// mountSmall returns a directory with little room.
func mountSmall(t *testing.T) string {
	t.Skip("needs Linux: a tmpfs of limited size")
	return ""
}
