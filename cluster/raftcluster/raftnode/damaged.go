package raftnode

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrDamaged is wrapped by the error of Open if what lies in Config.Dir cannot be
// read: it was overwritten or cut short, or was written by a program that this one
// does not understand. Nothing is mended or removed: the other members have what is
// lost, and the member gets it from them when it joins anew.
var ErrDamaged = errors.New("the data are damaged")

// damaged says what to do about data that cannot be read because of cause.
func (n *Node) damaged(cause error) error {
	return fmt.Errorf("%w: %w; the other members have them: Remove %s at another member, move %s away, start it again with an empty Bootstrap and the others in Trust, and have another member Join it",
		ErrDamaged, cause, n.c.ID, n.c.Dir)
}

// readable calls open, which reads files of which any byte may be wrong. The store
// maps them into memory and trusts them: it panics, or reads beyond their end.
func (n *Node) readable(open func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = n.damaged(fmt.Errorf("read %s: %v", n.c.Dir, p))
		}
	}()
	return open()
}
