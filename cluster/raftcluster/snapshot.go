package raftcluster

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/leaderlast/leaderlast/tracking"
)

// A snapshot is what a Machine writes. Members of the old and of the new
// release send each other theirs, so its format changes only in releases after
// the one that has learned to read it.
type snapshot struct {
	Format  int                    `json:"format"`
	Counter uint64                 `json:"counter"`
	Keys    map[string]snapshotKey `json:"keys"`
	Recent  []snapshotDone         `json:"recent,omitempty"`
}

const snapshotFormat = 1

type snapshotKey struct {
	Rev   uint64 `json:"rev"`
	Value []byte `json:"value"`
}

type snapshotDone struct {
	ID  string `json:"id"`
	Rev uint64 `json:"rev"`
}

// Snapshot returns all that is in m. It fails, with an error that wraps
// tracking.ErrFormat, if m has met a command of a newer release; the host
// should let its own snapshot fail with it. Equal Machines give equal bytes.
func (m *Machine) Snapshot() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newer != nil {
		return nil, fmt.Errorf("raftcluster: snapshot of the record: %w", m.newer)
	}
	s := snapshot{Format: snapshotFormat, Counter: m.counter, Keys: map[string]snapshotKey{}}
	for key, v := range m.values {
		s.Keys[key] = snapshotKey{v.rev, v.data}
	}
	for _, d := range m.recent {
		s.Recent = append(s.Recent, snapshotDone{hex.EncodeToString(d.id[:]), d.rev})
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("raftcluster: snapshot of the record: %w", err)
	}
	return data, nil
}

// Restore replaces all that is in m with a snapshot. No data at all is an empty
// record: that is what a host restores from a snapshot of its own that is older
// than its use of this package. If a newer release wrote data the error wraps
// tracking.ErrFormat, if nobody did, tracking.ErrDamaged, and m does not change.
func (m *Machine) Restore(data []byte) error {
	s := snapshot{Format: snapshotFormat}
	if len(data) > 0 {
		s.Format = 0
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("raftcluster: restore the record: %w: %w", tracking.ErrDamaged, err)
		}
	}
	switch {
	case s.Format > snapshotFormat:
		return fmt.Errorf("raftcluster: restore the record: a snapshot in format %d: %w", s.Format, tracking.ErrFormat)
	case s.Format < 1:
		return fmt.Errorf("raftcluster: restore the record: a snapshot in format %d: %w", s.Format, tracking.ErrDamaged)
	}
	values := map[string]value{}
	for key, k := range s.Keys {
		if k.Rev == 0 || k.Rev > s.Counter {
			return fmt.Errorf("raftcluster: restore the record: revision %d of %s, of %d: %w", k.Rev, key, s.Counter, tracking.ErrDamaged)
		}
		values[key] = value{rev: k.Rev, data: append([]byte{}, k.Value...)}
	}
	var recent []done
	for _, d := range s.Recent {
		id, err := hex.DecodeString(d.ID)
		if err != nil || len(id) != len(commandID{}) {
			return fmt.Errorf("raftcluster: restore the record: a swap called %q: %w", d.ID, tracking.ErrDamaged)
		}
		recent = append(recent, done{commandID(id), d.Rev})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter, m.values, m.recent, m.newer = s.Counter, values, recent, nil
	m.wake()
	return nil
}
