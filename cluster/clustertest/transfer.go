package clustertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
)

// other returns a handle that is not h, and h where there is none.
func (g group) other(h cluster.Membership) cluster.Membership {
	for _, o := range g.handles {
		if o.Self() != h.Self() {
			return o
		}
	}
	return h
}

// leads returns nil as long as id leads in every view for g.quiet.
func (g group) leads(ctx context.Context, id cluster.MemberID) error {
	end := time.After(g.quiet)
	tick := time.NewTicker(g.quiet / 20)
	defer tick.Stop()
	for {
		all, err := g.views(ctx)
		if err != nil {
			return err
		}
		for _, v := range all {
			if now := v.leader(); now != id {
				return fmt.Errorf("%s led, and now %s sees leader %q", id, v.of.Self(), now)
			}
		}
		select {
		case <-tick.C:
		case <-end:
			return nil
		}
	}
}

func transferElsewhere(ctx context.Context, g group) error {
	leader, err := g.agreed(ctx)
	if err != nil {
		return nil // that there is one is another clause's
	}
	for _, h := range g.handles {
		if h.Self() == leader.Self() {
			continue
		}
		for _, to := range g.handles {
			if err := h.TransferLeadership(ctx, to.Self()); err != nil {
				return fmt.Errorf("TransferLeadership of %s, which does not lead: %w", h.Self(), err)
			}
		}
	}
	return g.leads(ctx, leader.Self())
}

func transfer(ctx context.Context, g group) error {
	leader, err := g.agreed(ctx)
	if err != nil || len(g.handles) == 1 {
		return nil // another clause's
	}
	err = leader.TransferLeadership(ctx, g.other(leader).Self())
	if errors.Is(err, errors.ErrUnsupported) {
		if err := g.leads(ctx, leader.Self()); err != nil {
			return fmt.Errorf("after errors.ErrUnsupported: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("TransferLeadership of %s: %w", leader.Self(), err)
	}
	// Its own view comes first: nil is returned once it does not lead.
	members, err := leader.Members(ctx)
	if err != nil {
		return err
	}
	if now := (view{leader, members}).leader(); now == leader.Self() {
		return fmt.Errorf("TransferLeadership of %s returned nil, and it still leads", now)
	}
	return g.until(ctx, func(all []view) error {
		for _, v := range all {
			if now := v.leader(); now == "" || now == leader.Self() {
				return fmt.Errorf("%s let go, and %s sees leader %q", leader.Self(), v.of.Self(), now)
			}
		}
		return nil
	})
}

func transferLasts(ctx context.Context, g group) error {
	old, err := g.agreed(ctx)
	if err != nil || len(g.handles) == 1 || old.TransferLeadership(ctx, g.other(old).Self()) != nil {
		return nil // another clause's
	}
	if now, err := g.agreed(ctx); err != nil || now.Self() == old.Self() {
		return nil // likewise
	}
	end := time.After(g.quiet)
	tick := time.NewTicker(g.quiet / 20)
	defer tick.Stop()
	for {
		members, err := old.Members(ctx)
		if err != nil {
			return err
		}
		if (view{old, members}).leader() == old.Self() {
			return fmt.Errorf("%s let go and leads again", old.Self())
		}
		select {
		case <-tick.C:
		case <-end:
			return nil
		}
	}
}

// transferToItself also looks whether the answer is true, by a transfer in
// earnest.
func transferToItself(ctx context.Context, g group) error {
	leader, err := g.agreed(ctx)
	if err != nil || len(g.handles) == 1 {
		return nil // another clause's
	}
	could := leader.TransferLeadership(ctx, leader.Self())
	if could != nil && !errors.Is(could, errors.ErrUnsupported) {
		return fmt.Errorf("TransferLeadership of %s to itself: %w", leader.Self(), could)
	}
	if err := g.leads(ctx, leader.Self()); err != nil {
		return fmt.Errorf("after a transfer to itself, which returned %v: %w", could, err)
	}
	err = leader.TransferLeadership(ctx, g.other(leader).Self())
	if can := !errors.Is(err, errors.ErrUnsupported); (err == nil || !can) && can != (could == nil) {
		return fmt.Errorf("TransferLeadership of %s to itself = %v, and to another member = %v", leader.Self(), could, err)
	}
	return nil
}

func nobodyElse(ctx context.Context, g group) error {
	if len(g.handles) > 1 {
		return nil
	}
	only, err := g.agreed(ctx)
	if err != nil {
		return nil // that there is one is another clause's
	}
	if err := only.TransferLeadership(ctx, only.Self()); !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("TransferLeadership of the only member = %v, want errors.ErrUnsupported", err)
	}
	return nil
}

// errCause stands for why a context is done.
var errCause = errors.New("the caller has changed its mind")

func cancelled(ctx context.Context, g group) error {
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(errCause)
	for _, h := range g.handles {
		for call, f := range map[string]func() error{
			"Members":            func() error { _, err := h.Members(ctx); return err },
			"Sync":               func() error { return h.Sync(ctx) },
			"TransferLeadership": func() error { return h.TransferLeadership(ctx, g.other(h).Self()) },
		} {
			if err := g.bounded(f); !errors.Is(err, errCause) {
				return fmt.Errorf("%s of %s with a context that is done = %w, want its cause", call, h.Self(), err)
			}
		}
	}
	return nil
}

func transferCancelled(ctx context.Context, g group) error {
	leader, err := g.agreed(ctx)
	if err != nil {
		return nil // that there is one is another clause's
	}
	gone, cancel := context.WithCancelCause(ctx)
	cancel(errCause)
	_ = leader.TransferLeadership(gone, g.other(leader).Self()) // what it returns is another clause's
	return g.leads(ctx, leader.Self())
}
