package clustertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/leaderlast/leaderlast/cluster"
)

// A Sim is a cluster in memory, for tests. It has no goroutines, no clock and
// no elections of its own: everything that happens to it is asked for. It can
// be used in a testing/synctest bubble; make it there. All methods are safe for
// concurrent use.
type Sim struct {
	mu       sync.Mutex // never held while waiting
	members  []cluster.Member
	transfer func(from, to cluster.MemberID) (cluster.MemberID, error)
	changed  chan struct{} // closed at the next change
}

// NewSim returns a cluster of healthy voters, the first of which leads. Their
// addresses are "http://" and the ID.
func NewSim(ids ...cluster.MemberID) *Sim {
	s := &Sim{changed: make(chan struct{})}
	for _, id := range ids {
		s.Add(cluster.Member{ID: id, Addr: "http://" + string(id), Voter: true, Healthy: true})
	}
	if len(ids) > 0 {
		s.Lead(ids[0])
	}
	return s
}

// Member returns the Membership that the member id would hold, also while it is
// not healthy and before it has joined. All of them see the same.
func (s *Sim) Member(id cluster.MemberID) cluster.Membership { return simMember{s, id} }

// Handles returns the Membership of every member, by ID.
func (s *Sim) Handles() []cluster.Membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []cluster.Membership
	for _, m := range s.members {
		all = append(all, simMember{s, m.ID})
	}
	return all
}

// Add adds m, or changes the member of that ID into it. A member added as
// Leader takes leadership from whoever has it.
func (s *Sim) Add(m cluster.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearchFunc(s.members, m.ID, func(m cluster.Member, id cluster.MemberID) int {
		return strings.Compare(string(m.ID), string(id))
	})
	if found {
		s.members[i] = m
	} else {
		s.members = slices.Insert(s.members, i, m)
	}
	if m.Leader {
		s.lead(m.ID)
	}
	s.wake()
}

// Remove removes a member; a leader leaves the cluster without one.
func (s *Sim) Remove(id cluster.MemberID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = slices.DeleteFunc(s.members, func(m cluster.Member) bool { return m.ID == id })
	s.wake()
}

// SetHealthy says whether a member answers. A leader that does not goes on
// being shown as the leader until Lead or Elect gives the cluster another one.
func (s *Sim) SetHealthy(id cluster.MemberID, healthy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.index(id); i >= 0 {
		s.members[i].Healthy = healthy
	}
	s.wake()
}

// Lead gives leadership to a member, or with "" to nobody.
func (s *Sim) Lead(id cluster.MemberID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lead(id)
	s.wake()
}

// Elect does what an election does: if the leader is gone or not healthy and
// the healthy voters form a quorum, the one of them with the lowest ID leads.
// Without a quorum nobody does. It returns the leader, "" if there is none.
func (s *Sim) Elect() cluster.MemberID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next cluster.MemberID
	voters, well := 0, 0
	for _, m := range s.members {
		if !m.Voter {
			continue
		}
		voters++
		if !m.Healthy {
			continue
		}
		well++
		if next == "" || m.Leader {
			next = m.ID
		}
	}
	if well < cluster.Quorum(voters) {
		next = ""
	}
	s.lead(next)
	s.wake()
	return next
}

// RefuseTransfers makes every transfer by the leader fail with err and change
// nothing; a nil err allows them again.
func (s *Sim) RefuseTransfers(err error) {
	if err == nil {
		s.SetTransfer(nil)
		return
	}
	s.SetTransfer(func(from, _ cluster.MemberID) (cluster.MemberID, error) { return from, err })
}

// SetTransfer has f decide what a transfer by the leader from comes to: who
// leads afterwards, "" for nobody, and what TransferLeadership returns. So a
// transfer can pick somebody else than was wished for, move leadership and
// report an error, or return nil and move nothing. F must not call s. If f is
// nil, leadership goes to the member wished for if it is a healthy voter, else
// to the healthy voter with the lowest ID; without one it is unsupported.
//
// Of a transfer by the leader to itself f decides only whether it is possible:
// nothing moves, and an error is returned if it wraps errors.ErrUnsupported. If
// f is nil it is possible where there is another voter, healthy or not.
func (s *Sim) SetTransfer(f func(from, to cluster.MemberID) (leader cluster.MemberID, err error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transfer = f
}

// The rest needs s.mu.

func (s *Sim) index(id cluster.MemberID) int {
	return slices.IndexFunc(s.members, func(m cluster.Member) bool { return m.ID == id })
}

func (s *Sim) lead(id cluster.MemberID) {
	for i := range s.members {
		s.members[i].Leader = s.members[i].ID == id
	}
}

func (s *Sim) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// successor is the default of SetTransfer.
func (s *Sim) successor(from, to cluster.MemberID) (cluster.MemberID, error) {
	best := cluster.MemberID("")
	for _, m := range s.members {
		if m.ID != from && m.Voter && m.Healthy && (best == "" || m.ID == to) {
			best = m.ID
		}
	}
	if best == "" {
		return from, fmt.Errorf("nobody to let go to: %w", errors.ErrUnsupported)
	}
	return best, nil
}

// possible returns nil if the leader could let go.
func (s *Sim) possible(leader cluster.MemberID) error {
	err := error(nil)
	if s.transfer != nil {
		_, err = s.transfer(leader, leader)
	} else if !slices.ContainsFunc(s.members, func(m cluster.Member) bool { return m.Voter && m.ID != leader }) {
		err = fmt.Errorf("there is no other voter: %w", errors.ErrUnsupported)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("clustertest: transfer leadership of %s: %w", leader, err)
	}
	return nil
}

// A simMember is the view of one member.
type simMember struct {
	s  *Sim
	id cluster.MemberID
}

func (m simMember) Self() cluster.MemberID { return m.id }

func (m simMember) Members(ctx context.Context) ([]cluster.Member, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("clustertest: members: %w", context.Cause(ctx))
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	return slices.Clone(m.s.members), nil
}

// Sync waits until the member is healthy and somebody leads.
func (m simMember) Sync(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("clustertest: sync %s: %w", m.id, context.Cause(ctx))
		}
		m.s.mu.Lock()
		i, changed := m.s.index(m.id), m.s.changed
		ok := i >= 0 && m.s.members[i].Healthy && slices.ContainsFunc(m.s.members, func(m cluster.Member) bool { return m.Leader && m.Healthy })
		m.s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (m simMember) TransferLeadership(ctx context.Context, to cluster.MemberID) error {
	if ctx.Err() != nil {
		return fmt.Errorf("clustertest: transfer leadership of %s: %w", m.id, context.Cause(ctx))
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	i := m.s.index(m.id)
	if i < 0 || !m.s.members[i].Leader {
		return nil
	}
	if to == m.id {
		return m.s.possible(m.id)
	}
	decide := m.s.transfer
	if decide == nil {
		decide = m.s.successor
	}
	leader, err := decide(m.id, to)
	m.s.lead(leader)
	m.s.wake()
	if err != nil {
		return fmt.Errorf("clustertest: transfer leadership of %s: %w", m.id, err)
	}
	return nil
}
