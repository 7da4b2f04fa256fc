package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// A machine is the key-value store as a state machine: the same entries in the
// same order give the same keys and values on every member.
type machine struct {
	mu   sync.RWMutex
	data map[string]string

	before func() // each change
}

func newMachine(before func()) *machine {
	return &machine{data: map[string]string{}, before: before}
}

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) any {
	m.before()
	c, err := parseChange(l.Data)
	if err != nil {
		return err // on every member alike
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch c.op {
	case opPut:
		m.data[c.key] = c.value
	case opDelete:
		delete(m.data, c.key)
	}
	return nil
}

func (m *machine) get(key string) (string, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.data[key]
	return v, ok
}

// list returns the keys that begin with prefix, and their values.
func (m *machine) list(prefix string) map[string]string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := map[string]string{}
	for k, v := range m.data {
		if strings.HasPrefix(k, prefix) {
			found[k] = v
		}
	}
	return found
}

func (m *machine) len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.data)
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &snapshot{maps.Clone(m.data)}, nil
}

// A snapshot is a machine at one moment: the number of keys, and keys and values
// by turns, each with its length.
type snapshot struct {
	data map[string]string
}

// snapshotFormat is the first byte of a snapshot.
const snapshotFormat = 1

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	w := bufio.NewWriter(sink)
	w.WriteByte(snapshotFormat) // a bufio.Writer keeps its first error
	w.Write(binary.AppendUvarint(nil, uint64(len(s.data))))
	for _, key := range slices.Sorted(maps.Keys(s.data)) {
		w.Write(appendText(nil, key))
		w.Write(appendText(nil, s.data[key]))
	}
	if err := w.Flush(); err != nil {
		return errors.Join(fmt.Errorf("write the snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}

// Restore implements raft.FSM.
func (m *machine) Restore(from io.ReadCloser) error {
	defer from.Close()
	data, err := readSnapshot(bufio.NewReader(from))
	if err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = data
	return nil
}

func readSnapshot(r *bufio.Reader) (map[string]string, error) {
	format, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if format != snapshotFormat {
		return nil, fmt.Errorf("it has format %d, this program reads %d", format, snapshotFormat)
	}
	count, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for range count {
		key, err := readText(r)
		if err != nil {
			return nil, err
		}
		if data[key], err = readText(r); err != nil {
			return nil, err
		}
	}
	return data, nil
}
