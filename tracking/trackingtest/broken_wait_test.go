package trackingtest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// brokenWaits has at least one store for each clause about Wait.
func brokenWaits() []brokenStore {
	return []brokenStore{
		{"wait from nowhere", "waits for the first change", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				if since == "" && m.state.count() == 0 {
					since = "0"
				}
				return m.Wait(ctx, since)
			}})
		}},
		{"nothing missed", "waits for the next change, from whatever place", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				if n, err := strconv.ParseUint(string(since), 10, 64); err == nil && n < m.state.count() {
					since = revision(m.state.count())
				}
				return m.Wait(ctx, since)
			}})
		}},
		{"nothing missed", "names the latest key only", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				keys, now, err := m.Wait(ctx, since)
				if slices.Contains(keys, "two") {
					keys = []string{"one"}
				}
				return keys, now, err
			}})
		}},
		{"wakes", "looks once and then sleeps", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				once, cancel := context.WithTimeout(ctx, time.Nanosecond)
				defer cancel()
				keys, now, err := m.Wait(once, since)
				if ctx.Err() != nil {
					return nil, "", context.Cause(ctx)
				}
				if once.Err() == nil {
					return keys, now, err
				}
				<-ctx.Done()
				return nil, "", context.Cause(ctx)
			}})
		}},
		{"names keys", "names a key that has not changed", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				keys, now, err := m.Wait(ctx, since)
				if slices.Equal(keys, []string{"k"}) {
					keys = []string{"other"}
				}
				return keys, now, err
			}})
		}},
		{"keeps still", "polls, and reports each look as a change", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				look, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				keys, now, err := m.Wait(look, since)
				if ctx.Err() != nil {
					return nil, "", context.Cause(ctx)
				}
				if look.Err() == nil {
					return keys, now, err
				}
				return nil, since, nil
			}})
		}},
		{"unknown place", "refuses a place that it does not know", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				if len(since) > 4 {
					return nil, "", errors.New("no such place")
				}
				return m.Wait(ctx, since)
			}})
		}},
		{"unknown place", "waits for a place that never comes", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				if len(since) > 4 {
					<-ctx.Done()
					return nil, "", context.Cause(ctx)
				}
				return m.Wait(ctx, since)
			}})
		}},
		{"wait cancelled", "returns without an error when its context is done", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				keys, now, err := m.Wait(ctx, since)
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return nil, since, nil
				}
				return keys, now, err
			}})
		}},
		{"wait cancelled", "does not notice that its context is done", func(m *Memory) (a, b tracking.Store) {
			return same(broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				if ctx.Err() != nil {
					return nil, "", context.Cause(ctx)
				}
				deaf, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
				defer cancel()
				return m.Wait(deaf, since)
			}})
		}},
	}
}
