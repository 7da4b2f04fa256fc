package raftcluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/leaderlast/leaderlast/tracking"
)

// A command is one swap as an entry of the log: magic, commandVersion, what to
// do, its ID, the revision that is replaced, the length of the key, the key,
// and the rest is the value.
type command struct {
	id    commandID
	old   uint64 // 0 if there was none
	key   string
	value []byte
}

// A commandID is one swap, however often it is proposed: which Store made it,
// and a number.
type commandID [24]byte

const (
	magic          = "LLr"
	commandVersion = 1
	commandSwap    = 1
)

// errNotOurs is returned, wrapped, for what is no command at all.
var errNotOurs = errors.New("no command of this package")

func (c command) encode() []byte {
	b := make([]byte, 0, len(magic)+2+len(c.id)+2*binary.MaxVarintLen64+len(c.key)+len(c.value))
	b = append(b, magic...)
	b = append(b, commandVersion, commandSwap)
	b = append(b, c.id[:]...)
	b = binary.AppendUvarint(b, c.old)
	b = binary.AppendUvarint(b, uint64(len(c.key)))
	b = append(b, c.key...)
	return append(b, c.value...)
}

// decodeCommand reads a command; its value is a part of data. The error wraps
// tracking.ErrFormat for a command of a newer release.
func decodeCommand(data []byte) (command, error) {
	var c command
	rest, ours := bytes.CutPrefix(data, []byte(magic))
	if !ours || len(rest) < 2 {
		return c, fmt.Errorf("%d bytes: %w", len(data), errNotOurs)
	}
	if rest[0] != commandVersion || rest[1] != commandSwap {
		return c, fmt.Errorf("command %d in format %d: %w", rest[1], rest[0], tracking.ErrFormat)
	}
	n := copy(c.id[:], rest[2:])
	rest = rest[2+n:]
	var size uint64
	for _, field := range []*uint64{&c.old, &size} {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return c, fmt.Errorf("%d bytes, cut short: %w", len(data), errNotOurs)
		}
		*field, rest = v, rest[n:]
	}
	if size > uint64(len(rest)) {
		return c, fmt.Errorf("a key of %d bytes in %d: %w", size, len(data), errNotOurs)
	}
	c.key, c.value = string(rest[:size]), rest[size:]
	return c, nil
}
