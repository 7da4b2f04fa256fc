package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// probeTime is how long a Probe may take: Healthy means that a member answered
// within the last second.
const probeTime = time.Second

// Single returns the Membership of a server alone: the only member, the only
// voter, and always the leader.
func Single(id MemberID, addr string) *Static {
	return &Static{Local: Member{ID: id, Addr: addr, Voter: true}}
}

// A Static is a Membership fixed by configuration, for clusters whose consensus
// has no say in who belongs to them, or that have none. Every member must be
// configured with the same members, so that all of them see the same leader.
//
// It must not be changed once it is in use.
type Static struct {
	// Local is this member, Peers are the others, in any order. ID, Addr and
	// Voter are taken as they are. At most one may be marked as Leader; if none
	// is, the voter with the lowest ID leads. Healthy is not looked at.
	Local Member
	Peers []Member

	// Probe returns m with Healthy as it is now, and with Leader too where the
	// members choose their leader themselves; what else it changes is ignored.
	// It is asked about all members at once, Local included, and has a second:
	// an error or no answer by then means that m is not healthy. It must be
	// safe for concurrent use and must return promptly once ctx is done.
	//
	// If Probe is nil, all members are taken to be healthy.
	Probe func(ctx context.Context, m Member) (Member, error)
}

// Self implements Membership.
func (s *Static) Self() MemberID { return s.Local.ID }

// Members implements Membership. If several members say that they lead, as
// happens while leadership moves, the view has no leader: whoever waits for one
// goes on waiting, and nobody takes the wrong one for it. A member that does
// not answer leads only where it is configured to, and nobody else says so.
//
// A Static without IDs, with an ID twice, or with two members marked as Leader
// has no view; the error wraps fs.ErrInvalid.
func (s *Static) Members(ctx context.Context) ([]Member, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("cluster: members: %w", context.Cause(ctx))
	}
	members, err := s.configured()
	if err != nil {
		return nil, fmt.Errorf("cluster: members: %w", err)
	}
	if s.Probe == nil {
		for i := range members {
			members[i].Healthy = true
		}
		return members, nil
	}
	answered, err := s.probe(ctx, members)
	if err != nil {
		return nil, fmt.Errorf("cluster: members: %w", err)
	}
	settle(members, answered)
	return members, nil
}

// configured returns the members by ID, exactly one of the voters as leader.
func (s *Static) configured() ([]Member, error) {
	members := append([]Member{s.Local}, s.Peers...)
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	lead, first := -1, -1
	for i, m := range members {
		members[i].Healthy = false
		switch {
		case m.ID == "":
			return nil, fmt.Errorf("a member without an ID: %w", fs.ErrInvalid)
		case i > 0 && m.ID == members[i-1].ID:
			return nil, fmt.Errorf("two members called %s: %w", m.ID, fs.ErrInvalid)
		case m.Leader && lead >= 0:
			return nil, fmt.Errorf("both %s and %s are marked as leader: %w", members[lead].ID, m.ID, fs.ErrInvalid)
		case m.Leader:
			lead = i
		}
		if first < 0 && m.Voter {
			first = i
		}
	}
	if lead < 0 && first >= 0 {
		members[first].Leader = true
	}
	return members, nil
}

// probe asks about all members at once, and writes the answers into members. It
// returns which of them have answered.
func (s *Static) probe(ctx context.Context, members []Member) ([]bool, error) {
	limit, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	type answer struct {
		i   int
		m   Member
		err error
	}
	answers := make(chan answer, len(members))
	for i, m := range members {
		go func() {
			m, err := s.Probe(limit, m)
			answers <- answer{i, m, err}
		}()
	}
	answered := make([]bool, len(members))
	for range members {
		select {
		case a := <-answers:
			if a.err == nil {
				answered[a.i] = true
				members[a.i].Healthy, members[a.i].Leader = a.m.Healthy, a.m.Leader
			}
		case <-limit.Done():
			// Who has not answered by now does not count. Those who did, do.
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return answered, nil
}

// settle leaves at most one leader.
func settle(members []Member, answered []bool) {
	claims := 0
	for i, m := range members {
		if m.Leader && answered[i] {
			claims++
		}
	}
	for i := range members {
		if claims > 1 || claims == 1 && !answered[i] {
			members[i].Leader = false
		}
	}
}

// Sync implements Membership: nothing is replicated here, so there is nothing
// to wait for.
func (s *Static) Sync(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("cluster: sync: %w", context.Cause(ctx))
	}
	return nil
}

// TransferLeadership implements Membership. On the leader the error wraps
// errors.ErrUnsupported, whoever is to lead, the leader itself included:
// configuration does not change while a server runs.
func (s *Static) TransferLeadership(ctx context.Context, to MemberID) error {
	members, err := s.Members(ctx)
	if err != nil {
		return err
	}
	led := false
	for _, m := range members {
		led = led || m.Leader
		if m.Leader && m.ID == s.Local.ID {
			return fmt.Errorf("cluster: transfer leadership of %s: its members are fixed by configuration: %w", m.ID, errors.ErrUnsupported)
		}
	}
	if !led {
		return fmt.Errorf("cluster: transfer leadership of %s: it is not known who leads now", s.Local.ID)
	}
	return nil
}
