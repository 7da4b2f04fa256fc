// Package upgradetest tests implementations of the contracts of package upgrade,
// and simulates the upgrades of a whole cluster over them.
package upgradetest

import (
	"context"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A Target is a Replacer, and what the suite has to know of the place where it
// installs. Programs are named by short texts. The program "one" is installed.
type Target struct {
	Replacer upgrade.Replacer

	// Again returns a Replacer of the same place as a later process makes it:
	// one that shares nothing with the first but what lies there.
	Again func() upgrade.Replacer

	// Installed returns which program starting the server would start now, or an
	// error if it is absent or not whole. It is called while others are.
	Installed func() (string, error)

	// Attributes describes what the installed program has beside its content:
	// mode, owner, capabilities. They should not be the default ones.
	Attributes func() (string, error)

	// Left names what lies there beside the installed and the previous program.
	Left func() ([]string, error)

	// Release returns a checked release of a program. Damaged returns one whose
	// bytes cannot be read to the end any more.
	Release func(program string) archive.Verified
	Damaged func(program string) archive.Verified
}

// TestReplacer tests that a Replacer keeps its contract. newTarget is called
// once for each clause; it registers what has to be cleaned up with t.
//
// What no test can provoke from outside is up to the author: that the crash of
// the machine at any moment leaves the old program or the new one.
func TestReplacer(t *testing.T, newTarget func(t *testing.T) Target) {
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			if err := c.check(t.Context(), newTarget(t)); err != nil {
				t.Errorf("%v\nthe contract says: %s", err, c.says)
			}
		})
	}
}

// A clause is one sentence of the contract, and a check that a Replacer breaking
// only this one does not pass. A check relies on as little else as it can.
type clause struct {
	name  string
	says  string
	check func(ctx context.Context, x Target) error
}
