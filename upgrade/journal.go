package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A phase is how far the local part of a turn has come.
type phase string

const (
	phaseNone      phase = ""          // nothing of ours is under way
	phaseClaimed   phase = "claimed"   // files beside the program may be changing
	phaseReplacing phase = "replacing" // the rename is about to happen, or has
	phaseRunning   phase = "running"   // the new program serves; confirmed or not
)

// A journal is what one program file has to know of its own upgrades before any
// configuration is read. It is written, durably, before each step it tells of.
type journal struct {
	Phase   phase          `json:"phase"`
	Run     string         `json:"run,omitempty"`
	Attempt int            `json:"attempt,omitempty"`
	Old     archive.Digest `json:"old,omitempty"`
	New     archive.Digest `json:"new,omitempty"`

	OldVersion string `json:"old_version,omitempty"`
	NewVersion string `json:"new_version,omitempty"`
	Counter    uint64 `json:"counter,omitempty"`    // of the release of New, as verified here
	NewSigned  bool   `json:"new_signed,omitempty"` // that release was signed

	Starts    int    `json:"starts,omitempty"` // of New, while it was not confirmed
	Confirmed bool   `json:"confirmed,omitempty"`
	Trouble   string `json:"trouble,omitempty"` // why the restart into New was given up

	// Trust that must outlive releases.
	Floor  uint64 `json:"floor,omitempty"`  // highest counter that was ever confirmed here
	Signed bool   `json:"signed,omitempty"` // a signed release was confirmed: unsigned ones are over
}

// loadJournal returns the journal of p; the zero one if there is none.
func loadJournal(p Program) (journal, error) {
	var j journal
	info, err := os.Lstat(p.journalPath())
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		return j, fmt.Errorf("upgrade: journal %s is no regular file but %v; move it away to go on: %w", p.journalPath(), info.Mode().Type(), fs.ErrInvalid)
	}
	data, err := os.ReadFile(p.journalPath())
	if err != nil {
		return j, fmt.Errorf("upgrade: journal: %w", err)
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return journal{}, fmt.Errorf("upgrade: journal %s is damaged, move it away to go on: %w", p.journalPath(), err)
	}
	return j, nil
}

func (j journal) save(p Program) error {
	data, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("upgrade: journal: %w", err)
	}
	if err := durable.WriteFile(p.journalPath(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("upgrade: journal: %w", err)
	}
	return nil
}
