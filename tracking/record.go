package tracking

import "time"

// Keys of the record.
const (
	KeyPlan   = "plan"
	KeyRun    = "run"
	KeyMember = "member/" // followed by the id of the member
)

// Format is the layout of the record that this release writes. It also reads
// every older one. Values of a newer one are not touched.
const Format = 1

// A Status says how far an upgrade is, in the words that clients of the API
// know.
type Status string

// The life of an upgrade. Empty where nothing is staged.
const (
	None     Status = ""
	Staging  Status = "staging"
	Staged   Status = "staged"
	Working  Status = "working"
	Finished Status = "finished"
	Failed   Status = "failed"
)

// A Wish is what the operator wants of a working run.
type Wish string

// Wishes.
const (
	Go     Wish = ""
	Pause  Wish = "pause" // no member starts; what is in flight is completed
	Cancel Wish = "cancel"
)

// A State is where the turn of one member stands.
type State string

// The states of a turn, in their order; a turn that fails goes to TurnFailed
// from any of them.
const (
	Pending    State = "pending" // never stored: the member has no turn yet
	Granted    State = "granted"
	Claimed    State = "claimed"
	Prepared   State = "prepared"
	Restarting State = "restarting"
	Rejoining  State = "rejoining"
	Accepted   State = "accepted" // gate C held; the member writes its last word
	Done       State = "done"     // never stored in a turn: the last word of the member
	Skipped    State = "skipped"  // likewise
	TurnFailed State = "failed"
)

// What a run is for: its Kind.
const (
	KindUpgrade  = "upgrade"
	KindRollback = "rollback" // to the program that each member keeps from before
)

// A Run is the value of KeyRun: everything that decides what may happen next.
// Every step of a turn, whoever makes it, is a swap of it. Its size does not
// depend on the number of members.
type Run struct {
	Format   int    `json:"format"`
	Rev      uint64 `json:"rev"`      // grows by one with every swap, also across emptying
	Takeover uint64 `json:"takeover"` // grows whenever another process begins to coordinate
	Leader   string `json:"leader"`   // member that coordinates, "" if none did yet
	Boot     string `json:"boot"`     // boot id of the coordinating process

	ID          string    `json:"id"`
	Kind        string    `json:"kind,omitempty"` // KindUpgrade or KindRollback
	Status      Status    `json:"status"`
	Wish        Wish      `json:"wish,omitempty"`
	Phase       string    `json:"phase,omitempty"` // refines Status, where there is more to say
	Archive     Archive   `json:"archive"`
	By          string    `json:"by,omitempty"` // principal that staged or started
	From        string    `json:"from,omitempty"`
	CancelledBy string    `json:"cancelled_by,omitempty"`
	PausedBy    string    `json:"paused_by,omitempty"` // while Wish is Pause
	PausedAt    time.Time `json:"paused_at,omitzero"`
	RetryOf     string    `json:"retry_of,omitempty"` // id of the failed run that this one goes on with
	Origin      string    `json:"origin,omitempty"`   // id of the first of the runs that go on with one another; "" in that one

	// RollbackOf is the id of the run that a rollback undoes, of the first one if
	// that went on; "" if it is not known. Archive then has a Product and a Version
	// alone, the one to go back to as the member knows that began the run, and From
	// is the version that is undone.
	RollbackOf string `json:"rollback_of,omitempty"`

	// What was decided at the start; whoever leads then freezes it, with the
	// members of that moment, as the Plan.
	Plan      string   `json:"plan,omitempty"` // its id
	Rules     Rules    `json:"rules,omitzero"`
	Forgotten []string `json:"forgotten,omitempty"`

	Staged  time.Time `json:"staged_at,omitzero"`
	Started time.Time `json:"started_at,omitzero"`
	Ended   time.Time `json:"ended_at,omitzero"`

	// Members that came or went since the plan was frozen.
	Joined []string `json:"joined,omitempty"`
	Left   []string `json:"left,omitempty"`

	Turns   []Turn   `json:"turns,omitempty"`
	Waiting *Waiting `json:"waiting,omitempty"`

	FinalState   string   `json:"final_state,omitempty"`
	Reason       string   `json:"reason,omitempty"`        // why it failed, CamelCase
	FailedMember string   `json:"failed_member,omitempty"` // whose turn failed
	LastMember   string   `json:"last_member,omitempty"`   // the member worked on last
	LastAddr     string   `json:"last_addr,omitempty"`     // its API URL
	LastState    string   `json:"last_state,omitempty"`    // one line
	Overrides    []string `json:"overrides,omitempty"`     // ids of checks that were skipped

	Removed time.Time `json:"removed_at,omitzero"` // when the run became a tombstone

	// The way back was given up, by whom: no member keeps the program from before.
	Committed   time.Time `json:"committed_at,omitzero"`
	CommittedBy string    `json:"committed_by,omitempty"`

	Lines int    `json:"lines"` // transcript lines ever written for this run
	Log   []Line `json:"log,omitempty"`

	Extra Extra `json:"-"` // fields of newer releases, kept
}

