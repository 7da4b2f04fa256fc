package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster"
)

// The first byte of an entry says whose it is. Old and new programs share the
// log: a byte is never given another meaning.
const (
	tagRecord = 1 // the record of upgrades: raftcluster.Machine
	tagHost   = 2 // a command of the host: hostHeader and the command
)

// hostHeader is the tag, the command's ID, and an index that was applied before
// the command was first sent.
const hostHeader = 1 + len(commandID{}) + 8

// errForeign answers an entry that this program does not know.
var errForeign = errors.New("raftnode: entry of a kind that this program does not know")

// An fsm is the record and the host's state machine over one log.
type fsm struct {
	host    raft.FSM // nil if there is none
	machine *raftcluster.Machine
	log     hclog.Logger

	seen    *memory
	foreign map[byte]bool // tags that were logged
	applied atomic.Uint64 // index of the last entry that has taken effect
}

func newFSM(host raft.FSM, log hclog.Logger) *fsm {
	return &fsm{host: host, machine: &raftcluster.Machine{}, log: log, seen: &memory{}, foreign: map[byte]bool{}}
}

func wrapRecord(command []byte) []byte { return append([]byte{tagRecord}, command...) }

func wrapHost(id commandID, born uint64, command []byte) []byte {
	entry := make([]byte, 0, hostHeader+len(command))
	entry = append(entry, tagHost)
	entry = append(entry, id[:]...)
	entry = binary.BigEndian.AppendUint64(entry, born)
	return append(entry, command...)
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any {
	defer f.applied.Store(l.Index) // once it really is
	switch {
	case len(l.Data) > 0 && l.Data[0] == tagRecord:
		return f.machine.Apply(l.Index, l.Data[1:])
	case len(l.Data) >= hostHeader && l.Data[0] == tagHost:
		return f.applyHost(l)
	}
	var tag byte
	if len(l.Data) > 0 {
		tag = l.Data[0]
	}
	if !f.foreign[tag] {
		f.foreign[tag] = true
		f.log.Error("an entry of the log is of a kind that this program does not know: it has no effect here; run the same program on all members before new kinds are written", "index", l.Index, "kind", tag)
	}
	return errForeign
}

func (f *fsm) applyHost(l *raft.Log) outcome {
	id := commandID(l.Data[1:])
	if o, ok := f.seen.by[id]; ok {
		return o
	}
	if born := binary.BigEndian.Uint64(l.Data[1+len(id):]); born < f.seen.floor {
		// It may be among the forgotten: those have an index above born.
		return outcome{outcomeStale, binary.BigEndian.AppendUint64(nil, l.Index)}
	}
	o := f.ask(l)
	f.seen.put(id, l.Index, o)
	return o
}

func (f *fsm) ask(l *raft.Log) outcome {
	if f.host == nil {
		return outcome{outcomeError, []byte("this program has no state machine")}
	}
	own := *l
	own.Data = l.Data[hostHeader:]
	switch r := f.host.Apply(&own).(type) {
	case nil:
		return outcome{outcomeReply, nil}
	case []byte:
		if len(r) > MaxCommand {
			return outcome{outcomeError, fmt.Appendf(nil, "the state machine answered with %d bytes, more than %d", len(r), MaxCommand)}
		}
		return outcome{outcomeReply, append([]byte(nil), r...)}
	case error:
		return outcome{outcomeError, []byte(r.Error())}
	default:
		return outcome{outcomeError, fmt.Appendf(nil, "the state machine answered with a %T, want []byte, error or nil", r)}
	}
}

// A snapshot is the header, two parts of the given lengths, and whatever the host
// writes.
const snapshotMagic = "leaderlast raft snapshot 1\n"

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	record, err := f.machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("raftnode: snapshot of the record: %w", err)
	}
	s := &snapshot{}
	s.head = append(s.head, snapshotMagic...)
	s.head = binary.BigEndian.AppendUint64(s.head, f.applied.Load())
	for _, part := range [][]byte{f.seen.encode(), record} {
		s.head = binary.BigEndian.AppendUint64(s.head, uint64(len(part)))
		s.head = append(s.head, part...)
	}
	if f.host != nil {
		if s.host, err = f.host.Snapshot(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

type snapshot struct {
	head []byte
	host raft.FSMSnapshot // nil if there is none
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s.head); err != nil {
		sink.Cancel()
		return fmt.Errorf("raftnode: write the record's snapshot: %w", err)
	}
	if s.host != nil {
		return s.host.Persist(sink)
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {
	if s.host != nil {
		s.host.Release()
	}
}

// Restore implements raft.FSM.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	head := make([]byte, len(snapshotMagic)+8)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("raftnode: restore: %w", err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("raftnode: restore: not a snapshot that this program reads: it begins with %q", head)
	}
	var parts [2][]byte
	for i := range parts {
		part, err := readPart(r)
		if err != nil {
			return fmt.Errorf("raftnode: restore: %w", err)
		}
		parts[i] = part
	}
	seen, err := decodeMemory(parts[0])
	if err != nil {
		return fmt.Errorf("raftnode: restore: %w", err)
	}
	if err := f.machine.Restore(parts[1]); err != nil {
		return fmt.Errorf("raftnode: restore the record: %w", err)
	}
	if f.host != nil {
		if err := f.host.Restore(r); err != nil {
			return err
		}
	}
	f.seen = seen
	f.applied.Store(binary.BigEndian.Uint64(head[len(snapshotMagic):]))
	return nil
}

// readPart reads a length and as many bytes.
func readPart(r io.Reader) ([]byte, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(length[:])
	if size > 1<<40 {
		return nil, fmt.Errorf("a part of %d bytes", size)
	}
	part, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && uint64(len(part)) < size {
		err = io.ErrUnexpectedEOF
	}
	return part, err
}
