package trackingtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// waitClauses is about Wait.
func waitClauses() []clause {
	return []clause{
		{"wait from nowhere", "With \"\" Wait returns at once, with a place to wait from, also in an empty store.", waitFromNowhere},
		{"nothing missed", "No change after the place is missed, whoever made it and however long ago.", nothingMissed},
		{"wakes", "Wait returns once something has changed, through whichever handle.", wakes},
		{"names keys", "Wait names the keys that may have changed, nil for any.", namesKeys},
		{"keeps still", "Wait may return without a change, but not over and over.", keepsStill},
		{"unknown place", "A since that the Store does not know counts as changed.", unknownPlace},
		{"wait cancelled", "When ctx is done Wait returns promptly, and the error wraps its cause.", waitCancelled},
	}
}

// here returns the place to wait from now.
func (p pair) here(ctx context.Context, s tracking.Store) (now tracking.Revision, err error) {
	err = p.bounded(ctx, func(ctx context.Context) error {
		_, now, err = s.Wait(ctx, "")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("Wait from \"\": %w", err)
	}
	return now, nil
}

// until waits from since until each key has been named, or any.
func (p pair) until(ctx context.Context, s tracking.Store, since tracking.Revision, keys ...string) error {
	missing := slices.Clone(keys)
	return p.bounded(ctx, func(ctx context.Context) error {
		for {
			changed, now, err := s.Wait(ctx, since)
			if err != nil {
				return fmt.Errorf("Wait from %q after changes of %q, %q not named yet: %w", since, keys, missing, err)
			}
			missing = slices.DeleteFunc(missing, func(k string) bool { return changed == nil || slices.Contains(changed, k) })
			if len(missing) == 0 {
				return nil
			}
			since = now
		}
	})
}

func waitFromNowhere(ctx context.Context, p pair) error {
	return p.both(func(s, _ tracking.Store) error {
		for _, full := range []bool{false, true} {
			if full {
				if _, old, err := s.Load(ctx, "k"); err != nil {
					return err
				} else if _, err := swap(ctx, s, "k", old, "value"); err != nil {
					return err
				}
			}
			now, err := p.here(ctx, s)
			if err != nil {
				return err
			}
			if now == "" {
				return errors.New("the place to wait from next is \"\", from which no Wait ever waits")
			}
		}
		return nil
	})
}

func nothingMissed(ctx context.Context, p pair) error {
	return p.both(func(s, other tracking.Store) error {
		for _, by := range []tracking.Store{s, other} {
			if _, old, err := by.Load(ctx, "zero"); err != nil {
				return err
			} else if _, err := swap(ctx, by, "zero", old, "value"); err != nil {
				return err
			}
			since, err := p.here(ctx, s)
			if err != nil {
				return err
			}
			for _, key := range []string{"one", "two", "one"} {
				_, old, err := by.Load(ctx, key)
				if err != nil {
					return err
				}
				if _, err := swap(ctx, by, key, old, "value"); err != nil {
					return err
				}
			}
			if err := p.until(ctx, s, since, "one", "two"); err != nil {
				return err
			}
		}
		return nil
	})
}

// woken makes a change through by while two calls wait on s, and returns once
// both are back. Nothing tells from outside that a call has begun to wait, so
// that this gives them p.quiet to do so.
func (p pair) woken(ctx context.Context, s, by tracking.Store) error {
	_, old, err := by.Load(ctx, "k")
	if err != nil {
		return err
	}
	old, err = swap(ctx, by, "k", old, "value")
	if err != nil {
		return err
	}
	since, err := p.here(ctx, s)
	if err != nil {
		return err
	}
	var changed [2]chan error
	for i := range changed {
		changed[i] = make(chan error, 1)
		go func() {
			changed[i] <- p.bounded(ctx, func(ctx context.Context) error {
				_, _, err := s.Wait(ctx, since)
				return err
			})
		}()
	}
	time.Sleep(p.quiet)
	if _, err := swap(ctx, by, "k", old, "value"); err != nil {
		return err
	}
	return errors.Join(<-changed[0], <-changed[1])
}

func wakes(ctx context.Context, p pair) error {
	return p.both(func(s, other tracking.Store) error {
		for _, by := range []tracking.Store{s, other} {
			if err := p.woken(ctx, s, by); err != nil {
				return fmt.Errorf("Wait during a change: %w", err)
			}
		}
		return nil
	})
}

// namesKeys lets a handle hear late of what was there before: what it names
// first need not be the key that has changed last.
func namesKeys(ctx context.Context, p pair) error {
	if _, err := swap(ctx, p.a, "other", "", "value"); err != nil {
		return err
	}
	since, err := p.here(ctx, p.b)
	if err != nil {
		return err
	}
	if _, err := swap(ctx, p.a, "k", "", "value"); err != nil {
		return err
	}
	var named [][]string
	err = p.bounded(ctx, func(ctx context.Context) error {
		for {
			keys, now, err := p.b.Wait(ctx, since)
			if err != nil || keys == nil || slices.Contains(keys, "k") {
				return err
			}
			named, since = append(named, keys), now
		}
	})
	if err != nil && len(named) > 0 { // what does not wake at all is another clause's
		return fmt.Errorf("Wait names %q after a change of \"k\", and then: %w", named, err)
	}
	return nil
}

func keepsStill(ctx context.Context, p pair) error {
	if _, err := swap(ctx, p.a, "k", "", "value"); err != nil {
		return err
	}
	since, err := p.here(ctx, p.b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.quiet)
	defer cancel()
	for n := 0; ctx.Err() == nil; n++ {
		if n > 10 {
			return fmt.Errorf("Wait has returned %d times within %v, though nothing changes", n, p.quiet)
		}
		_, now, err := p.b.Wait(ctx, since)
		if err != nil && ctx.Err() == nil {
			return err
		}
		since = now
	}
	return nil
}

func unknownPlace(ctx context.Context, p pair) error {
	if _, err := swap(ctx, p.a, "k", "", "value"); err != nil {
		return err
	}
	for _, since := range []tracking.Revision{"18446744073709551615", "no place of this store", "-1", "\x00"} {
		err := p.bounded(ctx, func(ctx context.Context) error {
			_, _, err := p.b.Wait(ctx, since)
			return err
		})
		if err != nil {
			return fmt.Errorf("Wait from %q: %w", since, err)
		}
	}
	return nil
}

func waitCancelled(ctx context.Context, p pair) error {
	if _, err := swap(ctx, p.a, "k", "", "value"); err != nil {
		return err
	}
	since, err := p.here(ctx, p.a)
	if err != nil {
		return err
	}
	gone, cancel := context.WithCancelCause(ctx)
	cancel(errCause)
	for _, from := range []tracking.Revision{"", since} {
		if _, _, err := p.a.Wait(gone, from); !errors.Is(err, errCause) {
			return fmt.Errorf("Wait from %q with a context that is done = %v, want its cause", from, err)
		}
	}
	// And one that is done in the middle.
	return p.bounded(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stop := time.AfterFunc(p.quiet, func() { cancel(errCause) })
		defer stop.Stop()
		for {
			// A return without a change is allowed, and may cross the end of ctx: what counts is a call that begins after it.
			done := ctx.Err() != nil
			_, now, err := p.a.Wait(ctx, since)
			switch {
			case err == nil && done:
				return errors.New("Wait = nil with a context that was done before the call, and nothing has changed")
			case err != nil && !errors.Is(err, errCause):
				return fmt.Errorf("Wait with a context that is done in the middle = %w, want its cause", err)
			case err != nil:
				return nil
			}
			since = now
		}
	})
}
