package clustertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
)

// TestMembership tests what cluster.Membership says. It calls newCluster once
// per clause for the handles of all members of a running cluster, in any order:
// three of them to test an implementation fully, or one for a server alone.
// newCluster cleans up with t.Cleanup.
//
// A cluster is given 30 seconds to find a leader and to become healthy.
func TestMembership(t *testing.T, newCluster func(t *testing.T) []cluster.Membership) {
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) {
			handles := newCluster(t)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if err := c.check(ctx, group{handles: handles, patience: 30 * time.Second, quiet: 300 * time.Millisecond}); err != nil {
				t.Errorf("%v\nThe contract: %s", err, c.says)
			}
		})
	}
}

// A clause is one promise of the contract. It is a function of handles, not of
// a testing.T, so that it can be tried on clusters that break it.
type clause struct {
	name, says string
	check      func(context.Context, group) error
}

// A group is what a clause works with.
type group struct {
	handles  []cluster.Membership
	patience time.Duration // for what must come about
	quiet    time.Duration // for what must not
}

// A view is what one member sees.
type view struct {
	of      cluster.Membership
	members []cluster.Member
}

// leader returns the ID of the member that leads in v, "" if none does.
func (v view) leader() cluster.MemberID {
	for _, m := range v.members {
		if m.Leader {
			return m.ID
		}
	}
	return ""
}

// views asks every handle once.
func (g group) views(ctx context.Context) ([]view, error) {
	var all []view
	for _, h := range g.handles {
		members, err := h.Members(ctx)
		if err != nil {
			return nil, fmt.Errorf("Members of %s: %w", h.Self(), err)
		}
		all = append(all, view{h, members})
	}
	return all, nil
}

// until asks again and again until ok returns nil for the views, and otherwise
// reports its last word. Membership has nothing to wait on, and members may
// need time to hear of a change.
func (g group) until(ctx context.Context, ok func([]view) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.patience, errPatience)
	defer cancel()
	tick := time.NewTicker(g.patience / 1000)
	defer tick.Stop()
	for {
		all, err := g.views(ctx)
		if err == nil {
			err = ok(all)
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("after %v still: %w", g.patience, err)
		}
	}
}

var errPatience = errors.New("it takes too long")

// agreed returns the ID of the leader once every handle sees the same one, and
// its handle.
func (g group) agreed(ctx context.Context) (leader cluster.Membership, err error) {
	err = g.until(ctx, func(all []view) error {
		id := all[0].leader()
		for _, v := range all {
			switch got := v.leader(); {
			case got == "":
				return fmt.Errorf("%s sees no leader", v.of.Self())
			case got != id:
				return fmt.Errorf("%s sees leader %s, %s sees %s", all[0].of.Self(), id, v.of.Self(), got)
			}
			if v.of.Self() == id {
				leader = v.of
			}
		}
		if leader == nil || leader.Self() != id {
			return fmt.Errorf("the leader %s is none of the members under test", id)
		}
		return nil
	})
	return leader, err
}

// bounded calls f, and gives up on it after g.patience.
func (g group) bounded(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(g.patience):
		return errors.New("the call does not return")
	}
}
