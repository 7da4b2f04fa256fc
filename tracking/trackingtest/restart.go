package trackingtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// TestRestart tests what tracking.Store says about restarts. It calls newStore
// once per clause for an empty store and a function that ends it and returns
// what the same member holds after its restart: for a file, close and open
// again; for a cluster, a restart of all of it. The store given first is not
// used any more once restart has been called; restart may be called repeatedly.
func TestRestart(t *testing.T, newStore func(t *testing.T) (s tracking.Store, restart func() tracking.Store)) {
	for _, c := range restartClauses() {
		t.Run(c.name, func(t *testing.T) {
			s, restart := newStore(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.check(ctx, s, restart, pair{patience: 10 * time.Second}); err != nil {
				t.Errorf("%v\nThe contract: %s", err, c.says)
			}
		})
	}
}

type restartClause struct {
	name, says string
	check      func(ctx context.Context, s tracking.Store, restart func() tracking.Store, p pair) error
}

func restartClauses() []restartClause {
	return []restartClause{
		{"values survive", "When Swap returns nil the value is durable, and so is its revision.", valuesSurvive},
		{"emptied survives", "An emptied key loads as an empty value, with a revision, after a restart too.", emptiedSurvives},
		{"revisions go on", "No revision is ever issued twice for a key, across restarts.", revisionsGoOn},
		{"emptied goes on", "No revision is ever issued twice for a key, across emptying and a restart.", emptiedGoesOn},
		{"nothing missed", "No change after a place is missed, if a restart comes between.", restartMissesNothing},
	}
}

func valuesSurvive(ctx context.Context, s tracking.Store, restart func() tracking.Store, _ pair) error {
	values := map[string]string{"plan": "text", "run": "<&>\u2028 \x00", "member/m1": "\xff\xfe"}
	revs := map[string]tracking.Revision{}
	for key, v := range values {
		var err error
		if revs[key], err = swap(ctx, s, key, "", v); err != nil {
			return err
		}
	}
	for range 2 {
		s = restart()
		for key, v := range values {
			if err := holds(ctx, s, key, revs[key], v); err != nil {
				return fmt.Errorf("after a restart: %w", err)
			}
		}
	}
	return nil
}

func emptiedSurvives(ctx context.Context, s tracking.Store, restart func() tracking.Store, _ pair) error {
	revs, err := swaps(ctx, s, "k", "", "full", "")
	if err != nil {
		return err
	}
	s = restart()
	if err := holds(ctx, s, "k", revs[1], ""); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	return conflicts(ctx, s, "k", "")
}

// goesOn swaps values into "k", restarts, swaps more, and wants all revisions
// to differ and the earlier ones to be refused.
func goesOn(ctx context.Context, s tracking.Store, restart func() tracking.Store, before, after []string) error {
	revs, err := swaps(ctx, s, "k", "", before...)
	if err != nil {
		return err
	}
	s = restart()
	_, rev, err := s.Load(ctx, "k")
	if err != nil {
		return err
	}
	more, err := swaps(ctx, s, "k", rev, after...)
	if err != nil {
		return err
	}
	for _, rev := range more {
		if slices.Contains(revs, rev) {
			return fmt.Errorf("revision %q was issued before the restart and again after it", rev)
		}
	}
	for _, rev := range revs {
		if err := conflicts(ctx, s, "k", rev); err != nil {
			return fmt.Errorf("a revision from before the restart: %w", err)
		}
	}
	return nil
}

func revisionsGoOn(ctx context.Context, s tracking.Store, restart func() tracking.Store, _ pair) error {
	return goesOn(ctx, s, restart, []string{"A", "B", "C"}, []string{"D", "E", "F", "G"})
}

func emptiedGoesOn(ctx context.Context, s tracking.Store, restart func() tracking.Store, _ pair) error {
	return goesOn(ctx, s, restart, []string{"A", "B", ""}, []string{"A", "B", "", "A"})
}

func restartMissesNothing(ctx context.Context, s tracking.Store, restart func() tracking.Store, p pair) error {
	since, err := p.here(ctx, s)
	if err != nil {
		return err
	}
	if _, err := swap(ctx, s, "before", "", "value"); err != nil {
		return err
	}
	s = restart()
	if _, err := swap(ctx, s, "after", "", "value"); err != nil {
		return err
	}
	if err := p.until(ctx, s, since, "before", "after"); err != nil {
		return err
	}
	// And from a place of the new life into the next.
	if since, err = p.here(ctx, s); err != nil {
		return err
	}
	_, old, err := s.Load(ctx, "after")
	if err != nil {
		return err
	}
	if old == "" {
		return errors.New("a value is gone")
	}
	if _, err := swap(ctx, s, "after", old, "more"); err != nil {
		return err
	}
	return p.until(ctx, restart(), since, "after")
}
