package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/showtest"
)

// A member of a cluster is wired in under 60 lines. Where the README shows them,
// it shows those that are compiled here.
func TestWiring(t *testing.T) {
	showtest.Wiring(t, "upgrade.go", 59, "../../README.md", "join", "upgrades")
}

// The README shows parts of the wiring, not whole functions: each of its lines is
// one that is compiled here.
func TestWiringInReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("it is not there to be held against it")
	}
	code, err2 := os.ReadFile("upgrade.go")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	compiled := map[string]bool{}
	for line := range strings.Lines(string(code)) {
		line, _, _ = strings.Cut(line, "//")
		compiled[strings.TrimSpace(line)] = true
	}
	_, block, found := strings.Cut(string(readme), "```go\n\t// before the function above")
	block, _, _ = strings.Cut(block, "```")
	_, block, _ = strings.Cut(block, "\n")
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, "//")
		if line = strings.TrimSpace(line); line != "" && !compiled[line] {
			t.Errorf("upgrade.go has no line %s", line)
		}
	}
	for _, need := range []string{"raftnode.Listen(", "Peers: peers", "s.node.Close", "PeerClient", "membersOnly"} {
		if !found || !strings.Contains(block, need) {
			t.Errorf("the README does not show %s", need)
		}
	}
}
