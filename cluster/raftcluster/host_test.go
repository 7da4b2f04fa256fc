package raftcluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster"
)

// A host is a server with a raft of its own: its state machine counts the
// entries that it is given, and embeds the Machine.
type host struct {
	*raftcluster.Machine
	applied atomic.Uint64
	entries atomic.Uint64
	gate    chan struct{} // Apply waits until it is closed
	open    sync.Once
}

const ours = 'u' // the kind of entry that is the record's

func wrap(command []byte) []byte { return append([]byte{ours}, command...) }

func (h *host) Apply(l *raft.Log) any {
	<-h.gate
	defer h.applied.Store(l.Index)
	h.entries.Add(1)
	if command, found := bytes.CutPrefix(l.Data, []byte{ours}); found {
		return h.Machine.Apply(l.Index, command)
	}
	return nil
}

func (h *host) Snapshot() (raft.FSMSnapshot, error) {
	record, err := h.Machine.Snapshot()
	return hostSnapshot{h.applied.Load(), record}, err
}

func (h *host) Restore(r io.ReadCloser) error {
	var applied uint64
	if _, err := fmt.Fscanf(r, "%d\n", &applied); err != nil {
		return err
	}
	record, err := io.ReadAll(r)
	if err == nil {
		err = h.Machine.Restore(record)
	}
	h.applied.Store(applied)
	return err
}

type hostSnapshot struct {
	applied uint64
	record  []byte
}

func (s hostSnapshot) Persist(sink raft.SnapshotSink) error {
	_, err := fmt.Fprintf(sink, "%d\n%s", s.applied, s.record)
	return errors.Join(err, sink.Close())
}

func (hostSnapshot) Release() {}
