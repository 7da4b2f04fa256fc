package upgrade

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// begunEnv tells Boot that Probe has counted this start: "<pid>:<descriptor of the
// lock on the program, or -1>". Boot removes it.
const begunEnv = "LEADERLAST_BEGUN"

// begun reports whether Probe has counted this start; lock is a descriptor, or -1.
func begun() (lock int, ok bool) {
	pid, text, _ := strings.Cut(os.Getenv(begunEnv), ":")
	lock, err := strconv.Atoi(text)
	if err != nil || pid != strconv.Itoa(os.Getpid()) {
		return -1, false
	}
	return lock, true
}

// begin is what Probe does at a start of a program on trial. Between main and Boot
// a program reads its flags and its configuration, and one that ends or hangs
// there would be started again and again. Where the program from before waits
// outside, or a process of it watches, that one sees it; begin does nothing then.
// Nor does it after an error: Boot says what is wrong.
func begin(id Identity) {
	if seenFromOutside() || !guards(os.Args) {
		return
	}
	if _, ok := begun(); ok {
		return
	}
	s := newStarted(id)
	p, err := FindProgram()
	if err == nil {
		s.lock, _ = p.hold()
		s.beginAs(p)
	}
}

// seenFromOutside reports whether the parent of this process says that it waits for it, or
// a process that it watches it. Whatever else the environment has is not meant for
// this one.
func seenFromOutside() bool {
	waits, _, _ := strings.Cut(os.Getenv(waitsEnv), ":")
	life := os.Getenv(lifeEnv)
	return waits == strconv.Itoa(os.Getppid()) || life[strings.LastIndexByte(life, ':')+1:] == strconv.Itoa(os.Getpid())
}

// guards reports whether the journal of the running program guards a start of it
// with these arguments. Most have no journal, and nothing else is read then.
func guards(args []string) bool {
	path, err := os.Executable()
	if err != nil {
		return false
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false
	}
	j, err := loadJournal(Program{Path: path})
	return err == nil && j.Guard != nil && !j.Confirmed && slices.Equal(j.Guard.Args, args)
}

// beginAs is the part of begin that tests call with a program of their own.
func (s *Started) beginAs(p Program) {
	s.Program, s.ledger.program = p, p
	j, err := loadJournal(p)
	if err != nil {
		return
	}
	s.ledger.j = j
	f, err := s.look(j, false) // Boot sees what this process is
	if err != nil {
		return
	}
	switch f.recovery() {
	case startOnTrial:
		if s.count() == nil {
			os.Setenv(begunEnv, fmt.Sprintf("%d:%d", os.Getpid(), s.lock.fd()))
			time.AfterFunc(j.Guard.Confirm, func() { s.hung(j.Guard.Confirm) })
		}
	case startPutsBack:
		_ = s.putBack(why(j, "")) // Boot tries again, and tells
	default:
		s.lock.Close()
	}
}

// count counts this start, unless Probe has.
func (s *Started) count() error {
	if s.begun {
		return nil
	}
	if err := s.ledger.edit(func(j *journal) { j.Starts++ }); err != nil {
		return fmt.Errorf("upgrade: count this start: %w", err)
	}
	return nil
}

// hung puts a program back that has not come to Boot within limit.
func (s *Started) hung(limit time.Duration) {
	if _, ok := begun(); ok && s.returnable(context.Background()) == nil {
		_ = s.putBack(fmt.Sprintf("did not come to serve within %v", limit))
	}
}
