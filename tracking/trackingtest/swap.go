package trackingtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leaderlast/leaderlast/tracking"
)

// swapClauses is the compare-and-swap itself.
func swapClauses() []clause {
	return []clause{
		{"absent", "A key that never had a value loads as nil and revision \"\".", absent},
		{"swap then load", "Swap replaces the value; from then on every member loads it, with the revision that Swap returned.", swapThenLoad},
		{"keys apart", "A Swap of one key leaves the others as they are.", keysApart},
		{"conflict named", "If the revision is not old, the error wraps ErrConflict.", conflictNamed},
		{"conflict harmless", "If the revision is not old, Swap changes nothing.", conflictHarmless},
		{"first only once", "\"\" is the revision of a key that never had a value, and of no other.", firstOnce},
		{"one wins", "Calls are linearizable: of several swaps from one revision exactly one succeeds.", oneWins},
		{"same value", "A revision identifies one of the values held: the same bytes again are a new one.", sameValue},
		{"there and back", "No revision is issued twice: A, B and A again is not the first A.", thereAndBack},
		{"swap cancelled", "A call whose ctx was done before it began has no effect, and its error wraps the cause.", swapCancelled},
		{"load cancelled", "Load returns promptly once ctx is done; the error wraps its cause.", loadCancelled},
	}
}

func absent(ctx context.Context, p pair) error {
	return p.both(func(s, _ tracking.Store) error {
		v, rev, err := s.Load(ctx, "never")
		if v != nil || rev != "" || err != nil {
			return fmt.Errorf("Load = %q, %q, %v; want nil, \"\", nil", v, rev, err)
		}
		return nil
	})
}

func swapThenLoad(ctx context.Context, p pair) error {
	return p.both(func(s, other tracking.Store) error {
		for i := range 5 {
			_, old, err := s.Load(ctx, "k")
			if err != nil {
				return err
			}
			value := fmt.Sprint("value ", i)
			rev, err := swap(ctx, s, "k", old, value)
			if err != nil {
				return err
			}
			if err := holds(ctx, s, "k", rev, value); err != nil {
				return err
			}
			if err := holds(ctx, other, "k", rev, value); err != nil {
				return fmt.Errorf("the other handle: %w", err)
			}
		}
		return nil
	})
}

func keysApart(ctx context.Context, p pair) error {
	one, err := swap(ctx, p.a, "one", "", "1")
	if err != nil {
		return err
	}
	two, err := swap(ctx, p.a, "two", "", "2")
	if err != nil {
		return err
	}
	if err := holds(ctx, p.a, "one", one, "1"); err != nil {
		return fmt.Errorf("after a swap of another key: %w", err)
	}
	if _, err := swap(ctx, p.a, "one", one, "1 again"); err != nil {
		return fmt.Errorf("after a swap of another key: %w", err)
	}
	return holds(ctx, p.a, "two", two, "2")
}

func conflictNamed(ctx context.Context, p pair) error {
	revs, err := swaps(ctx, p.a, "k", "", "first", "second")
	if err != nil {
		return err
	}
	return p.both(func(s, _ tracking.Store) error { return conflicts(ctx, s, "k", revs[0]) })
}

func conflictHarmless(ctx context.Context, p pair) error {
	revs, err := swaps(ctx, p.a, "k", "", "first", "second")
	if err != nil {
		return err
	}
	return p.both(func(s, _ tracking.Store) error {
		if rev, err := s.Swap(ctx, "k", revs[0], []byte("third")); err == nil {
			return fmt.Errorf("a swap from a stale revision succeeded as %q", rev)
		}
		return holds(ctx, p.a, "k", revs[1], "second")
	})
}

func firstOnce(ctx context.Context, p pair) error {
	rev, err := swap(ctx, p.a, "k", "", "first")
	if err != nil {
		return err
	}
	return p.both(func(s, _ tracking.Store) error {
		if err := conflicts(ctx, s, "k", ""); err != nil {
			return err
		}
		return holds(ctx, s, "k", rev, "first")
	})
}

func oneWins(ctx context.Context, p pair) error {
	var old tracking.Revision
	for round := range 5 {
		const racers = 8
		revs, errs := make([]tracking.Revision, racers), make([]error, racers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range racers {
			s := p.a
			if i%2 == 1 {
				s = p.b
			}
			wg.Go(func() {
				<-start
				revs[i], errs[i] = s.Swap(ctx, "k", old, fmt.Appendf(nil, "%d of round %d", i, round))
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				return fmt.Errorf("both %d and %d of %d racing swaps from revision %q succeeded", winner, i, racers, old)
			case err == nil:
				winner = i
			case !errors.Is(err, tracking.ErrConflict):
				return err
			}
		}
		if winner < 0 {
			return fmt.Errorf("none of %d racing swaps from revision %q succeeded", racers, old)
		}
		if err := holds(ctx, p.a, "k", revs[winner], fmt.Sprintf("%d of round %d", winner, round)); err != nil {
			return fmt.Errorf("after a race: %w", err)
		}
		old = revs[winner]
	}
	return nil
}

func sameValue(ctx context.Context, p pair) error {
	revs, err := swaps(ctx, p.a, "k", "", "same", "same")
	if err != nil {
		return err
	}
	if revs[0] == revs[1] {
		return fmt.Errorf("the same bytes again have the same revision %q", revs[0])
	}
	return conflicts(ctx, p.b, "k", revs[0])
}

func thereAndBack(ctx context.Context, p pair) error {
	revs, err := swaps(ctx, p.a, "k", "", "A", "B", "A")
	if err != nil {
		return err
	}
	if err := conflicts(ctx, p.b, "k", revs[0]); err != nil {
		return err
	}
	return holds(ctx, p.a, "k", revs[2], "A")
}

// errCause stands for why a context is done.
var errCause = errors.New("the caller has changed its mind")

func swapCancelled(ctx context.Context, p pair) error {
	rev, err := swap(ctx, p.a, "k", "", "before")
	if err != nil {
		return err
	}
	gone, cancel := context.WithCancelCause(ctx)
	cancel(errCause)
	if _, err := p.a.Swap(gone, "k", rev, []byte("after")); !errors.Is(err, errCause) {
		return fmt.Errorf("Swap with a context that is done = %v, want its cause", err)
	}
	return holds(ctx, p.a, "k", rev, "before")
}

func loadCancelled(ctx context.Context, p pair) error {
	gone, cancel := context.WithCancelCause(ctx)
	cancel(errCause)
	if _, _, err := p.a.Load(gone, "k"); !errors.Is(err, errCause) {
		return fmt.Errorf("Load with a context that is done = %v, want its cause", err)
	}
	return nil
}
