package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
)

// tendContact is called when the record is out of reach. Loss of contact is no
// reason to put a program back. But where this process reaches the members that
// lead the cluster, and they answer, it is not contact that is lost: the new
// program does not find its way into the cluster.
func (o *Orchestrator) tendContact(ctx context.Context, cause error) {
	s := o.c.Started
	if s.UpgradedFrom == "" || o.peers.client == nil || ctx.Err() != nil {
		return
	}
	select {
	case <-s.trial.over:
		return
	default:
	}
	s.trial.shutOut(time.Now(), o.contact(ctx, cause))
}

// contact says what is odd about the record being out of reach; "" if nothing:
// too few answer, or nobody of them leads.
func (o *Orchestrator) contact(ctx context.Context, cause error) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	members, err := o.c.Cluster.Members(ctx)
	if err != nil {
		return ""
	}
	type answer struct {
		m cluster.Member
		r PeerReport
	}
	answers := make(chan answer, len(members))
	asked, voters, count := 0, 0, 0
	for _, m := range members {
		if m.Voter {
			voters++
		}
		if string(m.ID) == o.self {
			if m.Voter {
				count++
			}
			continue
		}
		asked++
		go func() {
			r, _ := o.peers.report(ctx, m) // who does not answer says nothing
			answers <- answer{m, r}
		}()
	}
	var names []string
	leader := ""
	for range asked {
		a := <-answers
		if a.r.Member == "" {
			continue
		}
		names = append(names, a.r.Member)
		if a.m.Voter {
			count++
		}
		if a.r.Leader != "" && a.r.Leader != o.self {
			leader = a.r.Leader
		}
	}
	slices.Sort(names)
	if len(names) == 0 || leader == "" || count < cluster.Quorum(voters) {
		return ""
	}
	return fmt.Sprintf("does not find its way into the cluster, although %s answer and %s leads: %v", strings.Join(names, " "), leader, cause)
}

// shutOut notes why the program is out of a cluster that it can reach; "" is: it
// is not, or nobody can tell.
func (t *trial) shutOut(now time.Time, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case why == "":
		t.shut = time.Time{}
	case t.shut.IsZero():
		t.shut = now
	}
	t.shutWhy = why
}
