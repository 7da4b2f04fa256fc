package trackingtest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// reborn returns a Memory with a copy of what m holds, after change.
func reborn(m *Memory, change func(s *memory)) *Memory {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	s := &memory{counter: m.state.counter, values: maps.Clone(m.state.values), log: slices.Clone(m.state.log), changed: make(chan struct{})}
	change(s)
	return &Memory{state: s}
}

func TestBrokenRestarts(t *testing.T) {
	broken := []struct {
		clause, does string
		change       func(s *memory)
		wrap         func(m *Memory) tracking.Store
	}{
		{clause: "values survive", does: "keeps text only", change: func(s *memory) {
			for key, v := range s.values {
				s.values[key] = value{rev: v.rev, data: bytes.ToValidUTF8(v.data, []byte("?"))}
			}
		}},
		{clause: "emptied survives", does: "does not write emptied keys", change: func(s *memory) {
			maps.DeleteFunc(s.values, func(_ string, v value) bool { return len(v.data) == 0 })
		}},
		{clause: "revisions go on", does: "counts from 1 again", change: func(s *memory) {
			if v, found := s.values["k"]; found && len(v.data) == 0 {
				return
			}
			s.counter = 0
		}},
		{clause: "emptied goes on", does: "counts on from the values that it finds", change: func(s *memory) {
			s.counter = 0
			for _, v := range s.values {
				if len(v.data) > 0 {
					s.counter = max(s.counter, v.rev)
				}
			}
		}},
		{clause: "nothing missed", does: "takes a place of an earlier life for now", change: func(*memory) {}, wrap: func(m *Memory) tracking.Store {
			return broken{Store: m, wait: func(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
				if since != "" {
					since = revision(m.state.count())
				}
				return m.Wait(ctx, since)
			}}
		}},
	}
	caught := map[string]bool{}
	for _, b := range broken {
		caught[b.clause] = true
		t.Run(b.clause+": "+b.does, func(t *testing.T) {
			for _, c := range restartClauses() {
				var err error
				synctest.Test(t, func(t *testing.T) {
					m := NewMemory()
					restart := func() tracking.Store {
						if m = reborn(m, b.change); b.wrap != nil {
							return b.wrap(m)
						}
						return m
					}
					err = c.check(t.Context(), m, restart, pair{patience: time.Second})
				})
				if failed, want := err != nil, c.name == b.clause; failed != want {
					t.Errorf("clause %q: %v", c.name, err)
				}
			}
		})
	}
	for _, c := range restartClauses() {
		if !caught[c.name] {
			t.Errorf("no broken restart for clause %q", c.name)
		}
	}
}
