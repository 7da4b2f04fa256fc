package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// upgrade does the main job, by commands alone, and watches.
func (d *demo) upgrade(ctx context.Context) error {
	if d.broken == "ARCHIVE" {
		return d.refusals(ctx)
	}
	for _, args := range [][]string{{"upgrade", "check", d.archive}, {"upgrade", "stage", d.archive}, {"upgrade", "start"}} {
		if err := d.Command(ctx, args...); err != nil {
			return err
		}
	}
	d.sum.Began = time.Now()
	client, err := d.newClient()
	if err != nil {
		return err
	}
	return d.follow(ctx, client, d.killLeader)
}

// killLeader kills the leader half-way, if that is what is to be shown: some
// members are done, and one is in the middle of its turn.
func (d *demo) killLeader(s *upgrade.Status) {
	if d.broken != "LEADER" || d.sum.Killed != "" || s.Progress.Done < d.size/2 {
		return
	}
	for _, m := range s.Members {
		switch tracking.State(m.State) {
		case tracking.Claimed, tracking.Prepared, tracking.Restarting, tracking.Rejoining:
			d.sum.Killed, d.sum.KilledWhile = d.watch.leader(), fmt.Sprintf("%s was %s", m.ID, m.State)
		}
	}
	for _, n := range d.nodes {
		if n.id == d.sum.Killed {
			n.kill()
			d.tell("⚡", "killed    %s, which led, by SIGKILL while %s; its supervisor starts it again", n.id, d.sum.KilledWhile)
		}
	}
}

// judgeMembers notes what every member is now.
func (d *demo) judgeMembers(ctx context.Context) error {
	order, _ := d.watch.turns()
	d.sum.Order = append([]string{}, order...)
	d.sum.LeaderAfter = d.watch.leader()
	d.sum.Handoffs = d.watch.handoffs(d.sum.Began)
	if d.sum.Began.IsZero() {
		d.sum.Handoffs = []leadership{}
	}
	for _, n := range d.nodes {
		m := d.sum.member(n.id)
		if err := d.judgeMember(ctx, n, m); err != nil {
			return err
		}
	}
	s, err := d.watch.status()
	if err != nil {
		return nil // nothing was staged
	}
	d.sum.Status = s.Status
	if s.FinalState != nil {
		d.sum.FinalState = *s.FinalState
	}
	if s.Run.FailedMember != nil {
		d.sum.FailedMember = *s.Run.FailedMember
	}
	if s.Run.Reason != nil {
		d.sum.FailedReason = *s.Run.Reason
	}
	if s.Run.StartedAt != nil && s.Run.FinishedAt != nil {
		d.sum.Total = ms(s.Run.FinishedAt.Sub(*s.Run.StartedAt))
	}
	for _, sm := range s.Members {
		if m := d.sum.member(sm.ID); m != nil {
			m.Took, m.Away = ms(sm.Took*float64(time.Second)), ms(sm.Away*float64(time.Second))
		}
	}
	d.watch.mu.Lock()
	defer d.watch.mu.Unlock()
	for _, l := range d.watch.lines {
		d.sum.Transcript = append(d.sum.Transcript, strings.TrimSpace(fmt.Sprintf("%s %s %s", l.At.Format("15:04:05.000"), l.Member, l.Text)))
	}
	return nil
}
