package upgrade

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

// An Identity is what a program says of itself. It is built in.
type Identity struct {
	Product string // as in the manifest of its archives
	Version string
	Variant string // of the build, as in bin/<os>/<arch>/<variant>; "" for the plain one
}

// Started is what Boot found.
type Started struct {
	Identity Identity
	Program  Program
	BootID   string    // of this process, never used before
	At       time.Time // of the call of Boot

	// UpgradedFrom is the version that ran before, if this is a start of a new
	// program that the cluster has not confirmed yet.
	UpgradedFrom string

	journal journal
}

// Boot is called once in the life of a process, on the path that serves, before
// anything is opened. Commands of the same binary do not call it. It finds the
// program, reads its journal and counts the start in it if the program is a new
// one.
//
// The result is never nil. After an error the server may serve all the same. If
// the program was not found, or its journal cannot be read, upgrades are refused
// then; the error says why, and so does the refusal.
func Boot(id Identity) (*Started, error) {
	s := &Started{Identity: id, BootID: newID(8), At: time.Now()}
	return s, s.boot()
}

// BootAt is Boot for the program at path, for tests and for servers that are not
// their own executable.
func BootAt(path string, id Identity) (*Started, error) {
	s := &Started{Identity: id, BootID: newID(8), At: time.Now()}
	p, err := ProgramAt(path)
	if err == nil {
		err = s.bootAs(p)
	}
	return s, err
}

func (s *Started) boot() error {
	p, err := FindProgram()
	if err != nil {
		return err
	}
	return s.bootAs(p)
}

// bootAs is the part of Boot that tests call with a program of their own.
func (s *Started) bootAs(p Program) error {
	s.Program = p
	j, err := loadJournal(p)
	s.journal = j
	if err != nil {
		return err
	}
	if j.Confirmed || j.Phase != phaseReplacing && j.Phase != phaseRunning {
		return nil
	}
	d, err := p.Digest(context.Background())
	if err != nil {
		return err
	}
	if d != j.New {
		return nil
	}
	j.Starts++
	if err := j.save(p); err != nil {
		return fmt.Errorf("upgrade: count this start: %w", err)
	}
	s.journal = j
	s.UpgradedFrom = j.OldVersion
	return nil
}

// Platform is what the running program was built for.
func (s *Started) Platform() archive.Platform {
	return archive.Platform{OS: goos, Arch: goarch, Variant: s.Identity.Variant}
}

// newID returns n random bytes as hexadecimal digits.
func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
