package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxFrame is more than any request or reply: a value of the record in whatever
// encoding, or a command of MaxCommand.
const maxFrame = 4 << 20

// frameHeader is the length of the rest, and what it is.
const frameHeader = 4 + 1

var errFrame = errors.New("too large for a call between members")

// writeFrame writes kind and body as one frame.
func writeFrame(w io.Writer, kind byte, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("%d bytes: %w", len(body), errFrame)
	}
	frame := make([]byte, frameHeader, frameHeader+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	frame[4] = kind
	_, err := w.Write(append(frame, body...))
	return err
}

// readFrame reads what writeFrame wrote. It allocates as bytes arrive: a length
// alone costs nothing.
func readFrame(r io.Reader) (kind byte, body []byte, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("%d bytes: %w", size, errFrame)
	}
	body, err = io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && len(body) < int(size) {
		err = io.ErrUnexpectedEOF
	}
	return header[4], body, err
}