// Archive says what is installed.
type Archive struct {
	Digest   string   `json:"digest"` // of the archive
	Sums     string   `json:"sums"`   // of sha256sums
	Size     int64    `json:"size"`   // bytes
	Product  string   `json:"product"`
	Version  string   `json:"version"`
	Counter  uint64   `json:"counter"`
	SignedBy []string `json:"signed_by,omitempty"`
	Unsigned bool     `json:"unsigned,omitempty"`

	Extra Extra `json:"-"`
}

// Chain is the id by which the runs that go on with one another are known: that
// of the first of them.
func (r Run) Chain() string {
	if r.Origin != "" {
		return r.Origin
	}
	return r.ID
}

// A Turn is the part of one member in a run, while it is in flight.
type Turn struct {
	Member  string        `json:"member"`
	Addr    string        `json:"addr,omitempty"`
	Attempt int           `json:"attempt"`
	State   State         `json:"state"`
	Since   time.Time     `json:"since"`            // for display
	Began   time.Time     `json:"began"`            // of the turn, for display
	Budget  time.Duration `json:"budget"`           // left, at the last rewrite
	OldBoot string        `json:"old_boot"`         // of the process that claimed
	NewBoot string        `json:"new_boot"`         // of the process that rejoined
	Asked   string        `json:"asked,omitempty"`  // nonce of the restart question
	Answer  string        `json:"answer,omitempty"` // the nonce that was granted
	Digest  string        `json:"digest"`           // the program the member must run
	From    string        `json:"from"`             // version before

	// Leadership that stands in the way of the restart.
	To        string `json:"to,omitempty"`        // member that it is being handed to
	Handovers int    `json:"handovers,omitempty"` // how often that was tried

	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"` // one line for the operator

	Extra Extra `json:"-"`
}

// Waiting says why nothing moves.
type Waiting struct {
	Gate    string    `json:"gate,omitempty"` // A, B or C
	Reason  string    `json:"reason"`
	Member  string    `json:"member,omitempty"`
	Because []string  `json:"because_of,omitempty"`
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"`
	Owner   string    `json:"until_owner,omitempty"`
	Do      string    `json:"do,omitempty"`

	Extra Extra `json:"-"`
}

// A Line is one line of the transcript, written in the swap that it reports.
type Line struct {
	Seq    int       `json:"seq"` // from 1, in its run
	At     time.Time `json:"at"`
	Member string    `json:"member,omitempty"`
	Type   string    `json:"type"` // member.prepared, run.started, ...
	Text   string    `json:"text"`

	Extra Extra `json:"-"`
}

