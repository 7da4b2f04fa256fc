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
	crowd       = 10                     // up to here everybody looks at everything
	lullShare   = 600 * time.Millisecond // of each member
	lullMax     = 10 * time.Minute
	gatherShare = time.Millisecond // of each member
	nudgeTime   = 2 * time.Second  // until the next, and for each
)

// lull is for how long the local member, for which there was s to do, has no
// part in the run; how often it has to see meanwhile whether it leads; and how
// long it may let changes come together that do not concern it.
func (v view) lull(s step) (lull, pace, gather time.Duration) {
	n := len(v.members)
	if n <= crowd {
		return 0, 0, 0
	}
	if m, _ := v.memberOf(v.self); m.Voter {
		pace = v.pace() // nobody else can come to lead
	}
	gather = time.Duration(n) * gatherShare
	idle := s.do == actNothing && v.run.Status == tracking.Working && !v.leads() &&
		v.run.Turn(v.self) == nil && (v.checked(v.self) != nil || v.lastWord(v.self) != nil)
	for _, t := range v.run.Turns {
		idle = idle && t.To != v.self // leadership may be coming here
	}
	if idle {
		lull = min(time.Duration(n)*lullShare, lullMax)
	}
	return lull, pace, gather
}

// rest waits until this member has to look: it was told to, it leads now, or at
// the end of a lull the run has come to concern it.
func (o *Orchestrator) rest(ctx context.Context, c *record) {
	defer c.forget() // it will not go through all that has happened meanwhile
	over := time.NewTicker(c.lull)
	defer over.Stop()
	var glance <-chan time.Time
	if c.pace > 0 {
		t := time.NewTicker(c.pace)
		defer t.Stop()
		glance = t.C
	}
	for {
		select {
		case <-over.C:
			if !o.restsOn(ctx, c) {
				return
			}
		case <-o.poke:
			return
		case <-glance:
			members, err := o.c.Cluster.Members(ctx)
			if err != nil {
				continue
			}
			if v := (view{self: o.self, members: members}); v.leads() {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// restsOn reports whether the run is the one that c has read, is still worked
// on, and has nothing for the local member.
func (o *Orchestrator) restsOn(ctx context.Context, c *record) bool {
	data, _, err := o.c.Tracking.Load(ctx, tracking.KeyRun)
	if err != nil {
		return false
	}
	g, err := tracking.DecodeGist(data)
	return err == nil && g.ID == c.run.ID && g.Status == tracking.Working && !g.Names(o.self)
}

// pass lets time go by after a change that does not concern the local member, so
// that a thousand reports at once are not a thousand changes. It returns false
// if there is something to look at.
func (o *Orchestrator) pass(waiting context.Context, c *record) bool {
	if c.gather == 0 {
		return true
	}
	t := time.NewTimer(c.gather)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-o.poke:
		c.changed([]string{tracking.KeyRun})
	case <-waiting.Done():
	}
	return false
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
