package trackingtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

func TestMemory(t *testing.T) {
	trackingtest.TestStore(t, func(t *testing.T) (a, b tracking.Store) {
		m := trackingtest.NewMemory()
		return m, m.Handle()
	})
}

func TestMemoryRestart(t *testing.T) {
	trackingtest.TestRestart(t, func(t *testing.T) (tracking.Store, func() tracking.Store) {
		m := trackingtest.NewMemory()
		return m, func() tracking.Store { return m.Handle() }
	})
}

// Time passes in a bubble while somebody waits.
func TestMemoryInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := trackingtest.NewMemory()
		_, since, err := m.Wait(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		go func() {
			time.Sleep(time.Hour)
			if _, err := m.Handle().Swap(t.Context(), "run", "", []byte("v")); err != nil {
				t.Error(err)
			}
		}()
		keys, _, err := m.Wait(t.Context(), since)
		if err != nil || fmt.Sprint(keys) != "[run]" || time.Since(begin) != time.Hour {
			t.Errorf("Wait = %q, %v after %v", keys, err, time.Since(begin))
		}
	})
}

func TestFaulty(t *testing.T) {
	lost := errors.New("the reply is lost")
	for _, tc := range []struct {
		name  string
		apply bool
		err   error
		swaps bool
		want  error
	}{
		{"healthy", true, nil, true, nil},
		{"reply lost", true, lost, true, lost},
		{"request lost", false, lost, false, lost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := t.Context()
			m := trackingtest.NewMemory()
			var asked []string
			s := trackingtest.Faulty(m, func(op, key string) (bool, error) {
				asked = append(asked, op+" "+key)
				return tc.apply, tc.err
			})
			if rev, err := s.Swap(ctx, "run", "", []byte("v")); !errors.Is(err, tc.want) || (rev != "") != (tc.want == nil) {
				t.Errorf("Swap = %q, %v; want %v", rev, err, tc.want)
			}
			if v, _, err := m.Load(ctx, "run"); (v != nil) != tc.swaps || err != nil {
				t.Errorf("underneath: %q, %v", v, err)
			}
			if v, rev, err := s.Load(ctx, "run"); !errors.Is(err, tc.want) || (v != nil) != (tc.want == nil) || (rev != "") != (tc.want == nil) {
				t.Errorf("Load = %q, %q, %v; want %v", v, rev, err, tc.want)
			}
			if _, now, err := s.Wait(ctx, ""); !errors.Is(err, tc.want) || (now != "") != (tc.want == nil) {
				t.Errorf("Wait = %q, %v; want %v", now, err, tc.want)
			}
			if got := fmt.Sprintf("%q", asked); got != `["swap run" "load run" "wait "]` {
				t.Error(got)
			}
		})
	}
	s := trackingtest.Faulty(trackingtest.NewMemory(), func(string, string) (bool, error) { return false, nil })
	if _, err := s.Swap(t.Context(), "run", "", nil); err == nil {
		t.Error("a call that was not made succeeded")
	}
	// The error of the store itself comes through.
	s = trackingtest.Faulty(trackingtest.NewMemory(), func(string, string) (bool, error) { return true, nil })
	if _, err := s.Swap(t.Context(), "run", "7", nil); !errors.Is(err, tracking.ErrConflict) {
		t.Errorf("Swap = %v, want tracking.ErrConflict", err)
	}
}

// A member's test of its own store: the second reply to a swap is lost on the
// network, and the caller must look before it tries again.
func ExampleFaulty() {
	n := 0
	s := trackingtest.Faulty(trackingtest.NewMemory(), func(op, key string) (bool, error) {
		if op == trackingtest.OpSwap {
			if n++; n == 2 {
				return true, errors.New("connection reset")
			}
		}
		return true, nil
	})
	ctx := context.Background()
	rev, err := s.Swap(ctx, "run", "", []byte("staged"))
	fmt.Println(rev, err)
	_, err = s.Swap(ctx, "run", rev, []byte("working"))
	fmt.Println(err)
	v, _, _ := s.Load(ctx, "run")
	fmt.Printf("%s\n", v)
	// Output:
	// 1 <nil>
	// connection reset
	// working
}
