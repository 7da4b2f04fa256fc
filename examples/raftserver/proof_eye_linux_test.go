package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// glance is the pause between two looks of an eye.
const glance = 4 * time.Millisecond

// An eye looks at the processes and files of a fleet from outside. A member is
// up while it holds the lock on its raft log: it lets go of that in Stop, and the
// program after it takes it. What runs is the file that /proc names.
type eye struct {
	f      *fleet
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	seen  map[string]*seen
	known map[string]string // digests, by file and change

	mu        sync.Mutex
	exits     []exit
	execs     []execed
	sightings []sighting
}

// seen is what is remembered of a member from one look to the next.
type seen struct {
	lock    uint64 // inode
	up      bool
	missing int // looks in a row without its lock
	last    time.Time
}

// ran is the same of its programs.
type ran struct {
	pid     int
	program string    // identity of the running file
	last    time.Time // when that was seen last
	file    string    // identity of the file at the path
	mode    fs.FileMode
}

// An exit is that a member let go of its log although the test did nothing to it.
type exit struct {
	member    string
	last, at  time.Time // it was up, it was not
	others    int       // that were up
	lastFault time.Time // when the test did something to anybody
}

// An execed is that a process runs another program than before.
type execed struct {
	member   string
	last, at time.Time
	program  string // digest
}

// A sighting is what a member said of itself.
type sighting struct {
	member    string
	sent, got time.Time
	nodeInfo
}

func newEye(f *fleet) *eye {
	ctx, cancel := context.WithCancel(context.Background())
	e := &eye{f: f, ctx: ctx, cancel: cancel, seen: map[string]*seen{}, known: map[string]string{}}
	for _, look := range []func(){e.look, e.lookAtPrograms()} {
		e.done.Go(func() {
			for ctx.Err() == nil {
				look()
				select {
				case <-time.After(glance):
				case <-ctx.Done():
				}
			}
		})
	}
	for _, b := range f.boxes {
		e.listen(b)
	}
	return e
}

func (e *eye) end() { e.cancel(); e.done.Wait() }

// listen asks a member again and again who it is.
func (e *eye) listen(b *box) {
	e.done.Go(func() {
		for e.ctx.Err() == nil {
			sent := time.Now()
			limit, cancel := context.WithTimeout(e.ctx, 4*time.Second)
			i, err := b.info(limit, b.kept)
			cancel()
			if err == nil {
				e.mu.Lock()
				e.sightings = append(e.sightings, sighting{b.id, sent, time.Now(), i})
				e.mu.Unlock()
			}
			select {
			case <-time.After(15 * time.Millisecond):
			case <-e.ctx.Done():
			}
		}
	})
}

// lookAtPrograms does not hold up look: programs are large.
func (e *eye) lookAtPrograms() func() {
	all := map[string]*ran{}
	return func() {
		e.f.mu.Lock()
		boxes, pids := e.f.boxes, []int{}
		for _, b := range boxes {
			pids = append(pids, b.pid)
		}
		e.f.mu.Unlock()
		for i, b := range boxes {
			if all[b.id] == nil {
				all[b.id] = &ran{}
			}
			e.lookAt(b, pids[i], all[b.id])
		}
	}
}

func (e *eye) look() {
	faults, frozen, pids := map[string]bool{}, map[string]bool{}, map[string]int{} // at the beginning of this look
	e.f.mu.Lock()
	boxes := e.f.boxes
	var lastFault time.Time
	for _, b := range boxes {
		faults[b.id], frozen[b.id], pids[b.id] = !b.fault.IsZero(), b.frozen, b.pid
		if b.fault.After(lastFault) {
			lastFault = b.fault
		}
	}
	e.f.mu.Unlock()
	locks, err := flocks()
	if err != nil {
		e.f.problem("look at locks: %v", err)
		return
	}
	at := time.Now()
	up := 0
	var away []string
	for _, b := range boxes {
		s := e.seen[b.id]
		if s == nil {
			s = &seen{}
			e.seen[b.id] = s
		}
		if s.lock == 0 {
			if info, err := os.Stat(filepath.Join(b.dir, "data", "raft", "raft.db")); err == nil {
				s.lock = info.Sys().(*syscall.Stat_t).Ino
			}
		}
		// The list of locks is read in pieces, and what is between them may be missed.
		if s.lock != 0 && (locks[s.lock] || opens(pids[b.id], "/"+filepath.Join(b.id, "data", "raft", "raft.db"))) {
			s.missing, s.last = 0, at
		} else {
			s.missing++
		}
		if s.missing < 2 && !frozen[b.id] {
			up++ // also one that the test had ended, and that is back
		}
		switch {
		case faults[b.id]:
			s.up = false
		case s.missing < 2:
			s.up = true
		default:
			away = append(away, b.id)
		}
	}
	if len(away) > 1 {
		e.f.problem("%v are down at the same time by our own hand", away)
	}
	for _, id := range away {
		if s := e.seen[id]; s.up {
			s.up = false
			e.mu.Lock()
			e.exits = append(e.exits, exit{id, s.last, at, up, lastFault})
			e.mu.Unlock()
			e.f.logf("eye: %s is down", id)
		}
	}
}

// lookAt compares what lies at the path, and what runs, with what was seen last.
func (e *eye) lookAt(b *box, pid int, s *ran) {
	info, err := os.Stat(b.program)
	switch {
	case err != nil:
		e.f.problem("%s: no program at its path: %v", b.id, err)
	case fileID(info) != s.file:
		d, info, err := e.digest(b.program)
		switch {
		case err != nil:
			e.f.problem("%s: read the program: %v", b.id, err)
		case !b.isAllowed(d):
			e.f.problem("%s: neither of the two programs lies at the path, but %s", b.id, d)
		case s.mode != 0 && s.mode != info.Mode():
			e.f.problem("%s: the mode of the program was %v and is %v", b.id, s.mode, info.Mode())
		default:
			e.f.logf("eye: %s has %s at its path", b.id, e.f.versionOf(d))
		}
		if err == nil {
			s.file, s.mode = fileID(info), info.Mode()
		}
	}
	if pid == 0 {
		s.pid = 0
		return
	}
	at, exe := time.Now(), fmt.Sprintf("/proc/%d/exe", pid)
	info, err = os.Stat(exe)
	switch {
	case err != nil:
		return // it ends
	case fileID(info) == s.program && pid == s.pid:
		s.last = at
		return
	}
	d, info, err := e.digest(exe)
	if err != nil {
		return
	}
	if pid == s.pid {
		e.mu.Lock()
		e.execs = append(e.execs, execed{b.id, s.last, time.Now(), d})
		e.mu.Unlock()
	}
	if !b.isAllowed(d) {
		e.f.problem("%s runs neither of the two programs, but %s", b.id, d)
	}
	e.f.logf("eye: %s runs %s", b.id, e.f.versionOf(d))
	s.pid, s.program, s.last = pid, fileID(info), time.Now()
}
