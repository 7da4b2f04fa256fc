package trackingtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// TestStore tests what tracking.Store says, but for restarts. It calls newStore
// once per clause for two handles on one empty store, as two members of a
// cluster would hold them; a store with one user gives the same handle twice.
// newStore cleans up with t.Cleanup.
//
// A clause may take a while to find that something does not happen, but a
// correct store passes all of them in less than a second of waiting.
func TestStore(t *testing.T, newStore func(t *testing.T) (a, b tracking.Store)) {
	for _, c := range storeClauses() {
		t.Run(c.name, func(t *testing.T) {
			a, b := newStore(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.check(ctx, pair{a: a, b: b, patience: 10 * time.Second, quiet: 50 * time.Millisecond}); err != nil {
				t.Errorf("%v\nThe contract: %s", err, c.says)
			}
		})
	}
}

// A clause is one promise of the contract. It is a function of stores, not of a
// testing.T, so that it can be tried on stores that break it.
type clause struct {
	name, says string
	check      func(context.Context, pair) error
}

// A pair is what a clause works with.
type pair struct {
	a, b     tracking.Store
	patience time.Duration // for what must happen
	quiet    time.Duration // for what must not
}

// both calls f with each handle and the other one.
func (p pair) both(f func(s, other tracking.Store) error) error {
	if err := f(p.a, p.b); err != nil {
		return fmt.Errorf("first handle: %w", err)
	}
	if err := f(p.b, p.a); err != nil {
		return fmt.Errorf("second handle: %w", err)
	}
	return nil
}

// bounded calls f with a context that is done after p.patience, and gives up on
// f if it is not back soon after that.
func (p pair) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(2 * p.patience):
		return errors.New("the call does not return, though its context is done")
	}
}

// swap is a Swap that must succeed.
func swap(ctx context.Context, s tracking.Store, key string, old tracking.Revision, value string) (tracking.Revision, error) {
	rev, err := s.Swap(ctx, key, old, []byte(value))
	if err != nil {
		return "", fmt.Errorf("Swap(%q, %q, %.20q): %w", key, old, value, err)
	}
	return rev, nil
}

// swaps writes values one after another, and returns their revisions.
func swaps(ctx context.Context, s tracking.Store, key string, old tracking.Revision, values ...string) ([]tracking.Revision, error) {
	var revs []tracking.Revision
	for _, v := range values {
		rev, err := swap(ctx, s, key, old, v)
		if err != nil {
			return nil, err
		}
		revs = append(revs, rev)
		old = rev
	}
	return revs, nil
}

// holds returns nil if key has this value and revision in s.
func holds(ctx context.Context, s tracking.Store, key string, rev tracking.Revision, value string) error {
	v, r, err := s.Load(ctx, key)
	switch {
	case err != nil:
		return fmt.Errorf("Load(%q): %w", key, err)
	case string(v) != value || r != rev:
		return fmt.Errorf("Load(%q) = %d bytes %.20q, revision %q; want %d bytes %.20q, revision %q", key, len(v), v, r, len(value), value, rev)
	}
	return nil
}

// conflicts returns nil if a Swap from old is refused as a conflict.
func conflicts(ctx context.Context, s tracking.Store, key string, old tracking.Revision) error {
	_, err := s.Swap(ctx, key, old, []byte("from a revision that is gone"))
	if !errors.Is(err, tracking.ErrConflict) {
		return fmt.Errorf("Swap(%q, %q) = %v, want tracking.ErrConflict", key, old, err)
	}
	return nil
}

func storeClauses() []clause {
	all := swapClauses()
	all = append(all, emptyClauses()...)
	all = append(all, valueClauses()...)
	return append(all, waitClauses()...)
}
