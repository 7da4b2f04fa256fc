package trackingtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// A broken Store does one thing wrong: what is not nil replaces the method.
type broken struct {
	tracking.Store
	load func(ctx context.Context, key string) ([]byte, tracking.Revision, error)
	swap func(ctx context.Context, key string, old tracking.Revision, value []byte) (tracking.Revision, error)
	wait func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error)
}

func (b broken) Load(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
	if b.load != nil {
		return b.load(ctx, key)
	}
	return b.Store.Load(ctx, key)
}

func (b broken) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (tracking.Revision, error) {
	if b.swap != nil {
		return b.swap(ctx, key, old, value)
	}
	return b.Store.Swap(ctx, key, old, value)
}

func (b broken) Wait(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
	if b.wait != nil {
		return b.wait(ctx, since)
	}
	return b.Store.Wait(ctx, since)
}

// force swaps without asking for the revision.
func force(ctx context.Context, s tracking.Store, key string, value []byte) (tracking.Revision, error) {
	_, rev, err := s.Load(ctx, key)
	if err != nil {
		return "", err
	}
	return s.Swap(ctx, key, rev, value)
}

// A brokenStore breaks one clause, so that no other may notice.
type brokenStore struct {
	clause, does string
	make         func(m *Memory) (a, b tracking.Store)
}

// same is two handles that are one.
func same(b broken) (tracking.Store, tracking.Store) { return b, b }

// brokenSwaps has at least one store for each clause but those about Wait.
func brokenSwaps() []brokenStore {
	return []brokenStore{
		{"absent", "gives an empty value in place of nil", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
				v, rev, err := m.Load(ctx, key)
				return append([]byte{}, v...), rev, err
			}})
		}},
		{"absent", "reports fs.ErrNotExist-like errors", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
				v, rev, err := m.Load(ctx, key)
				if rev == "" && key == "never" {
					err = errors.New("no such key")
				}
				return v, rev, err
			}})
		}},
		{"swap then load", "lets the other handle see old values", func(m *Memory) (a, b tracking.Store) {
			var mu sync.Mutex
			var last []byte
			var lastRev tracking.Revision
			return m, broken{Store: m, load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
				v, rev, err := m.Load(ctx, key)
				mu.Lock()
				defer mu.Unlock()
				if key == "k" && strings.HasPrefix(string(v), "value ") && lastRev != rev {
					v, last = last, v
					rev, lastRev = lastRev, rev
				}
				return v, rev, err
			}}
		}},
		{"keys apart", "has one revision for all keys", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				rev, err := m.Swap(ctx, key, old, v)
				if err == nil && key == "two" && string(v) == "2" {
					_, err = force(ctx, m, "one", []byte("1"))
				}
				return rev, err
			}})
		}},
		{"conflict named", "reports a conflict as it likes", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				rev, err := m.Swap(ctx, key, old, v)
				if cur, _, _ := m.Load(ctx, key); errors.Is(err, tracking.ErrConflict) && string(cur) == "second" {
					err = errors.New("conflict")
				}
				return rev, err
			}})
		}},
		{"conflict harmless", "writes and then reports the conflict", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				rev, err := m.Swap(ctx, key, old, v)
				if errors.Is(err, tracking.ErrConflict) && string(v) == "third" {
					_, _ = force(ctx, m, key, v)
				}
				return rev, err
			}})
		}},
		{"first only once", "takes \"\" for any revision", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				if cur, _, _ := m.Load(ctx, key); old == "" && len(cur) != 0 && !strings.Contains(string(v), "round") {
					return force(ctx, m, key, v)
				}
				return m.Swap(ctx, key, old, v)
			}})
		}},
		{"one wins", "looks first and writes later", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				if _, rev, err := m.Load(ctx, key); err != nil || rev != old || len(v) > tracking.MaxValue {
					return m.Swap(ctx, key, old, v)
				}
				time.Sleep(time.Millisecond)
				return force(ctx, m, key, v)
			}})
		}},
		{"same value", "does not write what is there already", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				if cur, rev, err := m.Load(ctx, key); err == nil && string(v) == "same" && bytes.Equal(cur, v) && rev == old {
					return rev, nil
				}
				return m.Swap(ctx, key, old, v)
			}})
		}},
		{"there and back", "knows a value again that it had two swaps ago", func(m *Memory) (a, b tracking.Store) {
			return same(newForgetful(m, func(h []value, v []byte) int {
				if n := len(h); n == 2 && len(v) != 0 && bytes.Equal(h[0].data, v) {
					return 0
				}
				return -1
			}))
		}},
		{"emptying counts on", "begins its revisions again once a key is empty", func(m *Memory) (a, b tracking.Store) {
			return same(newForgetful(m, func(h []value, v []byte) int {
				if n := len(h); n > 2 && len(h[n-1].data) == 0 {
					return 0
				}
				return -1
			}))
		}},
		{"emptied", "loads an emptied key without a revision", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
				v, rev, err := m.Load(ctx, key)
				if rev != "" && len(v) == 0 {
					return nil, "", err
				}
				return v, rev, err
			}})
		}},
		{"emptied is not absent", "takes an emptied key for an absent one", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				if cur, rev, err := m.Load(ctx, key); err == nil && rev != "" && len(cur) == 0 && old == "" {
					return m.Swap(ctx, key, rev, v)
				}
				return m.Swap(ctx, key, old, v)
			}})
		}},
		{"swap cancelled", "swaps though the context is done", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				return m.Swap(context.WithoutCancel(ctx), key, old, v)
			}})
		}},
		{"swap cancelled", "swaps and then reports that the context is done", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				rev, err := m.Swap(context.WithoutCancel(ctx), key, old, v)
				if ctx.Err() != nil {
					return "", context.Cause(ctx)
				}
				return rev, err
			}})
		}},
		{"load cancelled", "loads though the context is done", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
				return m.Load(context.WithoutCancel(ctx), key)
			}})
		}},
		{"any bytes", "keeps text only", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				return m.Swap(ctx, key, old, bytes.ToValidUTF8(v, []byte("?")))
			}})
		}},
		{"largest value", "takes half of the size", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				if len(v) > tracking.MaxValue/2 && len(v) <= tracking.MaxValue {
					return "", errors.New("too large")
				}
				return m.Swap(ctx, key, old, v)
			}})
		}},
		{"too large", "cuts what is too large", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				return m.Swap(ctx, key, old, v[:min(len(v), tracking.MaxValue)])
			}})
		}},
		{"keys accepted", "folds case, as some file systems do", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m,
				load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
					return m.Load(ctx, strings.ToLower(key))
				},
				swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
					return m.Swap(ctx, strings.ToLower(key), old, v)
				}})
		}},
		{"keys refused", "makes a key of anything", func(m *Memory) (a, b tracking.Store) {
			fix := func(key string) string {
				if tracking.Check(key, nil) != nil {
					return fmt.Sprintf("fixed-%x", key[:min(len(key), 90)])
				}
				return key
			}
			return same(broken{Store: m,
				load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) { return m.Load(ctx, fix(key)) },
				swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
					return m.Swap(ctx, fix(key), old, v)
				}})
		}},
		{"loaded slice", "hands out its own slice", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
				_, rev, err := m.Load(ctx, key)
				m.state.mu.Lock()
				defer m.state.mu.Unlock()
				return m.state.values[key].data, rev, err
			}})
		}},
		{"swapped slice", "keeps the slice of its caller", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
				rev, err := m.Swap(ctx, key, old, v)
				m.state.mu.Lock()
				defer m.state.mu.Unlock()
				if w, found := m.state.values[key]; err == nil && found && revision(w.rev) == rev {
					m.state.values[key] = value{rev: w.rev, data: v}
				}
				return rev, err
			}})
		}},
	}
}

