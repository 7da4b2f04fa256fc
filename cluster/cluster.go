package cluster

import "context"

// A MemberID names a member for as long as it belongs to its cluster: it
// survives restarts and upgrades.
type MemberID string

// A Member is one server of the cluster, as a Membership last saw it.
type Member struct {
	ID      MemberID
	Addr    string // base URL of its upgrade API, "" if unknown
	Voter   bool   // counts towards the quorum
	Leader  bool
	Healthy bool // answered within the last second, or the backend knows better
}

// Membership is one member's view of its cluster.
//
// Implementations must be safe for concurrent use and must return promptly
// once ctx is done; the error then wraps its cause. Package clustertest tests for everything said here.
type Membership interface {
	// Self returns the ID of the local member. It never changes.
	Self() MemberID

	// Members returns every member, the local one included, sorted by ID. The
	// view may be stale, but never has two leaders. The caller owns the slice.
	Members(ctx context.Context) ([]Member, error)

	// Sync returns nil once the local member has applied everything that was
	// committed in the cluster when Sync was called. Where nothing is
	// replicated it returns nil at once.
	Sync(ctx context.Context) error

	// TransferLeadership lets go of leadership if the local member leads, and
	// returns nil once it does not; on a member that does not lead it does
	// nothing. The member to is a wish: a backend that cannot choose lets go
	// and does not take leadership back by itself while another healthy member
	// may have it. If the backend cannot let go, or there is nobody to let go
	// to, the error wraps errors.ErrUnsupported. A nil error is no proof that
	// anybody else leads now: look at Members.
	//
	// A transfer to the local member itself changes nothing: it returns nil if
	// the backend could let go, and an error that wraps errors.ErrUnsupported
	// if it never can.
	TransferLeadership(ctx context.Context, to MemberID) error
}
