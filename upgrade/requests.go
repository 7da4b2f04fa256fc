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
}

// UnstageOptions go with an unstage.
type UnstageOptions struct {
	By string
}