// newForgetful returns a Store whose revisions come from here: again, given
// what a key has held, says which of those revisions to issue again, -1 for none.
func newForgetful(m *Memory, again func(held []value, v []byte) int) broken {
	var mu sync.Mutex
	held := map[string][]value{}
	issued := map[string][]uint64{} // revision of each of held
	current := func(key string) (tracking.Revision, []byte) {
		n := len(held[key])
		if n == 0 {
			return "", nil
		}
		return revision(issued[key][n-1]), held[key][n-1].data
	}
	return broken{Store: m,
		load: func(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
			_, _, err := m.Load(ctx, key)
			mu.Lock()
			defer mu.Unlock()
			rev, v := current(key)
			return bytes.Clone(v), rev, err
		},
		swap: func(ctx context.Context, key string, old tracking.Revision, v []byte) (tracking.Revision, error) {
			mu.Lock()
			defer mu.Unlock()
			if rev, _ := current(key); rev != old {
				return m.Swap(ctx, key, "none that ever was", v)
			}
			if _, err := force(ctx, m, key, v); err != nil {
				return "", err
			}
			next := m.state.count()
			if i := again(held[key], v); i >= 0 {
				next = issued[key][i]
			}
			held[key] = append(held[key], value{data: append([]byte{}, v...)})
			issued[key] = append(issued[key], next)
			return revision(next), nil
		}}
}

func (s *memory) count() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counter
}

func TestBrokenStores(t *testing.T) {
	caught := map[string]bool{}
	for _, broken := range append(brokenSwaps(), brokenWaits()...) {
		caught[broken.clause] = true
		t.Run(broken.clause+": "+broken.does, func(t *testing.T) {
			for _, c := range storeClauses() {
				var err error
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
					defer cancel()
					a, b := broken.make(NewMemory())
					err = c.check(ctx, pair{a: a, b: b, patience: time.Second, quiet: 50 * time.Millisecond})
					time.Sleep(2 * time.Hour) // for calls that were given up
				})
				if failed, want := err != nil, c.name == broken.clause; failed != want {
					t.Errorf("clause %q: %v", c.name, err)
				}
			}
		})
	}
	for _, c := range storeClauses() {
		if !caught[c.name] {
			t.Errorf("no broken store for clause %q", c.name)
		}
	}
}
