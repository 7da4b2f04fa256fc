package main

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A point is where a server asks whether it may go on: who asks, before what, and
// whose turn that is about.
type point struct{ actor, what, whom string }

func (p point) String() string { return fmt.Sprintf("%s, before %q of %s", p.actor, p.what, p.whom) }

// A warden answers the servers of one cluster. All may go on, but those that fall
// into a trap.
type warden struct {
	socket string
	began  time.Time

	mu    sync.Mutex
	traps []*trap
	order []string // members of this run, as they get their turns
	log   []string
	wrong []string // what must never be asked
	size  int
}

// A trap stops the first server that gets to a point.
type trap struct {
	at   func(p point, turn int) bool
	held chan *prisoner
}

// A prisoner is a server that was stopped.
type prisoner struct {
	point
	conn net.Conn
}

// release lets it go on; it may have been killed meanwhile.
func (p *prisoner) release() {
	p.conn.Write([]byte{'.'})
	p.conn.Close()
}

func newWarden(t *testing.T, dir string, size int) *warden {
	t.Helper()
	w := &warden{socket: filepath.Join(dir, "hold"), size: size}
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); w.begin() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.answer(c)
		}
	}()
	return w
}

// begin forgets the run before, and lets everybody go.
func (w *warden) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.traps {
		select {
		case p := <-t.held:
			p.release()
		default:
		}
	}
	w.traps, w.order, w.log, w.wrong, w.began = nil, nil, nil, nil, time.Now()
}

// had notes that members have had their turns already, in the run before.
func (w *warden) had(ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.order = append(w.order, ids...)
}

func (w *warden) answer(c net.Conn) {
	line, err := bufio.NewReader(c).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 3 {
		c.Close()
		return
	}
	p := &prisoner{point{words[0], words[1], words[2]}, c}
	if !w.caught(p) {
		p.release()
	}
}

func (w *warden) caught(p *prisoner) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("%7.3f %s", time.Since(w.began).Seconds(), p.point))
	turn := slices.Index(w.order, p.whom)
	if turn < 0 && (p.what == "granted" || p.what == "claimed") {
		turn = len(w.order)
		w.order = append(w.order, p.whom)
	}
	if p.what == "granted" && p.actor == p.whom && len(w.order) < w.size {
		w.wrong = append(w.wrong, fmt.Sprintf("%s leads and takes its turn before others had theirs: %v", p.whom, w.order))
	}
	for i, t := range w.traps {
		if t.at(p.point, turn) {
			w.traps = slices.Delete(w.traps, i, i+1)
			t.held <- p
			return true
		}
	}
	return false
}

// trap stops whoever gets first to where at says so; turns are counted from 0.
func (w *warden) trap(at func(p point, turn int) bool) *trap {
	t := &trap{at: at, held: make(chan *prisoner, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traps = append(w.traps, t)
	return t
}

// await returns the server in the trap.
func (f *fleet) await(t *trap) *prisoner {
	f.t.Helper()
	select {
	case p := <-t.held:
		f.logf("held %s", p.point)
		return p
	case <-time.After(waitLimit):
	}
	f.t.Fatalf("nobody gets to where it was to be held\n%s", f.story())
	return nil
}

// before are the points at which a turn is in a state, for as long as it is held
// there.
var before = map[string]string{
	"pending":    "granted",
	"granted":    "claimed",
	"claimed":    "prepared",
	"prepared":   "drain",
	"asked":      "restarting", // the question is in the record, and not answered
	"handing":    "transfer",   // the last turn only
	"restarting": "stop",
	"swapped":    "exec", // the new program is in place, and does not run
	"rejoining":  "ready",
	"accepting":  "accepted", // the coordinator has seen enough
	"accepted":   "last-word",
	"done":       "end", // the last word is in the record
}

// inState stops whoever is about to end a state of a turn.
func (w *warden) inState(state string, turn int) *trap {
	what := before[state]
	return w.trap(func(p point, n int) bool {
		if state == "handing" {
			return p.what == what
		}
		return p.what == what && n == turn
	})
}
