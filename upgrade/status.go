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
	Phase      *string       `json:"phase"`  // replicating, paused, handing-off, cancelling; null if there is no more to say
	FinalState *string       `json:"final_state"`
	Run        *StatusRun    `json:"run"`
	Leader     *StatusLeader `json:"leader"`
	Progress   Progress      `json:"progress"`

	Versions   map[string]int    `json:"versions"` // members by version
	Waiting    *tracking.Waiting `json:"waiting"`
	Paused     *StatusPaused     `json:"paused"`
	Members    []StatusMember    `json:"members"`
	Transcript StatusTranscript  `json:"transcript"`
	Actions    []string          `json:"actions"` // verbs that make sense now
	Unsigned   bool              `json:"unsigned_allowed"`
	Restart    *RestartReport    `json:"restart,omitempty"` // of the last restart of the member asked
}

// StatusRun is the run part of a Status.
type StatusRun struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind"` // upgrade, rollback
	Plan         string     `json:"plan"`
	From         string     `json:"from"`
	To           string     `json:"to"`
	Archive      string     `json:"archive_digest"`
	ArchiveSize  int64      `json:"archive_size"`
	SignedBy     []string   `json:"signed_by"`
	Unsigned     bool       `json:"unsigned"`
	Overrides    []string   `json:"overrides"`
	AllowOutage  bool       `json:"allow_outage"` // nobody can write while a member restarts, and somebody agreed
	Forgotten    []string   `json:"forgotten"`    // members that are not waited for
	RetryOf      *string    `json:"retry_of"`     // failed run that this one goes on with
	RollbackOf   *string    `json:"rollback_of"`  // run that this one undoes
	StartedBy    string     `json:"started_by"`
	StartedAt    *time.Time `json:"started_at"`
	FinishedAt   *time.Time `json:"finished_at"`
	Result       *string    `json:"result"` // finished, failed, cancelled
	Reason       *string    `json:"reason"`
	FailedMember *string    `json:"failed_member"`
	FailedCheck  *string    `json:"failed_check,omitempty"` // that it failed, by its id, if it was that alone
	CommittedAt  *time.Time `json:"committed_at"`           // when the way back was given up
	CommittedBy  string     `json:"committed_by"`
}

// StatusPaused is whose pause it is.
type StatusPaused struct {
	By    string    `json:"by"`
	Since time.Time `json:"since"`
}

// StatusLeader is who coordinates, and which takeover that is.
type StatusLeader struct {
	Member   string `json:"member"`
	Takeover uint64 `json:"takeover"`
}

// Progress counts the members of a run. Those that ran the target before they had
// a turn, and those that are forgotten, are skipped.
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
	Ill      *time.Time `json:"unhealthy_since"` // as far as the record says; null if it does not
	Version  string     `json:"version"`         // "" if it has not said yet
	Holds    bool       `json:"holds"`           // what is staged, and has verified it by itself
	Program  string     `json:"digest"`
	State    string     `json:"state"` // a tracking.State
	Since    *time.Time `json:"since"`
	Until    *time.Time `json:"until"`
	Took     float64    `json:"took_seconds"` // of its turn, once done
	Away     float64    `json:"away_seconds"` // not reachable, once done
	Attempt  int        `json:"attempt"`
	Boot     string     `json:"boot"`
	NewBoot  bool       `json:"boot_new"` // another than when its turn began
	Reason   *string    `json:"reason"`   // why it is in this state, or what it waits for
	Message  *string    `json:"message"`  // the same as a sentence
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
