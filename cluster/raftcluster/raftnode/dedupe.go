package raftnode

import (
	"encoding/binary"
	"errors"
)

// Bounds of what is remembered of commands that were applied, so that one sent
// again after a lost reply is not applied again.
const (
	rememberCommands = 4096
	rememberBytes    = 1 << 20 // of replies, one more always fits
)

// A commandID tells one command from all others.
type commandID [16]byte

// An outcome is what the host's state machine made of a command.
type outcome struct {
	status byte // one of the outcomes below
	reply  []byte
}

const (
	outcomeReply = 1 // the reply is the host's
	outcomeError = 2 // the reply is the text of the host's error
	outcomeStale = 3 // not applied: it is no longer known whether it was before
)

// A memory is the outcomes of the latest commands. It is part of the replicated
// state: each member remembers the same.
type memory struct {
	order []remembered // by index
	by    map[commandID]outcome
	bytes int
	floor uint64 // index of the latest command forgotten
}

type remembered struct {
	id    commandID
	index uint64
}

func (m *memory) put(id commandID, index uint64, o outcome) {
	if m.by == nil {
		m.by = map[commandID]outcome{}
	}
	m.order = append(m.order, remembered{id, index})
	m.by[id] = o
	m.bytes += len(o.reply)
	for len(m.order) > 1 && (len(m.order) > rememberCommands || m.bytes > rememberBytes) {
		oldest := m.order[0]
		m.bytes -= len(m.by[oldest.id].reply)
		delete(m.by, oldest.id)
		m.order = m.order[1:]
		m.floor = oldest.index
	}
}

// encode returns m as restore reads it.
func (m *memory) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, m.floor)
	for _, r := range m.order {
		o := m.by[r.id]
		b = append(b, r.id[:]...)
		b = binary.BigEndian.AppendUint64(b, r.index)
		b = append(b, o.status)
		b = binary.BigEndian.AppendUint32(b, uint32(len(o.reply)))
		b = append(b, o.reply...)
	}
	return b
}

func decodeMemory(b []byte) (*memory, error) {
	const fixed = len(commandID{}) + 8 + 1 + 4
	damaged := errors.New("the memory of commands is cut off")
	if len(b) < 8 {
		return nil, damaged
	}
	floor := binary.BigEndian.Uint64(b)
	m := &memory{}
	for b = b[8:]; len(b) > 0; {
		if len(b) < fixed {
			return nil, damaged
		}
		id, rest := commandID(b), b[len(commandID{}):]
		index, status, size := binary.BigEndian.Uint64(rest), rest[8], int(binary.BigEndian.Uint32(rest[9:]))
		b = b[fixed:]
		if size > len(b) {
			return nil, damaged
		}
		m.put(id, index, outcome{status, append([]byte(nil), b[:size]...)})
		b = b[size:]
	}
	m.floor = max(m.floor, floor)
	return m, nil
}
