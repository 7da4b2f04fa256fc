package raftnode_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// A counts is a state machine that notes how often it has seen each command.
type counts struct {
	mu   sync.Mutex
	seen map[string]int
	last uint64
}

func (c *counts) Apply(l *raft.Log) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	if l.Index <= c.last {
		panic("an entry again")
	}
	c.last = l.Index
	command := string(l.Data)
	c.seen[command]++
	switch {
	case strings.HasPrefix(command, "refuse "):
		return fmt.Errorf("will not %s", command)
	case strings.HasPrefix(command, "odd "):
		return 42
	}
	return []byte("did " + command)
}

func (c *counts) count(command string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[command]
}

func (c *counts) Snapshot() (raft.FSMSnapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(c.seen)
	return saved(b.Bytes()), err
}

func (c *counts) Restore(r io.ReadCloser) error {
	defer r.Close()
	var seen map[string]int
	if err := gob.NewDecoder(r).Decode(&seen); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.last = seen, 0
	return nil
}

type saved []byte

func (s saved) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (saved) Release() {}
