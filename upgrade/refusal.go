package upgrade

import (
	"fmt"
	"time"
)

// A Kind says what sort of "no" a Refusal is. Each has one status in the HTTP
// API and one exit code in the commands.
type Kind string

// Kinds.
const (
	Invalid     Kind = "Invalid"     // the archive or request is not acceptable
	Short       Kind = "Short"       // the body ended early
	Untrusted   Kind = "Untrusted"   // not signed by a key that is trusted here
	Forbidden   Kind = "Forbidden"   // the caller may not
	NotFound    Kind = "NotFound"    // nothing staged, no such run
	Conflict    Kind = "Conflict"    // not in this state
	NotReady    Kind = "NotReady"    // a prerequisite or gate says no
	TooLarge    Kind = "TooLarge"    // more bytes than allowed
	NoSpace     Kind = "NoSpace"     // the disk is full
	Busy        Kind = "Busy"        // somebody else is at it; try again
	Unavailable Kind = "Unavailable" // the record or a member cannot be reached
	Unsupported Kind = "Unsupported" // not on this server, ever
)

// A Refusal is a "no" with a name. Nothing was changed by the call that
// returned it, unless Message says so.
type Refusal struct {
	Kind    Kind
	Reason  string // CamelCase, for programs; never renamed
	Message string // what happened and where, one sentence
	Remedy  string // what to do next, one sentence or a command; may be empty
	Member  string // that it is about, if one
	Gate    string // "A", "B" or "C" if a gate refused
	Until   time.Time
	Checks  []Check // that failed, if prerequisites did
	Err     error   // cause, if any; Message does not repeat it
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("%s: %s: %v", r.Reason, r.Message, r.Err)
	}
	return r.Reason + ": " + r.Message
}

func (r *Refusal) Unwrap() error { return r.Err }

// onlyCheck is the id of the check that failed; "" if none did, or several.
func (r *Refusal) onlyCheck() string {
	if len(r.Checks) != 1 {
		return ""
	}
	return r.Checks[0].ID
}
