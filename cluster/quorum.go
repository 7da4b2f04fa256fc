package cluster

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Quorum returns how many of so many voters must be up for the cluster to
// decide anything: more than half. Where nobody votes that is 1, and never met.
func Quorum(voters int) int { return max(voters, 0)/2 + 1 }

// A QuorumError says why a member must not stop now.
type QuorumError struct {
	ID     MemberID   // whose stop was asked about
	Voters int        // in the cluster
	Quorum int        // of them that must be up
	Left   int        // that would be up without ID
	Down   []MemberID // voters that are not healthy now, ID not among them
}

// Error says what would be left, what is needed, and who is missing.
func (e *QuorumError) Error() string {
	s := fmt.Sprintf("cluster: stop %s: %d of %d voters would be left, %d are needed", e.ID, e.Left, e.Voters, e.Quorum)
	switch {
	case len(e.Down) > 0:
		down := make([]string, len(e.Down))
		for i, id := range e.Down {
			down[i] = string(id)
		}
		s += "; not healthy now: " + strings.Join(down, ", ")
	case e.Voters < 3:
		s += "; a cluster this small cannot spare any"
	}
	return s
}

// SafeToStop returns nil if the healthy voters left after stopping id still
// form a quorum of all voters, and otherwise a *QuorumError. If id is not among
// members the error wraps fs.ErrNotExist.
//
// It judges the members it is given, as of when they were looked at. Stopping a
// voter that is not healthy already takes nothing away, and neither does
// stopping a member without a vote. A server alone is never safe to stop; who
// allows that, and announces it, does not ask.
func SafeToStop(members []Member, id MemberID) error {
	if !slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
		return fmt.Errorf("cluster: stop %s: no such member: %w", id, fs.ErrNotExist)
	}
	e := &QuorumError{ID: id}
	for _, m := range members {
		switch {
		case !m.Voter:
			continue
		case m.ID == id:
		case m.Healthy:
			e.Left++
		default:
			e.Down = append(e.Down, m.ID)
		}
		e.Voters++
	}
	e.Quorum = Quorum(e.Voters)
	if e.Left < e.Quorum {
		return e
	}
	return nil
}
