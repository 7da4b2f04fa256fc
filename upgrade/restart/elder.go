package restart

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// What a successor says over its link, a byte each.
const (
	saysReady     = 'R'
	saysConfirmed = 'C'
)

// An elder is the program before, while it lives on beside this one.
type elder struct {
	pid  int
	link *os.File // ends when the elder does, however it does
}

// tell fails only where the elder has gone, and there is nobody to be told.
func (e *elder) tell(word byte) { e.link.Write([]byte{word}) }

// heed waits until the elder has ended. Its last word, if it has one, is what
// the hand-over did to clients.
func (s *Sockets) heed(e *elder) {
	word, _ := io.ReadAll(e.link) // an error is an end as well
	e.link.Close()
	var r Report
	said := json.Unmarshal(word, &r) == nil

	s.mu.Lock()
	defer s.mu.Unlock()
	s.elder = nil
	if c := &s.last.Counts; said {
		c.Waited, c.Retired, c.Cut, c.Hijacked = r.Waited, r.Retired, r.Cut, r.Hijacked
	}
	for _, h := range s.held {
		h.unlink(true)
	}
}

// Confirm tells the program before, if it is one that handed over and waits until
// this one is confirmed, that it may end. Otherwise, and when called again, it
// does nothing.
func (s *Sockets) Confirm() {
	s.mu.Lock()
	e := s.elder
	s.mu.Unlock()
	if e != nil {
		e.tell(saysConfirmed)
	}
}

// overlapped says why no restart can begin while the program before lives on.
func (s *Sockets) overlapped() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.elder == nil {
		return nil
	}
	return fmt.Errorf("%w: the program before this one has not ended yet (process %d), it waits for this one to be confirmed or for the last of its clients to leave; try again then", ErrDraining, s.elder.pid)
}
