package clustertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
)

func clauses() []clause {
	return []clause{
		{"self", "Self returns the ID of the local member, which never changes and is no other's.", self},
		{"all listed", "Members returns every member, the local one included, once.", allListed},
		{"sorted", "Members are sorted by ID.", sorted},
		{"one leader", "A view never has two leaders.", oneLeader},
		{"a leader", "A running cluster has a leader, and all members come to see it.", aLeader},
		{"healthy", "Members that answer are seen as healthy.", healthy},
		{"own slice", "The caller owns the slice that Members returns.", ownSlice},
		{"sync", "Sync returns nil on every member of a cluster that is well.", syncs},
		{"transfer elsewhere", "On a member that does not lead TransferLeadership does nothing.", transferElsewhere},
		{"transfer", "After nil the member does not lead, and another one comes to; errors.ErrUnsupported leaves it leading.", transfer},
		{"transfer is lasting", "Whoever let go does not take leadership back by itself while another healthy member may have it.", transferLasts},
		{"transfer to itself", "A transfer to the local member itself changes nothing: nil, or errors.ErrUnsupported if it never can let go.", transferToItself},
		{"nobody else", "Where there is nobody to let go to, the error wraps errors.ErrUnsupported.", nobodyElse},
		{"cancelled", "Every call returns promptly once ctx is done; the error wraps its cause.", cancelled},
		{"transfer cancelled", "A transfer whose ctx was done before it began moves nothing.", transferCancelled},
		{"concurrent", "Calls may be made concurrently.", concurrent},
	}
}

func self(ctx context.Context, g group) error {
	seen := map[cluster.MemberID]bool{}
	for _, h := range g.handles {
		id := h.Self()
		if id == "" || seen[id] {
			return fmt.Errorf("Self = %q, which is empty or another member's too", id)
		}
		seen[id] = true
	}
	for range 3 {
		for _, h := range g.handles {
			if id := h.Self(); !seen[id] {
				return fmt.Errorf("Self = %q, which it was not before", id)
			}
			if _, err := h.Members(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func allListed(ctx context.Context, g group) error {
	return g.until(ctx, func(all []view) error {
		for _, v := range all {
			count := map[cluster.MemberID]int{}
			for _, m := range v.members {
				count[m.ID]++
			}
			for _, h := range g.handles {
				if n := count[h.Self()]; n != 1 {
					return fmt.Errorf("%s lists %s %d times", v.of.Self(), h.Self(), n)
				}
			}
			if len(v.members) != len(g.handles) {
				return fmt.Errorf("%s lists %d members, there are %d", v.of.Self(), len(v.members), len(g.handles))
			}
		}
		return nil
	})
}

func sorted(ctx context.Context, g group) error {
	all, err := g.views(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		if !slices.IsSortedFunc(v.members, func(a, b cluster.Member) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
			return fmt.Errorf("%s lists %v", v.of.Self(), ids(v.members))
		}
	}
	return nil
}

func ids(members []cluster.Member) []cluster.MemberID {
	var all []cluster.MemberID
	for _, m := range members {
		all = append(all, m.ID)
	}
	return all
}

// twoLeaders returns an error if a view has more than one.
func twoLeaders(all []view) error {
	for _, v := range all {
		leaders := slices.DeleteFunc(slices.Clone(v.members), func(m cluster.Member) bool { return !m.Leader })
		if len(leaders) > 1 {
			return fmt.Errorf("in the view of %s all of %v lead", v.of.Self(), ids(leaders))
		}
	}
	return nil
}

// oneLeader looks all through a transfer.
func oneLeader(ctx context.Context, g group) error {
	leader, err := g.agreed(ctx)
	if err != nil {
		return nil // that there is one is another clause's
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = leader.TransferLeadership(ctx, g.other(leader).Self()) // what it returns is another clause's
	}()
	defer func() { <-done }()
	end := time.After(g.quiet)
	tick := time.NewTicker(g.quiet / 100)
	defer tick.Stop()
	for {
		all, err := g.views(ctx)
		if err != nil {
			return err
		}
		if err := twoLeaders(all); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-end:
			return nil
		}
	}
}

func aLeader(ctx context.Context, g group) error {
	_, err := g.agreed(ctx)
	return err
}

func healthy(ctx context.Context, g group) error {
	return g.until(ctx, func(all []view) error {
		for _, v := range all {
			voters := 0
			for _, m := range v.members {
				if !m.Healthy {
					return fmt.Errorf("%s sees %s as not healthy", v.of.Self(), m.ID)
				}
				if m.Voter {
					voters++
				}
			}
			if voters == 0 {
				return fmt.Errorf("in the view of %s nobody votes", v.of.Self())
			}
		}
		return nil
	})
}

func ownSlice(ctx context.Context, g group) error {
	for _, h := range g.handles {
		before, err := h.Members(ctx)
		if err != nil {
			return err
		}
		mine := slices.Clone(before)
		for i := range before {
			before[i] = cluster.Member{ID: "overwritten by the caller"}
		}
		after, err := h.Members(ctx)
		if err != nil {
			return err
		}
		if !slices.Equal(ids(after), ids(mine)) {
			return fmt.Errorf("what a caller wrote shows up in the next view of %s: %v", h.Self(), ids(after))
		}
	}
	return nil
}

func syncs(ctx context.Context, g group) error {
	for _, h := range g.handles {
		err := g.bounded(func() error { return h.Sync(ctx) })
		if err != nil {
			return fmt.Errorf("Sync of %s: %w", h.Self(), err)
		}
	}
	return nil
}

func concurrent(ctx context.Context, g group) error {
	errs := make([]error, 4*len(g.handles))
	var wg sync.WaitGroup
	for i := range errs {
		h := g.handles[i%len(g.handles)]
		wg.Go(func() {
			for range 10 {
				_ = h.Sync(ctx) // what it returns is another clause's
				if _, errs[i] = h.Members(ctx); errs[i] != nil || h.Self() == "" {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
