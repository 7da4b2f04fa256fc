package raftcluster

import (
	"errors"
	"fmt"

	"github.com/leaderlast/leaderlast/tracking"
)

// What one member asks another through Call is wireVersion, one byte that says
// what, and what belongs to it; the answer is wireVersion, one byte that says
// how it went, and the result, or the text of an error. Old and new programs
// ask each other in the middle of an upgrade: a request that a program does not
// know is answered as newer, and whoever asked sees tracking.ErrFormat.
const wireVersion = 1

// What is asked.
const (
	askPing  = 1 // are you there, and does your log reach this index? answered with the ID
	askIndex = 2 // up to where must a state machine come?
	askLoad  = 3 // a key
	askSwap  = 4 // a command
)

// How it went.
const (
	saidDone     = 0
	saidAgain    = 1 // not now, or not here
	saidConflict = 2
	saidNewer    = 3
	saidNo       = 4
)

// errNo is the kind of everything that is no use trying again.
var errNo = errors.New("refused")

// said pairs the errors that are told apart with how they are said.
func said() map[byte]error {
	return map[byte]error{saidAgain: errAgain, saidConflict: tracking.ErrConflict, saidNewer: tracking.ErrFormat}
}

func encodeReply(result []byte, err error) []byte {
	if err == nil {
		return append([]byte{wireVersion, saidDone}, result...)
	}
	how := byte(saidNo)
	for b, kind := range said() {
		if errors.Is(err, kind) {
			how = b
		}
	}
	return append([]byte{wireVersion, how}, err.Error()...)
}

func decodeReply(reply []byte) ([]byte, error) {
	if len(reply) < 2 {
		return nil, fmt.Errorf("a reply of %d bytes: %w", len(reply), errAgain)
	}
	if reply[0] != wireVersion {
		return nil, fmt.Errorf("a reply in format %d: %w", reply[0], tracking.ErrFormat)
	}
	if reply[1] == saidDone {
		return reply[2:], nil
	}
	kind, found := said()[reply[1]]
	if !found {
		kind = errNo
	}
	return nil, remote{string(reply[2:]), kind}
}

// A remote is an error of another member, in its words.
type remote struct {
	text string
	kind error
}

func (e remote) Error() string { return e.text }
func (e remote) Unwrap() error { return e.kind }
