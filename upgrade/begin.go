package upgrade

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// begunEnv tells Boot that Probe has counted this start: "<pid>". Boot removes it.
const begunEnv = "LEADERLAST_BEGUN"

func begun() bool { return os.Getenv(begunEnv) == strconv.Itoa(os.Getpid()) }

// begin is what Probe does at a start of a program on trial. Between main and Boot
// a program reads its flags and its configuration, and one that ends or hangs
// there would be started again and again. Where the program from before waits
// outside, or a process of it watches, that one sees it; begin does nothing then.
// Nor does it after an error: Boot says what is wrong.
func begin(id Identity) {
	if os.Getenv(waitsEnv) != "" || os.Getenv(lifeEnv) != "" || begun() {
		return
	}
	if !guards(os.Args) {
		return
	}
	s := newStarted(id)
	p, err := FindProgram()
	if err == nil {
		s.beginAs(p)
	}
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
			os.Setenv(begunEnv, strconv.Itoa(os.Getpid()))
			time.AfterFunc(j.Guard.Confirm, func() { s.hung(j.Guard.Confirm) })
		}
	case startPutsBack:
		_ = s.putBack(why(j, "")) // Boot tries again, and tells
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
	if begun() {
		_ = s.putBack(fmt.Sprintf("did not come to serve within %v", limit))
	}
}
