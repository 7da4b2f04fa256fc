package raftcluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/tracking"
)

// A StoreConfig says how a Store is made. Member and Machine are required.
type StoreConfig struct {
	Member *Member

	// Machine is the one that the host's own state machine embeds.
	Machine *Machine

	// Wrap makes a command an entry of the host's log: its own kind of
	// command, which its state machine unwraps and hands to Machine.Apply. If
	// Wrap is nil a command is an entry as it is.
	Wrap func(command []byte) []byte
}

// A Store is the tracking.Store of one server of a raft cluster. All members
// have one, each on its own Machine; all calls are carried out by the leader,
// through Config.Call, but Wait, which watches the local Machine. Make one with
// NewStore.
//
// Load and Swap wait out elections, until ctx is done. A Swap whose outcome was
// lost with its leader is proposed again under the same ID, so that it is done
// once and reports what it did; only if hundreds of others were done meanwhile
// is it forgotten, and reports tracking.ErrConflict, as it should where its
// value may be gone already.
type Store struct {
	c     StoreConfig
	id    [16]byte // of this Store, in this process
	swaps atomic.Uint64
	boot  string // the ID as part of a place
}

// NewStore returns the Store of c.Member, which has one and no more. The error
// wraps fs.ErrInvalid if a field is missing, fs.ErrExist if there is one.
func NewStore(c StoreConfig) (*Store, error) {
	if c.Member == nil || c.Machine == nil {
		return nil, fmt.Errorf("raftcluster: StoreConfig.Member and Machine are required: %w", fs.ErrInvalid)
	}
	if c.Wrap == nil {
		c.Wrap = func(command []byte) []byte { return command }
	}
	s := &Store{c: c}
	rand.Read(s.id[:]) // never fails
	s.boot = fmt.Sprintf("%x", s.id[:8])
	if !c.Member.store.CompareAndSwap(nil, s) {
		return nil, fmt.Errorf("raftcluster: store of %s: %w", c.Member.c.Local, fs.ErrExist)
	}
	return s, nil
}

// Load implements tracking.Store.
func (s *Store) Load(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
	if ctx.Err() != nil {
		return nil, "", fmt.Errorf("raftcluster: load %s: %w", key, context.Cause(ctx))
	}
	if err := tracking.Check(key, nil); err != nil {
		return nil, "", err
	}
	reply, err := s.c.Member.onLeader(ctx, append([]byte{wireVersion, askLoad}, key...))
	if err != nil {
		return nil, "", fmt.Errorf("raftcluster: load %s: %w", key, err)
	}
	rev, n := binary.Uvarint(reply)
	if n <= 0 {
		return nil, "", fmt.Errorf("raftcluster: load %s: the leader answered %d bytes that are no value", key, len(reply))
	}
	if rev == 0 {
		return nil, "", nil
	}
	return append([]byte{}, reply[n:]...), revision(rev), nil
}

// load is Load on the leader.
func (s *Store) load(ctx context.Context, key string) ([]byte, error) {
	if err := tracking.Check(key, nil); err != nil {
		return nil, fmt.Errorf("%w; %w", err, errNo)
	}
	if _, err := s.c.Member.settle(ctx); err != nil {
		return nil, err
	}
	v, _, err := s.c.Machine.load(key)
	if err != nil {
		return nil, fmt.Errorf("the leader %s: %w", s.c.Member.c.Local, err)
	}
	return append(binary.AppendUvarint(nil, v.rev), v.data...), nil
}

// Swap implements tracking.Store.
func (s *Store) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (tracking.Revision, error) {
	if ctx.Err() != nil {
		return "", fmt.Errorf("raftcluster: swap %s: %w", key, context.Cause(ctx))
	}
	if err := tracking.Check(key, value); err != nil {
		return "", err
	}
	c := command{key: key, value: value}
	if old != "" {
		n, err := strconv.ParseUint(string(old), 10, 64)
		if err != nil || n == 0 || revision(n) != old {
			return "", fmt.Errorf("raftcluster: swap %s: %q is no revision of this store: %w", key, old, tracking.ErrConflict)
		}
		c.old = n
	}
	copy(c.id[:], s.id[:])
	binary.BigEndian.PutUint64(c.id[len(s.id):], s.swaps.Add(1))
	reply, err := s.c.Member.onLeader(ctx, append([]byte{wireVersion, askSwap}, c.encode()...))
	if err != nil {
		return "", fmt.Errorf("raftcluster: swap %s: %w", key, err)
	}
	rev, n := binary.Uvarint(reply)
	if n <= 0 {
		return "", fmt.Errorf("raftcluster: swap %s: the leader answered %d bytes that are no revision", key, len(reply))
	}
	return revision(rev), nil
}

