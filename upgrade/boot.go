package upgrade

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
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
	// program that is not confirmed yet. A host whose data another program must be
	// able to go back to copies them at such a start, durably, before it opens them,
	// whether or not it changes their format; and once in a trial: the start before
	// may have spoilt them. restart.Method.Confirm is where the copy can go.
	UpgradedFrom string

	// PutBackFrom is the version that this program was put back in place of;
	// PutBackWhy says why, as the end of a sentence that begins with that version.
	// The host sees to its data here, before it calls Run: every start is told until
	// one of them has come to that. Data that it can read it keeps: clients were
	// answered on them meanwhile. Otherwise it takes its copy, sets aside what it
	// cannot read, and says where that is: what was answered on trial is there only.
	PutBackFrom string
	PutBackWhy  string

	// Stuck says why this program, which was found to be no good, was not put
	// back; "" if it was not found so. It serves as well as it can.
	Stuck string

	ledger  *ledger
	trial   *trial
	process Process
	files   *sync.Mutex // held while the files beside the program change
	rights  *rights     // nil if they are not known

	args  []string // of the process, and the working directory it was started in
	dir   string
	waits string // what the program before said of itself, waitsEnv
	begun bool   // Probe has counted this start

	lock   *programLock // while this process lives; nil if it could not be had
	passed int          // descriptor of the lock that Probe has taken, or -1
	life   lifeline

	exit   func(code int) // os.Exit, and
	parent func() int     // os.Getppid, but for tests
}

// A Process is how a server that is not its own executable, or is simulated,
// starts over and ends. The zero value is the process of the operating system.
type Process struct {
	// Start ends the process and starts the program at path in its place. It
	// returns only if that failed, or if there is nothing to end yet.
	Start func(path string) error

	// Gone is closed when the process has died: nothing of it acts any more.
	Gone <-chan struct{}
}

// Boot is called once in the life of a process, on the path that serves, before
// anything is opened. Commands of the same binary do not call it. It finds the
// program and reads its journal. A start of a program that is not confirmed yet
// is counted there, if Probe has not done so; one that ended within Config.StartTime did not last, unless
// AskedToEnd was called. Once Config.StartLimit of them did not last,
// Boot puts the previous program back and starts it in place of this process,
// with the arguments, environment, descriptors and working directory that it was
// started with: it does not return then.
//
// A program on trial that calls itself another version than it said when it was
// probed, or that lacks file capabilities which the process before had at its
// Boot, is put back at once. So give rights up after Boot, not before.
//
// A program on trial that is not confirmed within Config.ConfirmTimeout is put
// back in the same way, by a goroutine that ends with the trial, or with Run; if
// Run was called, after Config.Drain and Config.Stop, and with the sockets.
// The limits are those that the previous program was configured with.
//
// The result is never nil. After an error the server may serve all the same. If
// the program was not found, or its journal cannot be read, upgrades are refused
// then; the error says why, and so does the refusal.
func Boot(id Identity) (*Started, error) {
	s := newStarted(id)
	p, err := FindProgram()
	if err == nil {
		s.rights = rightsOf(p)
		s.holdProgram(p)
		err = s.bootAs(p)
	}
	s.greet()
	return s, err
}

// BootAt is Boot for the program at path and process, for tests and for
// servers that are not their own executable. Where its Start returns, BootAt does
// so too, with an error that wraps the one of Start.
func BootAt(path string, id Identity, process Process) (*Started, error) {
	s := newStarted(id)
	s.process = process
	p, err := ProgramAt(path)
	if err == nil {
		err = s.bootAs(p)
	}
	s.greet()
	return s, err
}

// whole makes a Started usable that was not made by Boot, as one of a test: it
// begins with an empty journal.
func (s *Started) whole() {
	if s.ledger == nil {
		s.ledger, s.trial, s.files, s.exit = &ledger{program: s.Program}, newTrial(), &sync.Mutex{}, os.Exit
		s.parent = os.Getppid
	}
}

func newStarted(id Identity) *Started {
	dir, _ := os.Getwd() // it may have been removed; then there is none to go back to
	waits := os.Getenv(waitsEnv)
	os.Unsetenv(waitsEnv)
	s := &Started{
		Identity: id, BootID: newID(8), At: time.Now(), ledger: &ledger{}, trial: newTrial(), files: &sync.Mutex{},
		args: slices.Clone(os.Args), dir: dir, waits: waits, exit: os.Exit, parent: os.Getppid,
	}
	s.passed, s.begun = begun()
	os.Unsetenv(begunEnv)
	s.life.inherit()
	return s
}

