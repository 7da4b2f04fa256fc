package raftcluster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/leaderlast/leaderlast/tracking"
)

// A Machine is the record of package tracking as a replicated state machine,
// for a host to embed in its own. The zero value is an empty record, ready for
// use. All methods are safe for concurrent use.
//
// The host gives Apply every command that a Store has proposed, in the order of
// the log, and returns what Apply returns as its own response. Which entries of
// its log they are is for the host to say: see StoreConfig.Wrap. It keeps what
// Snapshot returns in its snapshot, and hands it to Restore.
type Machine struct {
	mu      sync.Mutex // never held while waiting
	counter uint64     // swaps that were ever done
	values  map[string]value
	recent  []done        // the last swaps, oldest first
	newer   error         // why nothing is applied any more
	changed chan struct{} // closed at the next change; nil if nobody waits
}

type value struct {
	rev  uint64
	data []byte // never changed in place
}

// A done is a swap that was done.
type done struct {
	id  commandID
	rev uint64 // the revision that it wrote
}

// maxRecent is how many swaps are remembered, so that one proposed again is
// answered with what it did. It is part of the state: every release must
// forget at the same entry.
const maxRecent = 256

// A outcome is what Apply returns for a command that was understood.
type outcome struct {
	rev uint64
	err error // tracking.ErrConflict, wrapped, or nil
}

// Apply applies the command in the log entry at index. It never panics, and
// what it does depends on nothing but the commands before and this one. It
// returns what Swap at the proposing member waits for; its type is nobody
// else's business.
//
// Bytes that are no command change nothing. Nor does a command of a newer
// release, but that one has changed the record elsewhere: from then on this
// Machine applies nothing any more, fails to Snapshot, and is of no use to a
// leader, whose Store answers tracking.ErrFormat. Nothing is lost: the program
// that knows the command reads it from the log, which raft keeps while there is
// no snapshot. Let a release propose only what the one before it knows, and it
// never happens.
func (m *Machine) Apply(index uint64, data []byte) any {
	c, err := decodeCommand(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newer == nil && errors.Is(err, tracking.ErrFormat) {
		m.newer = fmt.Errorf("log entry %d: %w; the record goes on when this member runs that release", index, err)
		m.wake()
	}
	switch {
	case m.newer != nil:
		return outcome{err: m.newer}
	case err != nil:
		return outcome{err: fmt.Errorf("log entry %d: %w", index, err)}
	}
	return m.swap(c)
}

// swap needs m.mu.
func (m *Machine) swap(c command) outcome {
	if i := slices.IndexFunc(m.recent, func(d done) bool { return d.id == c.id }); i >= 0 {
		return outcome{rev: m.recent[i].rev}
	}
	v, found := m.values[c.key]
	if v.rev != c.old {
		return outcome{err: conflict(v.rev, c.old)}
	}
	m.counter++
	if !found && m.values == nil {
		m.values = map[string]value{}
	}
	m.values[c.key] = value{rev: m.counter, data: bytes.Clone(c.value)}
	m.recent = append(m.recent[max(0, len(m.recent)-maxRecent+1):], done{c.id, m.counter})
	m.wake()
	return outcome{rev: m.counter}
}

func conflict(is, old uint64) error {
	return fmt.Errorf("revision %q, not %q: %w", revision(is), revision(old), tracking.ErrConflict)
}

// wake needs m.mu.
func (m *Machine) wake() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// load returns the value of key. The slice must not be changed.
func (m *Machine) load(key string) (value, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, found := m.values[key]
	return v, found, m.newer
}

// look returns the keys that have changed after since, how many swaps there
// were by now, and a channel that is closed at the next change.
func (m *Machine) look(since uint64) (keys []string, now uint64, changed <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, v := range m.values {
		if v.rev > since {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return keys, m.counter, m.changed, m.newer
}
