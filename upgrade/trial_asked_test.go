package upgrade

import (
	"context"
	"testing"
	"testing/synctest"
)

// A server that ends by its context has said so when the deferred function has
// returned, and only then.
func TestAskedToEndBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		start := func(ctx context.Context) (s *Started, stop func()) {
			s, err := m.start()
			if err != nil {
				t.Fatal(err)
			}
			return s, s.AskedToEndBy(ctx)
		}
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			s, stop := start(ctx)
			cancel()
			stop()
			if n := s.ledger.now().Starts; n != 0 {
				t.Fatalf("%d starts count that were asked to end", n)
			}
			stop()
		}
		s, stop := start(doneJustNow{t.Context()})
		if stop(); s.ledger.now().Starts != 0 {
			t.Error("a start counts whose context was done a moment ago")
		}
		ctx, cancel := context.WithCancel(t.Context())
		s, stop = start(ctx)
		defer s.trial.end()
		stop() // by an error
		cancel()
		synctest.Wait()
		if s.ledger.now().Starts != 1 {
			t.Error("a start does not count that ended by an error")
		}
	})
}

// doneJustNow is done, and has told nobody so far.
type doneJustNow struct{ context.Context }

func (doneJustNow) Err() error                                  { return context.Canceled }
func (doneJustNow) AfterFunc(func()) (stop func() (first bool)) { return func() bool { return true } }