// bootAs is the part of Boot that tests call with a program of their own.
func (s *Started) bootAs(p Program) error {
	s.Program, s.ledger.program = p, p
	j, err := loadJournal(p)
	s.ledger.j = j
	if err != nil {
		return err
	}
	before := j
	if s.begun { // this very start is in the count
		before.Starts = max(0, j.Starts-1)
	}
	unfit := s.unfit(j)
	f, err := s.look(before, unfit != "")
	if err != nil {
		return err
	}
	switch f.recovery() {
	case startOnTrial:
		s.UpgradedFrom = j.OldVersion
		if err := s.count(); err != nil {
			return err
		}
		if j.Guard != nil {
			go s.watch(*j.Guard)
		}
	case startPutsBack:
		err := s.putBack(why(j, unfit))
		s.Stuck = err.Error()
		return err
	case startBeside:
		err := fmt.Errorf("upgrade: another process of %s %s is on trial; this one was started beside it, does not count, and takes no part in upgrades: %w", p.Base(), s.Identity.Version, fs.ErrExist)
		s.ledger.refuse(err)
		return err
	case startStuck:
		s.Stuck = why(j, unfit) + ", and " + f.noWay()
	case startReturned:
		// Written once Run is called: a start that dies before has told nobody.
		s.ledger.settle(j.returned(s.keepsTarget(j)))
		s.PutBackFrom, s.PutBackWhy = j.NewVersion, j.Why
	}
	if t := j.Tell; t != nil && t.To == s.Identity.Version {
		s.PutBackFrom, s.PutBackWhy = t.From, t.Why
	}
	return nil
}

// told notes that the host has heard what Boot had to tell it.
func (s *Started) told() error {
	if s.ledger.now().Tell == nil {
		return nil
	}
	return s.ledger.edit(func(j *journal) { j.Tell = nil })
}

// look finds out what the table wants to know, and reads no file for nothing. unfit
// is of this process, if it is one of the new program.
func (s *Started) look(j journal, unfit bool) (found, error) {
	f := found{phase: j.Phase, confirmed: j.Confirmed, noWayBack: j.NoWayBack, runs: others, previous: nobodys}
	f.spent = j.Guard != nil && j.Guard.Limit > 0 && j.Starts >= j.Guard.Limit
	if j.Confirmed || j.Phase != phaseReplacing && j.Phase != phaseRunning && j.Phase != phaseReturning {
		return f, nil
	}
	ctx := context.Background()
	var err error
	if f.runs, err = j.whose(s.Program.info(), func() (archive.Digest, error) { return s.Program.Digest(ctx) }); err != nil {
		return f, err
	}
	f.unfit, f.beside = unfit && f.runs == news, f.runs == news && s.lock.besides()
	if !f.spent && !f.unfit && f.phase != phaseReturning || f.phase == phaseReturning && f.runs != news {
		return f, nil
	}
	f.previous, err = (&Executable{Program: s.Program}).whosePrevious(ctx, j)
	return f, err
}

// why says why the new program is no good, as the end of a sentence that begins
// with its version.
func why(j journal, unfit string) string {
	if reason := cmp.Or(j.Why, unfit); reason != "" {
		return reason
	}
	return fmt.Sprintf("ended %d times within %v of its start", j.Starts, j.Guard.Lasts)
}

// noWay says why nothing is put back.
func (f found) noWay() string {
	switch {
	case f.noWayBack:
		return "the one before cannot read its data any more"
	case f.previous == nobodys:
		return "no program is kept to put back"
	}
	return "what is kept beside it is not the program from before"
}

// putBack puts the previous program in place and starts it. If it returns, that
// failed, or the start did.
func (s *Started) putBack(why string) error {
	if s.waitedFor(s.ledger.now()) {
		return s.giveUp(why)
	}
	s.life.say(wordReturns)
	err := s.ledger.seal(func(j *journal) { j.Phase, j.Why = phaseReturning, why })
	if err == nil {
		j := s.ledger.now()
		s.files.Lock()
		err = j.executable(s.Program).restoreSoon(context.Background(), j)
		s.files.Unlock()
	}
	if err != nil {
		s.life.over()
		return fmt.Errorf("upgrade: %s, and the one before could not be put back: %w", s.sentence(why), err)
	}
	return fmt.Errorf("upgrade: %s; the one before is put back, and could not be started: %w; start the server again", s.sentence(why), s.depart(why))
}

// sentence names this program, as what it was installed as, before what is wrong
// with it.
func (s *Started) sentence(why string) string {
	return fmt.Sprintf("%s %s %s", s.Program.Base(), cmp.Or(s.ledger.now().NewVersion, s.Identity.Version), why)
}

// startOver starts what lies at the path in place of this process, with the sockets
// of the host as far as New was told of them. It returns only if that failed.
func (s *Started) startOver() error {
	if s.process.Start != nil {
		return s.process.Start(s.Program.Path)
	}
	defer s.life.hand()()
	var err error
	if become := s.trial.become(); become != nil {
		err = become(context.Background(), s.Program.Path)
	}
	return errors.Join(err, s.execAgain()) // that one needs nothing of the host
}

// NoWayBack says, durably, that the program from before cannot read the data of
// the host any more: call it before a migration that makes it so. From then on
// this program is not put back, however it fares; its member fails by name
// instead, and a rollback is refused. It changes nothing if no program is kept to
// go back to. After an error the way back is still open: do not migrate.
func (s *Started) NoWayBack(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("upgrade: close the way back: %w", context.Cause(ctx))
	}
	j := s.ledger.now()
	if j.New == "" && j.Kept == nil {
		return nil
	}
	d, err := s.Program.Digest(ctx)
	if err == nil && (d == j.New || j.Kept != nil && d == j.Kept.New) {
		err = s.ledger.edit(func(j *journal) {
			j.NoWayBack = j.NoWayBack || d == j.New
			if j.Kept != nil && d == j.Kept.New {
				shut := *j.Kept
				shut.Shut = true
				j.Kept = &shut
			}
		})
	}
	if err != nil {
		return fmt.Errorf("upgrade: close the way back: %w", err)
	}
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
