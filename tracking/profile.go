package tracking

import (
	"fmt"
	"strings"
	"time"
)

// ProfileName is the name under which clients ask for the Profile.
const ProfileName = "rackn-system-upgrade-tracking"

// A Profile is the record as clients of the profile API see it, drpcli among
// them. Its keys are those of the profile object of Digital Rebar Provision
// (models/profile.go, v4.7.0). No list and no map of it is null, which strict
// clients would refuse.
type Profile struct {
	Available     bool
	Bundle        string
	Description   string
	Documentation string
	Endpoint      string
	Errors        []string
	Meta          map[string]string
	Name          string
	Params        map[string]any
	Partial       bool
	Profiles      []string
	ReadOnly      bool
	Validated     bool
}

// Names of the Params of a Profile. The first five are the API that existing
// clients know; the others are ours. None is ever renamed.
const (
	ParamStatus       = "status"        // staging, staged, working, finished or failed
	ParamFinalState   = "final-state"   // one line, once finished or failed
	ParamTranscript   = "transcript"    // list of lines, the newest ones
	ParamWorkingNode  = "working-node"  // API URL of the member in flight, of the last one afterwards
	ParamWorkingState = "working-state" // one line about that member

	ParamRun             = "run"              // id of the run
	ParamVersion         = "version"          // of the archive
	ParamFromVersion     = "from-version"     // what ran before
	ParamArchive         = "archive"          // digest of the archive
	ParamSignedBy        = "signed-by"        // list of key ids, empty if unsigned
	ParamUnsigned        = "unsigned"         // true if nobody signed and the operator allowed it
	ParamTranscriptTotal = "transcript-total" // lines written so far, the dropped ones included
	ParamPhase           = "phase"            // refines the status
	ParamWaiting         = "waiting"          // one line: why nothing moves now
	ParamReason          = "reason"           // why the run failed, as one word
	ParamFailedMember    = "failed-member"    // id of the member that failed
	ParamStartedAt       = "started-at"       // RFC 3339
	ParamEndedAt         = "ended-at"         // RFC 3339
)

const profileText = `Written by the server while it upgrades itself; it cannot be edited.

* status: staging, staged, working, finished or failed
* final-state: one line, present once the upgrade has finished or failed
* transcript: what happened, one line each, the newest last
* working-node: API URL of the member being upgraded, or upgraded last
* working-state: one line about that member

An upgrade is started by POST /system/upgrade/run and removed by DELETE /system/upgrade/stage.`

// Profile returns the view of r that clients get, and false if there is
// nothing to see: no upgrade is staged, and clients are told 404.
//
// Params that have nothing to say are absent: final-state before the end,
// working-node and working-state before the first turn. Every text is one line.
// Equal runs give equal Profiles, so that a hash of the JSON can be an ETag.
func (r Run) Profile() (Profile, bool) {
	if r.Status == None {
		return Profile{}, false
	}
	transcript := make([]string, len(r.Log))
	for i, l := range r.Log {
		transcript[i] = l.String()
	}
	signed := make([]string, len(r.Archive.SignedBy))
	copy(signed, r.Archive.SignedBy)
	params := map[string]any{
		ParamStatus:          string(r.Status),
		ParamTranscript:      transcript,
		ParamTranscriptTotal: r.Lines,
		ParamSignedBy:        signed,
		ParamUnsigned:        r.Archive.Unsigned,
	}
	text := func(name, value string) {
		if value != "" {
			params[name] = oneLine(value)
		}
	}
	if r.Status == Finished || r.Status == Failed {
		text(ParamFinalState, r.finalState())
	}
	node, state := r.working()
	text(ParamWorkingNode, node)
	text(ParamWorkingState, state)
	text(ParamRun, r.ID)
	text(ParamVersion, r.Archive.Version)
	text(ParamFromVersion, r.From)
	text(ParamArchive, r.Archive.Digest)
	text(ParamPhase, r.Phase)
	text(ParamReason, r.Reason)
	text(ParamFailedMember, r.FailedMember)
	if r.Waiting != nil {
		text(ParamWaiting, r.Waiting.Message)
	}
	text(ParamStartedAt, stamp(r.Started))
	text(ParamEndedAt, stamp(r.Ended))
	return Profile{
		Available:     true,
		Description:   "Progress of the upgrade of this system",
		Documentation: profileText,
		Errors:        []string{},
		Meta:          map[string]string{"title": "System upgrade"},
		Name:          ProfileName,
		Params:        params,
		Profiles:      []string{},
		ReadOnly:      true,
		Validated:     true,
	}, true
}

// finalState never returns "": the key must be there at the end, also where
// whoever ended the run had nothing to add.
func (r Run) finalState() string {
	if r.FinalState != "" {
		return r.FinalState
	}
	var b strings.Builder
	b.WriteString(string(r.Status))
	for _, part := range []string{r.FailedMember, r.Reason} {
		if part != "" {
			fmt.Fprintf(&b, ": %s", part)
		}
	}
	return b.String()
}

// working returns the address and the state of the member in flight, else of
// the last one; twice "" before the first turn. Where several are in flight it
// is the one whose turn began first. A member whose address nobody knows is
// called by its id.
func (r Run) working() (node, state string) {
	if len(r.Turns) == 0 {
		node = r.LastAddr
		if node == "" {
			node = r.LastMember
		}
		return node, r.LastState
	}
	t := r.Turns[0]
	for _, other := range r.Turns[1:] {
		if other.Began.Before(t.Began) {
			t = other
		}
	}
	node = t.Addr
	if node == "" {
		node = t.Member
	}
	state = t.Member + " " + string(t.State)
	if t.Text != "" {
		state += ": " + t.Text
	}
	return node, state
}

// String returns l as one line: time, member, text.
func (l Line) String() string {
	if l.Member == "" {
		return stamp(l.At) + " " + oneLine(l.Text)
	}
	return stamp(l.At) + " " + oneLine(l.Member) + ": " + oneLine(l.Text)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
