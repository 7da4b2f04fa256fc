package trackingtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/leaderlast/leaderlast/tracking"
)

// A Memory is a tracking.Store in memory, for tests. It waits on channels only,
// so that time passes in a testing/synctest bubble while somebody waits; make
// it inside the bubble. Make one with NewMemory.
type Memory struct{ state *memory }

type memory struct {
	mu      sync.Mutex // never held while waiting
	counter uint64
	values  map[string]value
	log     []change      // newest last
	changed chan struct{} // closed at the next change
}

type change struct {
	rev uint64
	key string
}

type value struct {
	rev  uint64
	data []byte
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{state: &memory{values: map[string]value{}, changed: make(chan struct{})}}
}

// Handle returns another handle on the same store, as another member, or the
// same one after a restart, would hold it. Everything is shared; it is there so
// that tests can wrap the handles of members differently, in Faulty for one.
func (m *Memory) Handle() *Memory { return &Memory{state: m.state} }

// Load implements tracking.Store.
func (m *Memory) Load(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
	if ctx.Err() != nil {
		return nil, "", fmt.Errorf("trackingtest: load %s: %w", key, context.Cause(ctx))
	}
	if err := tracking.Check(key, nil); err != nil {
		return nil, "", err
	}
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	v, found := s.values[key]
	if !found {
		return nil, "", nil
	}
	return bytes.Clone(v.data), revision(v.rev), nil
}

// Swap implements tracking.Store.
func (m *Memory) Swap(ctx context.Context, key string, old tracking.Revision, data []byte) (tracking.Revision, error) {
	if ctx.Err() != nil {
		return "", fmt.Errorf("trackingtest: swap %s: %w", key, context.Cause(ctx))
	}
	if err := tracking.Check(key, data); err != nil {
		return "", err
	}
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	var current tracking.Revision
	if v, found := s.values[key]; found {
		current = revision(v.rev)
	}
	if current != old {
		return "", fmt.Errorf("trackingtest: swap %s: revision %q, not %q: %w", key, current, old, tracking.ErrConflict)
	}
	s.counter++
	s.log = append(s.log, change{s.counter, key})
	s.values[key] = value{rev: s.counter, data: append([]byte{}, data...)}
	close(s.changed)
	s.changed = make(chan struct{})
	return revision(s.counter), nil
}

// Wait implements tracking.Store.
func (m *Memory) Wait(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
	s := m.state
	for {
		if ctx.Err() != nil {
			return nil, "", fmt.Errorf("trackingtest: wait: %w", context.Cause(ctx))
		}
		s.mu.Lock()
		now, changed := s.counter, s.changed
		seen, err := strconv.ParseUint(string(since), 10, 64)
		var keys []string
		for _, c := range slices.Backward(s.log) {
			if c.rev <= seen || err != nil {
				break
			}
			if s.values[c.key].rev == c.rev { // else it has been named
				keys = append(keys, c.key)
			}
		}
		s.mu.Unlock()
		if err != nil || seen > now {
			return nil, revision(now), nil
		}
		if seen < now {
			return keys, revision(now), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func revision(n uint64) tracking.Revision { return tracking.Revision(strconv.FormatUint(n, 10)) }
