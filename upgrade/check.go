package upgrade

import (
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

// Severity of a Check.
type Severity string

// Severities.
const (
	Blocker Severity = "blocker" // fails: the upgrade is refused
	Warning Severity = "warning" // fails: it is said
)

// Result of a Check.
type Result string

// Results.
const (
	Pass    Result = "pass"
	Fail    Result = "fail"
	NotRun  Result = "not-run" // could not be judged here, Seen says why
	Skipped Result = "skipped" // would fail; somebody chose to go on without it
)

// A Check is one prerequisite, judged on one member.
type Check struct {
	ID        string    `json:"id"` // kebab-case; never renamed
	Member    string    `json:"member"`
	Severity  Severity  `json:"severity"`
	Result    Result    `json:"result"`
	Title     string    `json:"title"` // what is wrong (or right), one sentence
	Seen      string    `json:"seen,omitempty"`
	Why       string    `json:"why,omitempty"`
	Fix       Fix       `json:"fix,omitzero"` // never empty for a check that failed
	Skippable bool      `json:"skippable"`
	At        time.Time `json:"at"`
}

// A Fix is what the operator can do about a failed Check.
type Fix struct {
	Text    string `json:"text,omitempty"`
	Command string `json:"command,omitempty"` // ready to paste
	Where   string `json:"where,omitempty"`   // member to run it on
}

// CheckOptions say what to check against.
type CheckOptions struct {
	Head *archive.Head // of an archive that is not here yet; what is staged if nil
	Skip []string      // ids of checks to go on without; only skippable ones

	AllowOutage bool // as in StartOptions
}

// A CheckReport is the result of all checks on all members.
type CheckReport struct {
	Ready    bool             `json:"ready"`
	Product  string           `json:"product"`
	Version  string           `json:"version"` // that runs on the member asked
	Program  string           `json:"program"` // base name
	Platform archive.Platform `json:"platform"`
	Archive  *archive.Release `json:"archive,omitempty"` // nil if there was none to check
	Members  []MemberBrief    `json:"members"`
	Checks   []Check          `json:"checks"`
}

// A MemberBrief is one line of a table of members.
type MemberBrief struct {
	ID      string `json:"id"`
	Role    string `json:"role"` // leader, voter, non-voter, single
	Version string `json:"version"`
	Healthy bool   `json:"healthy"`
}

// A PlanReport says what a run would do.
type PlanReport struct {
	ID       string           `json:"id"` // hash over archive, members and policy
	Product  string           `json:"product"`
	From     string           `json:"from"`
	To       string           `json:"to"`
	Voters   int              `json:"voters"`
	Quorum   int              `json:"quorum"`
	Steps    []PlanStep       `json:"steps"`
	Limits   PlanLimits       `json:"limits"`
	Cost     []string         `json:"cost"` // a sentence each
	WayBack  string           `json:"way_back"`
	Ready    bool             `json:"ready"`
	Archive  *archive.Release `json:"archive,omitempty"`
	Problems []Check          `json:"problems,omitempty"` // checks that failed
}

// A PlanStep is the turn of one member.
type PlanStep struct {
	Member  string        `json:"member"`
	Addr    string        `json:"addr"`
	From    string        `json:"from"`
	To      string        `json:"to"`
	Now     string        `json:"digest_now"`
	Then    string        `json:"digest_then"`
	Because string        `json:"because"`
	Last    time.Duration `json:"last_time_ns"` // of its last turn, 0 if unknown
}

// PlanLimits are the limits of a run.
type PlanLimits struct {
	Member     time.Duration `json:"member_ns"`
	MinHealthy time.Duration `json:"min_healthy_ns"`
}
