package upgrade

import (
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// StatusSchema is the version of the Status document. Keys are added, never
// renamed or removed, within one.
const StatusSchema = "leaderlast.status/1"

// Status is what the API answers to "how far is it": the record, the members
// and what may be done next, as one document.
type Status struct {
	Schema     string        `json:"schema"`
	ObservedAt time.Time     `json:"observed_at"`
	ObservedBy string        `json:"observed_by"`
	Stale      bool          `json:"stale"`    // from this member's own copy; the cluster did not answer
	Revision   uint64        `json:"revision"` // of the record
	Product    string        `json:"product"`
	Status     string        `json:"status"` // none, staging, staged, working, finished, failed
	Phase      *string       `json:"phase"`
	FinalState *string       `json:"final_state"`
	Run        *StatusRun    `json:"run"`
	Leader     *StatusLeader `json:"leader"`
	Progress   Progress      `json:"progress"`

	Versions   map[string]int    `json:"versions"` // members by version
	Waiting    *tracking.Waiting `json:"waiting"`
	Members    []StatusMember    `json:"members"`
	Transcript StatusTranscript  `json:"transcript"`
	Actions    []string          `json:"actions"` // verbs that make sense now
	Unsigned   bool              `json:"unsigned_allowed"`
	Restart    *RestartReport    `json:"restart,omitempty"` // of the last restart of the member asked
}

// StatusRun is the run part of a Status.
type StatusRun struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind"` // upgrade
	Plan         string     `json:"plan"`
	From         string     `json:"from"`
	To           string     `json:"to"`
	Archive      string     `json:"archive_digest"`
	ArchiveSize  int64      `json:"archive_size"`
	SignedBy     []string   `json:"signed_by"`
	Unsigned     bool       `json:"unsigned"`
	Overrides    []string   `json:"overrides"`
	StartedBy    string     `json:"started_by"`
	StartedAt    *time.Time `json:"started_at"`
	FinishedAt   *time.Time `json:"finished_at"`
	Result       *string    `json:"result"` // finished, failed, cancelled
	Reason       *string    `json:"reason"`
	FailedMember *string    `json:"failed_member"`
}

// StatusLeader is who coordinates, and which takeover that is.
type StatusLeader struct {
	Member   string `json:"member"`
	Takeover uint64 `json:"takeover"`
}

// Progress counts members.
type Progress struct {
	Done    int `json:"done"`
	Skipped int `json:"skipped"`
	Total   int `json:"total"`
}

// StatusMember is one member in a Status.
type StatusMember struct {
	ID       string     `json:"id"`
	URL      string     `json:"url"`
	Role     string     `json:"role"` // leader, voter, non-voter, single
	Healthy  bool       `json:"healthy"`
	Version  string     `json:"version"`
	Program  string     `json:"digest"`
	State    string     `json:"state"` // a tracking.State
	Since    *time.Time `json:"since"`
	Until    *time.Time `json:"until"`
	Took     float64    `json:"took_seconds"` // of its turn, once done
	Away     float64    `json:"away_seconds"` // not reachable, once done
	Attempt  int        `json:"attempt"`
	Boot     string     `json:"boot"`
	NewBoot  bool       `json:"boot_new"` // another than when its turn began
	Reason   *string    `json:"reason"`
	Message  *string    `json:"message"`
	Previous *string    `json:"previous"` // version of the program that is kept
}

// StatusTranscript is the newest part of the transcript.
type StatusTranscript struct {
	Total int             `json:"total"` // lines ever written for this run
	Lines []tracking.Line `json:"lines"`
}

// RestartReport counts what the last restart did to clients.
type RestartReport struct {
	Waited  time.Duration `json:"waited_ns"` // for requests in flight
	Away    time.Duration `json:"away_ns"`   // from the last accept of the old process to Ready of the new
	Cut     int           `json:"cut"`       // connections closed with a request in flight
	Retired int           `json:"retired"`
}
