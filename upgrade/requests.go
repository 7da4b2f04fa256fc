package upgrade

import "github.com/leaderlast/leaderlast/archive"

// StageOptions go with an upload.
type StageOptions struct {
	By     string         // who asks, for the record
	Size   int64          // bytes announced, -1 if unknown
	Digest archive.Digest // announced; "" if not
}

// Staged describes what lies staged now.
type Staged struct {
	Run     string
	Release archive.Release
	Already bool // it was staged before; nothing was read into the store
}

// StartOptions go with a start.
type StartOptions struct {
	By   string
	Plan string   // id of the plan to insist on; any if ""
	Skip []string // ids of checks to go on without

	// AllowOutage starts the run even where a member cannot be spared, as in a
	// cluster of two voters: nobody can write while one of them restarts.
	AllowOutage bool
}

// RetryOptions go with a retry.
type RetryOptions struct {
	By   string
	Skip []string // ids of checks to go on without

	// Forget names members that are gone for good: nobody waits for them.
	Forget      []string
	AllowOutage bool
}

// PauseOptions go with a pause and with a resume.
type PauseOptions struct {
	By string
}

// UnstageOptions go with an unstage.
type UnstageOptions struct {
	By string
}

// RollbackOptions go with a rollback.
type RollbackOptions struct {
	By   string
	Skip []string // ids of checks to go on without

	// Forget names members that are gone for good: nobody waits for them.
	Forget      []string
	AllowOutage bool
}

// CommitOptions go with a commit.
type CommitOptions struct {
	By string
}