// propose is Swap on the leader. What this release does not know does not get
// into the log.
func (s *Store) propose(ctx context.Context, data []byte) ([]byte, error) {
	m := s.c.Member
	c, err := decodeCommand(data)
	if err == nil {
		err = tracking.Check(c.key, c.value)
	}
	if err != nil {
		return nil, fmt.Errorf("the leader %s: %w; %w", m.c.Local, err, errNo)
	}
	if _, _, err := s.c.Machine.load(c.key); err != nil {
		return nil, fmt.Errorf("the leader %s: %w", m.c.Local, err)
	}
	if !m.leads() {
		return nil, fmt.Errorf("%s does not lead: %w", m.c.Local, errAgain)
	}
	entry := s.c.Wrap(bytes.Clone(data))
	var future raft.ApplyFuture
	if err := m.wait(ctx, func() raft.Future { future = m.c.Raft.Apply(entry, enqueueTime); return future }); err != nil {
		return nil, err
	}
	o, ok := future.Response().(outcome)
	switch {
	case !ok:
		return nil, fmt.Errorf("the state machine of %s returned %T, not what Machine.Apply returned: %w", m.c.Local, future.Response(), errNo)
	case o.err != nil:
		return nil, o.err
	}
	return binary.AppendUvarint(nil, o.rev), nil
}

// Wait implements tracking.Store. It also returns when the local member begins
// or ceases to lead, or learns of another leader, so that a new one looks at
// once. A Machine that has met a command of a newer release cannot tell what
// changes: Wait returns every second then.
func (s *Store) Wait(ctx context.Context, since tracking.Revision) ([]string, tracking.Revision, error) {
	from, known := s.parsePlace(since)
	for begin := time.Now(); ; {
		if ctx.Err() != nil {
			return nil, "", fmt.Errorf("raftcluster: wait: %w", context.Cause(ctx))
		}
		turns, turned := s.c.Member.leadership.watch()
		keys, counter, changed, err := s.c.Machine.look(from.counter)
		now := place{counter, turns}.String(s.boot)
		var again <-chan time.Time
		switch {
		case !known || turns != from.turns || from.counter > counter:
			return nil, now, nil
		case err != nil && time.Since(begin) >= blind:
			return nil, now, nil
		case err != nil:
			again = time.After(blind)
		case len(keys) > 0:
			return keys, now, nil
		}
		select {
		case <-changed:
		case <-turned:
		case <-again:
		case <-ctx.Done():
		}
	}
}

const blind = time.Second

// A place is where to wait from: how many swaps there were, and how often the
// leader had changed as this member saw it since its process began.
type place struct{ counter, turns uint64 }

func (p place) String(boot string) tracking.Revision {
	return tracking.Revision(fmt.Sprintf("%d.%d.%s", p.counter, p.turns, boot))
}

// parsePlace reads a place of this Store. One of an earlier process is none:
// nobody knows what it has missed.
func (s *Store) parsePlace(since tracking.Revision) (place, bool) {
	parts := strings.Split(string(since), ".")
	if len(parts) != 3 || parts[2] != s.boot {
		return place{}, false
	}
	counter, err := strconv.ParseUint(parts[0], 10, 64)
	turns, err2 := strconv.ParseUint(parts[1], 10, 64)
	return place{counter, turns}, errors.Join(err, err2) == nil
}

// revision returns rev as callers see it, "" for none.
func revision(rev uint64) tracking.Revision {
	if rev == 0 {
		return ""
	}
	return tracking.Revision(strconv.FormatUint(rev, 10))
}
