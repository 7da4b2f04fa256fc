package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// A PeerReport is what a member says of itself when another asks. It is asked
// for also while nothing is staged, and nothing is written for it.
type PeerReport struct {
	Member   string    `json:"member"`
	Boot     string    `json:"boot"`
	Version  string    `json:"version"`
	Program  string    `json:"program,omitempty"` // digest of what runs
	Platform string    `json:"platform"`
	Previous string    `json:"previous,omitempty"` // version of the program that is kept beside it
	Reads    []int     `json:"reads"`              // record formats
	Writes   int       `json:"writes"`             // record format
	Ready    bool      `json:"ready"`              // as the host says
	Trouble  string    `json:"trouble,omitempty"`  // why it is not ready
	Leader   string    `json:"leader,omitempty"`   // if it was seen a moment ago
	At       time.Time `json:"at"`
}

// PeerReport says what this member is and whether it is ready. The host's Ready
// hook is given less than a second, and its answer is used for a moment: asking
// often costs little.
func (o *Orchestrator) PeerReport(ctx context.Context) (PeerReport, error) {
	s := o.c.Started
	r := PeerReport{
		Member: o.self, Boot: s.BootID, Version: s.Identity.Version, Platform: s.Platform().String(), Previous: o.previousVersion(),
		Reads: []int{tracking.Format}, Writes: tracking.Format,
	}
	if s.Program.Path != "" {
		program, err := s.Program.Digest(ctx)
		if err != nil {
			return r, unavailable(err)
		}
		r.Program = string(program)
	}
	switch err := o.ready(ctx); {
	case ctx.Err() != nil:
		return r, unavailable(context.Cause(ctx))
	case err != nil:
		r.Trouble = err.Error()
	default:
		r.Ready = true
	}
	o.remember(func(m *memory) {
		if time.Since(m.leader.at) < leaderFresh {
			r.Leader = m.leader.id
		}
	})
	r.At = time.Now().UTC()
	return r, nil
}

// PeerLook makes this member look at the record again, and that is all: it tells
// nothing and permits nothing.
func (o *Orchestrator) PeerLook(context.Context) error {
	o.wake()
	return nil
}

// A leader is who led when this member last looked.
type leader struct {
	id string
	at time.Time
}

// leaderFresh is for how long that is told. Members are not asked because this
// one was asked: where they ask each other who leads, that would not end.
const leaderFresh = 2 * time.Second

func (v view) seen() leader {
	i := slices.IndexFunc(v.members, func(m cluster.Member) bool { return m.Leader })
	if i < 0 {
		return leader{}
	}
	return leader{string(v.members[i].ID), time.Now()}
}

const (
	readyTime  = 700 * time.Millisecond // for the Ready hook: the asker has a second
	readyReuse = 500 * time.Millisecond // of its answer
)

// readiness is what the Ready hook said last.
type readiness struct {
	err     error
	at      time.Time     // when it said so; zero if never
	pending chan hookSaid // of a call that has not returned, nil if there is none
}

type hookSaid struct {
	err error
	at  time.Time
}

// ready asks the host whether this program serves. One call of the hook is under
// way at a time, also where it does not heed its context.
func (o *Orchestrator) ready(ctx context.Context) error {
	if err := o.takesPart(); err != nil || o.c.Ready == nil {
		return err
	}
	var r *readiness
	select {
	case r = <-o.hook:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { o.hook <- r }()
	if !r.at.IsZero() && time.Since(r.at) < readyReuse {
		return r.err
	}
	limit := time.NewTimer(readyTime)
	defer limit.Stop()
	for {
		if r.pending == nil {
			r.pending = o.askHook(ctx)
		}
		select {
		case said := <-r.pending:
			r.pending = nil
			if time.Since(said.at) >= readyReuse {
				continue // it came when nobody waited for it any more
			}
			r.err, r.at = said.err, said.at
		case <-limit.C:
			r.err, r.at = fmt.Errorf("its readiness check has not answered within %v", readyTime), time.Now()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return r.err
	}
}

// askHook calls the Ready hook. It outlives the request that it was for: others
// use the answer too.
func (o *Orchestrator) askHook(ctx context.Context) chan hookSaid {
	said := make(chan hookSaid, 1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
	go func() {
		defer cancel()
		err := o.c.Ready(ctx)
		said <- hookSaid{err, time.Now()}
	}()
	return said
}

// takesPart is an error unless Run takes this member's part.
func (o *Orchestrator) takesPart() error {
	select {
	case <-o.ended:
		return errors.New("takes no part in upgrades any more")
	default:
	}
	select {
	case <-o.begun:
		return nil
	default:
		return errors.New("takes no part in upgrades yet")
	}
}

// unwell says why a member is not ready.
func (r PeerReport) unwell() error {
	if r.Ready {
		return nil
	}
	return fmt.Errorf("%s is not ready: %s", r.Member, cmp.Or(r.Trouble, "it does not say why"))
}
