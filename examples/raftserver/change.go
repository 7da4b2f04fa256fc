package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/leaderlast/leaderlast/examples/internal/web"
)

const (
	opPut    = 'p'
	opDelete = 'd'
)

// A change is one entry of the log: the operation, the key with its length, and
// the value.
type change struct {
	op         byte
	key, value string
}

func (c change) encode() []byte {
	b := make([]byte, 0, 1+binary.MaxVarintLen64+len(c.key)+len(c.value))
	b = append(b, c.op)
	b = appendText(b, c.key)
	return append(b, c.value...)
}

func parseChange(b []byte) (c change, err error) {
	if len(b) == 0 || b[0] != opPut && b[0] != opDelete {
		return c, fmt.Errorf("an entry of %d bytes is no change of a key", len(b))
	}
	r := bufio.NewReader(bytes.NewReader(b[1:]))
	c.op = b[0]
	if c.key, err = readText(r); err != nil {
		return c, fmt.Errorf("an entry ends within its key: %w", err)
	}
	value, err := io.ReadAll(r)
	c.value = string(value)
	return c, err
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func readText(r *bufio.Reader) (string, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return "", err
	}
	if n > web.MaxValue {
		return "", errors.New("a text is longer than any may be")
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return string(b), err
}
