package upgrade

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

// A phase is how far the local part of a turn has come.
type phase string

const (
	phaseNone      phase = ""          // nothing of ours is under way
	phaseClaimed   phase = "claimed"   // files beside the program may be changing
	phaseReplacing phase = "replacing" // the rename is about to happen, or has
	phaseRunning   phase = "running"   // the new program serves; confirmed or not
	phaseReturning phase = "returning" // the old program is being put back
)

// A journal is what one program file has to know of its own upgrades before any
// configuration is read. It is written, durably, before each step it tells of.
type journal struct {
	Phase   phase          `json:"phase"`
	Run     string         `json:"run,omitempty"`
	Origin  string         `json:"origin,omitempty"` // of Run, if that goes on with another
	Attempt int            `json:"attempt,omitempty"`
	Old     archive.Digest `json:"old,omitempty"`
	New     archive.Digest `json:"new,omitempty"`

	OldFile stamp `json:"old_file,omitzero"` // that held Old when its digest was taken
	NewFile stamp `json:"new_file,omitzero"` // that Commit puts in place; zero before

	OldVersion string `json:"old_version,omitempty"`
	NewVersion string `json:"new_version,omitempty"`
	Counter    uint64 `json:"counter,omitempty"`    // of the release of New, as verified here
	NewSigned  bool   `json:"new_signed,omitempty"` // that release was signed

	Starts    int           `json:"starts,omitempty"` // of New that have not lasted, while it was not confirmed
	Ill       time.Duration `json:"ill,omitempty"`    // for which New was not well on trial, as far as Starts does not tell
	Confirmed bool          `json:"confirmed,omitempty"`
	Trouble   string        `json:"trouble,omitempty"` // why the restart into New was given up

	Back      bool   `json:"back,omitempty"`        // New is the program of Kept: a rollback put it in place
	Guard     *guard `json:"guard,omitempty"`       // what New has to keep to, by the word of Old; nil if it is not guarded
	Waits     string `json:"waits,omitempty"`       // boot id of the process of Old that can still take over
	NoWayBack bool   `json:"no_way_back,omitempty"` // by the word of New: Old cannot read its data any more
	Why       string `json:"why,omitempty"`         // Old is being put back
	PutBack   string `json:"put_back,omitempty"`    // why Old was, in Run

	Kept *way       `json:"kept,omitempty"` // the way back, until New runs
	Tell *returning `json:"tell,omitempty"` // what a start of Old has to tell its host, until one of them has come to Run

	Failed []failedProgram `json:"failed,omitempty"` // that were put back here, the latest last

	// Trust that must outlive releases.
	Floor  uint64 `json:"floor,omitempty"`  // highest counter that was ever confirmed here
	Signed bool   `json:"signed,omitempty"` // a signed release was confirmed: unsigned ones are over

	// broken is why the journal could not be read at the start. It is not written
	// over then: what it knows of trust would be lost without a word.
	broken error
}

// A failedProgram is one that was no good on this machine.
type failedProgram struct {
	Program archive.Digest `json:"program"`
	Version string         `json:"version"`
	Why     string         `json:"why"`
}

// A returning is what the host of a program hears that was put back.
type returning struct {
	To   string `json:"to"`   // version that was put back
	From string `json:"from"` // in place of this one
	Why  string `json:"why"`
}

// maxFailed is how many programs that were put back are remembered.
const maxFailed = 8

// A way is the way back from the program that runs to the one that is kept.
type way struct {
	Run        string         `json:"run"` // that brought New; the first of those that went on with one another
	Old        archive.Digest `json:"old"` // that is kept
	New        archive.Digest `json:"new"`
	OldVersion string         `json:"old_version"`
	NewVersion string         `json:"new_version"`
	Shut       bool           `json:"shut,omitempty"` // by the word of New: Old cannot read its data any more
}

// way returns the way back as far as the journal knows one, nil if it does not.
func (j journal) way() *way {
	switch {
	case j.Phase != phaseRunning:
		return j.Kept
	case j.Old == "" || j.Old == j.New:
		return nil
	}
	return &way{Run: cmp.Or(j.Origin, j.Run), Old: j.Old, New: j.New, OldVersion: j.OldVersion, NewVersion: j.NewVersion, Shut: j.NoWayBack}
}

// closed is the journal with nothing of a turn in it.
func (j journal) closed() journal {
	return journal{Kept: j.way(), Tell: j.Tell, Floor: j.Floor, Signed: j.Signed, Failed: j.Failed, broken: j.broken}
}

// forgotten is the journal once no program is kept to go back to.
func (j journal) forgotten() journal {
	n := j.closed()
	n.Kept = nil
	return n
}

// returned is the journal once Old is back in place of New. The way back is there
// only if it led to New, and that is kept again; else what is kept is what runs.
func (j journal) returned(kept bool) journal {
	n := j.forgotten()
	if w := j.Kept; kept && j.Back && w != nil && w.Old == j.New && w.New == j.Old {
		n.Kept = w
	}
	n.Run, n.Attempt, n.PutBack = j.Run, j.Attempt, j.Why
	n.Tell = &returning{To: j.OldVersion, From: j.NewVersion, Why: j.Why}
	n.Failed = slices.DeleteFunc(slices.Clone(j.Failed), func(f failedProgram) bool { return f.Program == j.New })
	n.Failed = append(n.Failed, failedProgram{Program: j.New, Version: j.NewVersion, Why: j.Why})
	n.Failed = n.Failed[max(0, len(n.Failed)-maxFailed):]
	return n
}

// loadJournal returns the journal of p; the zero one if there is none, and one
// that cannot be saved if there is one that cannot be read.
func loadJournal(p Program) (journal, error) {
	var j journal
	err := j.load(p)
	if err != nil {
		return journal{broken: err}, err
	}
	return j, nil
}

func (j *journal) load(p Program) error {
	const todo = "move it away and start the server again to go on; older and unsigned releases are no longer refused then"
	info, err := os.Lstat(p.journalPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("upgrade: journal %s is no regular file but %v; %s: %w", p.journalPath(), info.Mode().Type(), todo, fs.ErrInvalid)
	}
	data, err := os.ReadFile(p.journalPath())
	if err != nil {
		return fmt.Errorf("upgrade: journal: %w", err)
	}
	if err := json.Unmarshal(data, j); err != nil {
		return fmt.Errorf("upgrade: journal %s is damaged; %s: %w", p.journalPath(), todo, err)
	}
	return nil
}

func (j journal) save(p Program) error {
	if j.broken != nil {
		return j.broken
	}
	data, err := json.Marshal(j)
	if err == nil {
		err = j.write(p, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("upgrade: journal: %w", err)
	}
	return nil
}
