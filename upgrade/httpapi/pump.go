package httpapi

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A pump reads with a deadline from what knows none. Its one goroutine reads
// into a buffer of its own: after a deadline it may still be at it, and ends when
// the connection does.
type pump struct {
	ask  chan struct{}
	got  chan piece // of capacity one: the goroutine never waits to be heard
	quit chan struct{}
	rest []byte
	err  error
}

type piece struct {
	data []byte
	err  error
}

func newPump(r io.Reader) *pump {
	p := &pump{ask: make(chan struct{}), got: make(chan piece, 1), quit: make(chan struct{})}
	go func() {
		buf := make([]byte, 32<<10)
		for {
			select {
			case <-p.ask:
				p.got <- readPiece(r, buf)
			case <-p.quit:
				return
			}
		}
	}()
	return p
}

// read must not be called again after an error.
func (p *pump) read(into []byte, deadline time.Time) (int, error) {
	if len(p.rest) == 0 && p.err == nil {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		p.ask <- struct{}{}
		select {
		case got := <-p.got:
			p.rest, p.err = got.data, got.err
		case <-timer.C:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(into, p.rest)
	p.rest = p.rest[n:]
	if len(p.rest) > 0 {
		return n, nil
	}
	return n, p.err
}

// readPiece keeps a panic of r, which may be some middleware's, from ending the
// process: no server recovers those of other goroutines.
func readPiece(r io.Reader, buf []byte) (got piece) {
	defer func() {
		if v := recover(); v != nil {
			got = piece{err: fmt.Errorf("httpapi: read the body: panic: %v", v)}
		}
	}()
	n, err := r.Read(buf)
	return piece{buf[:n], err}
}
