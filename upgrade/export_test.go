package upgrade

import (
	"context"

	"github.com/leaderlast/leaderlast/tracking"
)

// StartedAt is what Boot returns in a process whose program is at path, for
// tests that have several servers in one process.
func StartedAt(id Identity, boot, path string) (*Started, error) {
	p, err := ProgramAt(path)
	if err != nil {
		return nil, err
	}
	s := newStarted(id)
	s.BootID = boot
	return s, s.bootAs(p)
}

// Pull fetches the archive of r from other members, and does nothing else.
func (o *Orchestrator) Pull(ctx context.Context, r tracking.Run) error {
	return o.pull(ctx, r, func(reason, text string) {})
}

// Begun is closed once Run has begun.
func (o *Orchestrator) Begun() <-chan struct{} { return o.begun }
