package main

import (
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/showtest"
)

// A member of a cluster is wired in under 60 lines. Where the README shows them,
// it shows those that are compiled here.
func TestWiring(t *testing.T) {
	showtest.Wiring(t, "upgrade.go", 59, "../../README.md", "join", "upgrades")
}
