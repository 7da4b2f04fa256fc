package upgrade

import (
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/capabilities"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A guard is what a new program has to keep to until it is confirmed. The program
// that it takes the place of writes it down: the new one may be configured
// otherwise, or not come to read its configuration.
type guard struct {
	Limit      int           `json:"limit"`       // of starts that do not last
	Lasts      time.Duration `json:"lasts"`       // a start that has lived so long
	Confirm    time.Duration `json:"confirm"`     // from a start to its confirmation
	MinHealthy time.Duration `json:"min_healthy"` // for which it must have been well to be left alone
	Companions []string      `json:"companions,omitempty"`
	Args       []string      `json:"args,omitempty"` // of the server: a start of the program with others is none of it

	// Capabilities are those that its process has to have from its file.
	Capabilities capabilities.Set `json:"capabilities,omitempty"`
}

// whose says whose bytes a file holds, as the journal knows them.
type whose string

const (
	nobodys whose = "none" // there is no file
	olds    whose = "old"
	news    whose = "new"
	others  whose = "other"
)

// whose says whose bytes are those of the file info. They are read only if it is
// none of the two files that the journal knows by inode, size and time: a
// digest takes longer than the start of a server.
func (j journal) whose(info durable.Info, digest func() (archive.Digest, error)) (whose, error) {
	switch {
	case j.Old == j.New: // nothing to tell apart
	case j.NewFile.file(info):
		return news, nil
	case j.OldFile.file(info):
		return olds, nil
	}
	switch d, err := digest(); {
	case err != nil:
		return others, err
	case d == j.New:
		return news, nil
	case d == j.Old:
		return olds, nil
	}
	return others, nil
}

// found is all that decides what becomes of a start.
type found struct {
	runs      whose // lies at the path of the program
	phase     phase
	confirmed bool  // new is
	spent     bool  // as many starts of new did not last as are allowed
	unfit     bool  // this start of new is no good, however long it lasts
	beside    bool  // another process of new is alive
	noWayBack bool  // by the word of new
	previous  whose // lies where the previous program is kept
}

// A recovery is what a start does before anything is opened.
type recovery string

const (
	startServes   recovery = "serve"              // nothing of ours is in its way
	startOnTrial  recovery = "serve, on trial"    // count it; it lasts, is confirmed, or counts as one that did not last
	startBeside   recovery = "stay out"           // another process of the same program is on trial
	startPutsBack recovery = "put back"           // put the previous program back and start it
	startReturned recovery = "serve, and tell"    // the previous program is back: tell the host and the cluster
	startStuck    recovery = "serve, no way back" // new is no good, and there is nothing to put back
)

// recovery is what is to be done: a function of the program at the path, what its
// process is, the journal and the previous program, and of nothing else. DESIGN.md
// has it as a table.
func (f found) recovery() recovery {
	onTrial := f.runs == news && !f.confirmed && (f.phase == phaseReplacing || f.phase == phaseRunning)
	switch {
	case f.phase == phaseReturning && f.runs == olds:
		return startReturned
	case f.beside && (onTrial || f.phase == phaseReturning && f.runs == news):
		return startBeside
	case f.phase == phaseReturning && f.runs == news, onTrial && (f.spent || f.unfit):
		if f.noWayBack || f.previous != olds {
			return startStuck
		}
		return startPutsBack
	case onTrial:
		return startOnTrial
	}
	return startServes
}
