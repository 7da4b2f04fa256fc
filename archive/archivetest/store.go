package archivetest

import (
	"context"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

// TestStore tests that a Store keeps its contract. newStore returns an empty
// one, and is called once for each clause; it registers what has to be cleaned
// up with t.
//
// What no test can provoke from outside is up to the author of the Store: that
// a blob survives the crash of the machine, that a rotten one is noticed while
// it is read and repaired by Put, and that others can be stored while r of one
// Put is slow.
func TestStore(t *testing.T, newStore func(t *testing.T) archive.Store) {
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			if err := c.check(t.Context(), newStore(t)); err != nil {
				t.Errorf("%s\nthe contract says: %s", err, c.says)
			}
		})
	}
}

// A clause is one sentence of the contract, and a check that a Store breaking
// only this one does not pass. A check relies on as little else as it can.
type clause struct {
	name  string
	says  string
	check func(ctx context.Context, s archive.Store) error
}
