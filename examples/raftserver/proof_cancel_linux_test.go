package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/upgrade"
)

// willGo are the states in which a turn is completed.
var willGo = []string{"restarting", "swapped", "rejoining", "accepting", "accepted", "done"}

// cancelled cancels in each state of each turn.
func cancelled(t *testing.T, p *proof, size int, states []string) {
	cancelEach(t, p, size, states, false)
}

// cancelledAbsent does so while a member is down that has no turn.
func cancelledAbsent(t *testing.T, p *proof, size int, states []string) {
	cancelEach(t, p, size, states, true)
}

func cancelEach(t *testing.T, p *proof, size int, states []string, absent bool) {
	g := &group{t: t, make: func(t *testing.T) *fleet { return newFleet(t, p.program, size, 0) }}
	eachState(size, states, func(name, state string, turn int) {
		switch {
		case turn > 0 && state == "staged": // nobody has a turn then
		case size == 1 && slices.Contains([]string{"asked", "restarting", "swapped"}, state): // nobody answers
		case size == 3 && absent && state == "swapped": // two are down, and nobody can write
		default:
			g.run(name, func(f *fleet) { f.cancel(state, turn, absent) })
		}
	})
}

func (f *fleet) cancel(state string, turn int, absent bool) {
	l := f.steady()
	f.stage()
	var held *prisoner
	if state != "staged" {
		trap := f.warden.inState(state, turn)
		f.start()
		held = f.await(trap)
	}
	away := f.absent(held, absent)
	asked := make(chan error, 1)
	client := f.client()
	if held != nil && len(f.boxes) > 1 {
		client = f.client(held.whom)
	}
	go func() {
		ctx, cancel := f.ctx()
		defer cancel()
		err := client.Unstage(ctx)
		// It may be asked again, when all is over: a member that leads may restart.
		if no := (*upgrade.Refusal)(nil); errors.As(err, &no) && no.Kind == upgrade.NotFound {
			err = nil
		}
		asked <- err
	}()
	f.record.await(f.t, "the cancellation is on record", func(s upgrade.Status) bool {
		return s.Status == "none" || s.Phase != nil && *s.Phase == "cancelling"
	})
	f.logf("cancelled")
	if held != nil {
		held.release()
	}
	s := f.record.await(f.t, "the run is removed", func(s upgrade.Status) bool { return s.Status == "none" })
	if err := <-asked; err != nil {
		f.problem("cancel: %v", err)
	}
	f.went(turn, state)
	if away != nil {
		if len(away.leftovers()) == 0 {
			f.problem("%s was down, and has nothing to clean up", away.id)
		}
		away.back()
	}
	f.exact(s, state)
	f.clean()
	f.settle(l, s)
	f.allow(false)
	f.runs()
	f.clean()
	f.judge()
}

// absent kills a member that is needed for nothing.
func (f *fleet) absent(held *prisoner, wanted bool) *box {
	if !wanted {
		return nil
	}
	leader := f.leader().id
	for _, b := range slices.Backward(f.boxes) {
		if b.id != leader && (held == nil || b.id != held.whom && b.id != held.actor) {
			b.kill()
			return b
		}
	}
	return nil
}

// went notes which members have to run the new version: those that had their turn
// before, and the one whose turn it was if that could not be stopped.
func (f *fleet) went(turn int, state string) {
	if state == "staged" || state == "pending" && turn == 0 {
		return
	}
	f.warden.mu.Lock()
	defer f.warden.mu.Unlock()
	for i, id := range f.warden.order {
		if i < turn || i == turn && slices.Contains(willGo, state) {
			f.box(id).version = f.next
		}
	}
}

// exact holds the final line against what runs.
func (f *fleet) exact(s upgrade.Status, state string) {
	f.t.Helper()
	f.runs()
	all := []string{}
	for _, b := range f.boxes {
		all = append(all, b.id+" "+versionName(b.version))
	}
	want := "failed: cancelled by admin. Now: " + strings.Join(all, ", ") + "."
	if state == "staged" {
		want = ""
	}
	got := ""
	if s.FinalState != nil {
		got = *s.FinalState
	}
	// Of one that is down it says so as well.
	down := func(text string) string {
		return strings.ReplaceAll(text, " (when it was heard from last; it does not answer)", "")
	}
	if down(got) != want {
		f.problem("the final line is %q, want %q", got, want)
	}
	lines := f.record.transcript(s.Run.ID)
	if last := lines[len(lines)-1]; !strings.HasSuffix(down(last.Text), "Now: "+strings.Join(all, ", ")) {
		f.problem("the last line is %q, want the versions %v", last.Text, all)
	}
	if n := s.Progress.Done; n != 0 && state == "staged" {
		f.problem("%s: %d members are done", fmt.Sprint(state), n)
	}
}
