package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// handoverTime bounds one try to hand leadership over. A backend may refuse
// everything for as long as its transport waits for a target that is frozen.
const handoverTime = 15 * time.Second

// mustHandOver reports whether the local member has to let go of leadership
// before it restarts. One that is alone, or goes last where nobody can let go,
// restarts while it leads.
func (v view) mustHandOver(t tracking.Turn) bool {
	return v.leads() && !v.alone() && !v.mayLeadAway(t)
}

// handOver decides to whom. The new program is prepared then, and nobody has
// been asked to leave.
func (v view) handOver(t tracking.Turn) step {
	if v.local.fixed {
		// It came to lead in the middle of its turn.
		return v.dropTurn(v.self, "member.discarded", "gave its turn back: it leads, and goes last")
	}
	to := v.successors(t.Member)
	switch {
	case len(to) == 0:
		return v.waiting(&tracking.Waiting{
			Reason: "HandOverRefused", Member: v.self, Message: v.self + " leads, and there is no other healthy voter to lead in its place",
			Do: "bring another voter back; the upgrade then goes on by itself",
		})
	case v.local.retry > 0 && v.local.refused != "":
		s := v.waiting(&tracking.Waiting{
			Reason: "HandOverRefused", Member: v.self, Message: fmt.Sprintf("%s leads, and could not hand over: %s", v.self, v.local.refused),
			Do: "nothing; it tries again, with another member if there is one",
		})
		if s.do == actNothing {
			s.wait = soonest(s.wait, v.local.retry)
		}
		return s
	case v.local.retry > 0:
		return step{wait: v.local.retry}
	}
	next := to[v.local.handovers%len(to)]
	if t.To == next {
		return step{do: actHandOver, to: next}
	}
	s := v.turnStep(v.self, tracking.Prepared, "hands over leadership to "+next, func(n *tracking.Turn) {
		n.To, n.Since = next, t.Since
		n.Handovers++
	})
	s.run.Log[len(s.run.Log)-1].Type = "leader.hands-over"
	return s
}

// successors are the members that leadership may go to, best first: those that
// are done, so that it does not move again, and then the others.
func (v view) successors(from string) []string {
	var done, others []string
	for _, m := range v.participants() {
		id := string(m.ID)
		switch {
		case id == from || !m.Voter || !m.Healthy || v.run.Turn(id) != nil:
		case v.finished(id):
			done = append(done, id)
		default:
			others = append(others, id)
		}
	}
	return append(done, others...)
}

// handOver lets go of leadership. Whatever comes of it, the next look at the
// members tells.
func (o *Orchestrator) handOver(ctx context.Context, to string) error {
	hand, cancel := context.WithTimeoutCause(ctx, handoverTime, fmt.Errorf("not done within %v", handoverTime))
	defer cancel()
	begin := time.Now()
	err := o.c.Cluster.TransferLeadership(hand, cluster.MemberID(to))
	if ctx.Err() != nil {
		return err
	}
	o.remember(func(m *memory) {
		// The next try, should one be needed: soon, then ever later.
		m.handovers++
		m.handoverAt = time.Now().Add(min(100*time.Millisecond<<min(m.handovers, 8), 30*time.Second))
		m.fixed, m.refused = errors.Is(err, errors.ErrUnsupported), ""
		if err != nil && !m.fixed {
			m.refused = err.Error()
		}
	})
	o.c.Logger.Info("let go of leadership", "to", to, "took", time.Since(begin).Round(time.Millisecond), "error", err)
	return nil
}
