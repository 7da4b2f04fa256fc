package upgrade

import (
	"context"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// In a cluster of many members nearly all of what happens during a run is the
// turn of somebody else. If each of a thousand members looked at each step of
// the others, a run would cost a million looks for every one that matters. So
// those that have no part look now and then, and whoever leads tells the one
// that gets its turn to look now. What is told permits nothing, and may be lost:
// then the member finds its grant at its next look.

const (
	crowd     = 10                     // up to here everybody looks at everything
	lullShare = 300 * time.Millisecond // of each member
	lullMax   = 5 * time.Minute
	nudgeTime = 2 * time.Second // until the next, and for each
)

// lull is for how long the local member, for which there was s to do, has no
// part in the run.
func (v view) lull(s step) time.Duration {
	n := len(v.members)
	idle := n > crowd && s.do == actNothing && v.run.Status == tracking.Working && !v.leads() &&
		v.run.Turn(v.self) == nil && (v.checked(v.self) != nil || v.lastWord(v.self) != nil)
	for _, t := range v.run.Turns {
		idle = idle && t.To != v.self // leadership may be coming here
	}
	if !idle {
		return 0
	}
	return min(time.Duration(n)*lullShare, lullMax)
}

// rest waits until the lull of c is over. It returns false if this member has to
// look before that: it was told to, or it leads now.
func (o *Orchestrator) rest(ctx context.Context, c *record) bool {
	over := time.NewTimer(c.lull)
	defer over.Stop()
	glance := time.NewTicker(c.pace)
	defer glance.Stop()
	for {
		select {
		case <-over.C:
			return true
		case <-o.poke:
			c.changed([]string{tracking.KeyRun})
			return false
		case <-glance.C:
			members, err := o.c.Cluster.Members(ctx)
			if err != nil {
				continue
			}
			if v := (view{self: o.self, members: members}); v.leads() {
				c.changed([]string{tracking.KeyRun})
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// nudge tells the members that have been granted a turn, and may not have seen
// it, to look; and returns how long to wait if that was to be wait.
func (o *Orchestrator) nudge(ctx context.Context, v view, wait time.Duration) time.Duration {
	if len(v.members) <= crowd || !v.leads() || o.c.PeerClient == nil {
		return wait
	}
	for _, t := range v.run.Turns {
		m, found := v.memberOf(t.Member)
		if t.State != tracking.Granted || t.Member == v.self || !found {
			continue
		}
		go o.tellToLook(ctx, m)
		wait = soonest(wait, nudgeTime)
	}
	return wait
}

func (o *Orchestrator) tellToLook(ctx context.Context, m cluster.Member) {
	ctx, cancel := context.WithTimeout(ctx, nudgeTime)
	defer cancel()
	if err := o.peers.look(ctx, m); err != nil {
		o.c.Logger.Debug("tell a member to look", "member", m.ID, "error", err)
	}
}
