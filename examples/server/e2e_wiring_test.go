package main

import (
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/showtest"
)

// The library promises that a server is wired in under 40 lines, and the README
// shows those that are compiled here.
func TestWiring(t *testing.T) {
	if !showtest.Wiring(t, "upgrade.go", 39, "../../README.md", "upgrades") {
		t.Error("no Go block of the README shows func (s *server) upgrades")
	}
}