// A Plan is the value of KeyPlan, frozen when the run starts, before the first
// turn.
type Plan struct {
	Format  int      `json:"format"`
	Run     string   `json:"run"`
	ID      string   `json:"id"` // hash over archive, members and policy
	Members []string `json:"members"`
	Rules   Rules    `json:"rules"`

	// Forgotten are members that are gone for good, by the word of an operator:
	// nobody waits for them, and they get no turn.
	Forgotten []string `json:"forgotten,omitempty"`

	Extra Extra `json:"-"` // fields of newer releases, kept
}

// Rules are the policy of a run. They are copied into the plan, so that a
// coordinator of another release keeps to them.
type Rules struct {
	MaxUnavailable int           `json:"max_unavailable"`
	MemberTimeout  time.Duration `json:"member_timeout"`
	RestartLease   time.Duration `json:"restart_lease"`
	MinHealthy     time.Duration `json:"min_healthy"`

	// AllowOutage lets a member restart although no quorum is left without it:
	// nobody can write until it is back.
	AllowOutage bool `json:"allow_outage,omitempty"`

	Extra Extra `json:"-"`
}

// A Report is the value of KeyMember + id: what that member says of itself,
// written by it alone. Nothing in it permits anything.
type Report struct {
	Format   int       `json:"format"`
	Member   string    `json:"member"`
	Addr     string    `json:"addr,omitempty"`
	Boot     string    `json:"boot"`
	Version  string    `json:"version"`
	Program  string    `json:"program"` // digest of what runs
	Platform string    `json:"platform"`
	Formats  []int     `json:"formats"`             // record formats it reads
	Writes   int       `json:"writes,omitempty"`    // the one it writes
	Previous string    `json:"previous,omitempty"`  // version of the program that is kept beside it
	Holds    string    `json:"holds,omitempty"`     // sums of the release that is held and was verified there
	HoldsFor string    `json:"holds_for,omitempty"` // id of the run that Holds was said in
	Lacks    *Lack     `json:"lacks,omitempty"`     // what keeps it from holding the release
	Checked  *Checked  `json:"checked,omitempty"`
	Rejoin   *Rejoin   `json:"rejoin,omitempty"`
	Last     *LastWord `json:"last,omitempty"`
	At       time.Time `json:"at"`

	Extra Extra `json:"-"` // fields of newer releases, kept
}

// A Lack is why a member does not hold the release of a run.
type Lack struct {
	Run    string `json:"run"`
	Reason string `json:"reason"` // CamelCase
	Text   string `json:"text"`

	// Refused says that the member will not take it: trying again mends nothing.
	// Otherwise it goes on trying.
	Refused bool `json:"refused,omitempty"`
}

// Checked is what a member found before anybody was touched: its prerequisites,
// and how the new program answered a probe.
type Checked struct {
	Run    string `json:"run"`
	Target string `json:"target"` // digest of the program this member must run

	Version string `json:"version,omitempty"` // of that program, if it is not that of the archive

	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`  // what is wrong; "" if nothing
	Check  string `json:"check,omitempty"` // that fails, by its id, if it is but one
}

// Rejoin is the evidence of a member that came back: that the process Boot runs
// Program, has applied everything that was committed when it came back, and
// serves. Trouble says what is missing.
type Rejoin struct {
	Run     string `json:"run"`
	Attempt int    `json:"attempt"`
	Boot    string `json:"boot"`
	Program string `json:"program"`
	Reason  string `json:"reason,omitempty"`
	Trouble string `json:"trouble,omitempty"` // "" while all is well
}

// A LastWord is how the turn of a member ended, in its own words.
type LastWord struct {
	Run     string        `json:"run"`
	Attempt int           `json:"attempt"`
	State   State         `json:"state"` // Done, Skipped or TurnFailed
	Version string        `json:"version"`
	Program string        `json:"program"`
	Reason  string        `json:"reason,omitempty"`
	Text    string        `json:"text,omitempty"`
	Took    time.Duration `json:"took"`
	Away    time.Duration `json:"away"` // not reachable

	Extra Extra `json:"-"`
}
