package upgradetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A driver is the operator who wants the upgrade done, and what becomes of it.
type driver struct {
	archives  map[string]packed // by version
	target    int               // index of the version that is wanted
	calls     sync.WaitGroup    // of operators
	asks      int
	busy      int // calls of the driver in flight
	nextDrive time.Time
	idle      int
	outage    bool // the operator allows it
	staging   string
	stagingAt time.Time

	calm     bool
	calmAt   time.Time // since when nothing goes wrong
	deadline time.Time // of what is to come next
	expect   string    // the run that has to finish now
	wiped    time.Time // when everything was removed at last
	wentBack bool      // since nothing goes wrong
}

type packed struct {
	bytes []byte
	blobs []archive.Digest // the archive and what is unpacked from it
}

func (w *world) packAll() {
	w.archives, w.target = map[string]packed{}, 1
	for i, v := range versions[1:] {
		p := archivetest.Pack(w.t, archivetest.Spec{
			Product: "kvd", Program: "kvd", Version: v, Counter: uint64(i + 1), Unsigned: true,
			Files: map[string][]byte{"bin/" + hostPlatform.String() + "/kvd": []byte(script(v))},
		})
		w.archives[v] = packed{bytes: p.Bytes, blobs: []archive.Digest{p.Digest, archive.DigestOf([]byte(script(v)))}}
	}
}

// operate has somebody ask a member for something.
func (w *world) operate(what string) {
	m, ok := w.anyAlive()
	if !ok {
		return
	}
	w.ask(m.proc, what, func() {})
}

// ask calls the API of a process. It does not wait.
func (w *world) ask(p *process, what string, then func()) {
	if what == "pause" {
		// Somebody resumes it in the end.
		defer w.later(w.between(time.Second, 5*time.Minute), "resume", func() { w.operate("resume") })
	}
	w.log.add(p.name, "is asked to %s %s", what, versions[w.target])
	version, outage := versions[w.target], w.outage
	w.asks++
	who := fmt.Sprintf("%s %d", what, w.asks)
	var gone []string
	for _, m := range w.belonging() {
		if m.proc == nil {
			gone = append(gone, m.name)
		}
	}
	w.calls.Go(func() {
		returned := false
		var err error
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !returned {
				err = errGone
			}
			var no *upgrade.Refusal
			if errors.As(err, &no) && (no.Reason == "TwoVoters" || no.Reason == "QuorumAtRisk" && w.voters() < 3) {
				w.outage = true // it has been told what will happen, and wants it
			}
			w.log.add(p.name, "%s: %v", what, err)
			w.seen[what]++
			then()
		}()
		ctx, cancel := context.WithTimeout(context.WithValue(p.ctx, caller{}, who), 15*time.Minute)
		defer cancel()
		// A good program that was killed at each start was put back: try it again.
		again := []string{"failed-before"}
		switch what {
		case "stage":
			_, err = p.Stage(ctx, bytes.NewReader(w.archives[version].bytes), upgrade.StageOptions{By: "jane", Size: -1})
		case "start":
			_, err = p.Start(ctx, upgrade.StartOptions{By: "jane", Skip: again, AllowOutage: outage})
		case "retry":
			_, err = p.Retry(ctx, upgrade.RetryOptions{By: "joe", Skip: again, AllowOutage: outage})
		case "forget":
			_, err = p.Retry(ctx, upgrade.RetryOptions{By: "joe", Skip: again, AllowOutage: outage, Forget: gone})
		case "pause":
			err = p.Pause(ctx, upgrade.PauseOptions{By: "joe"})
		case "resume":
			err = p.Resume(ctx, upgrade.PauseOptions{By: "joe"})
		case "rollback":
			_, err = p.Rollback(ctx, upgrade.RollbackOptions{By: "joe", Skip: again, AllowOutage: outage})
		case "commit":
			err = p.Commit(ctx, upgrade.CommitOptions{By: "jane"})
		case "unstage":
			err = p.Unstage(ctx, upgrade.UnstageOptions{By: "joe"})
		}
		returned = true
	})
}

// horizon is for how long things go wrong at most.
const horizon = 30 * time.Minute

// drive does what an operator does who wants the upgrade done. It returns true
// when all is over.
func (w *world) drive(now time.Time) (done bool) {
	if now.Before(w.nextDrive) {
		return false
	}
	w.nextDrive = now.Add(w.between(time.Second, 5*time.Second))
	run := w.run
	if !w.calm {
		if run.Status == tracking.Finished || run.Status == tracking.Failed || w.left == 0 {
			w.idle++
		}
		if w.left == 0 && w.idle > 5 || w.idle > 60 || now.Sub(w.log.begin) > horizon {
			w.mend()
			w.calmAt, w.deadline = now, now.Add(w.longest())
		}
	}
	if w.calm && now.After(w.deadline) {
		w.violate("L1: nothing goes wrong since %v, and run %s is still %q: %s", now.Sub(w.calmAt), run.ID, run.Status, waits(run))
		return false
	}
	if !w.wiped.IsZero() {
		return now.Sub(w.wiped) > 2*time.Minute && w.checkEnd()
	}
	if w.busy > 0 {
		return false
	}
	what := w.wanted(run)
	if what == "" {
		return false
	}
	m, ok := w.anyAlive()
	if !ok || !m.proc.serves || m.removed {
		return false
	}
	w.busy++
	w.ask(m.proc, what, func() { w.busy-- })
	return false
}

// wanted is what the operator does next.
func (w *world) wanted(run tracking.Run) string {
	if w.calm && w.expect != "" && run.ID == w.expect && run.Status == tracking.Failed && !w.stuck() && run.Reason != "Cancelled" && !noWayBack(run) {
		w.violate("L2: everybody is well, and run %s has failed: %s", run.ID, run.FinalState)
		return ""
	}
	switch run.Status {
	case tracking.None:
		if w.calm && w.finished && run.ID == w.expect {
			w.wiped = time.Now()
			w.deadline = w.wiped.Add(10 * time.Minute)
			return ""
		}
		return "stage"
	case tracking.Staging:
		// Who took it in may be gone, and nobody else have it.
		if run.ID != w.staging {
			w.staging, w.stagingAt = run.ID, time.Now()
		}
		switch since := time.Since(w.stagingAt); {
		case since > 20*time.Minute:
			return "unstage"
		case since > 3*time.Minute:
			return "stage"
		}
		return ""
	case tracking.Staged:
		return "start"
	case tracking.Working:
		switch {
		case w.calm && run.Wish == tracking.Pause:
			return "resume"
		case w.calm && run.Waiting != nil && run.Waiting.Reason == "QuorumAtRisk" && w.voters() < 3 && !w.plan.Rules.AllowOutage:
			w.outage = true // two voters or one were left in the middle of the run: it would wait for more
			return "unstage"
		}
		if w.calm && w.expect != run.ID && run.Started.After(w.calmAt) {
			// It has to end by itself; and it has to finish, unless somebody is stuck.
			w.expect, w.deadline = run.ID, time.Now().Add(w.longest())
			if !w.stuck() {
				w.deadline = time.Now().Add(time.Duration(len(w.order)+1) * 3 * time.Minute)
			}
		}
		return ""
	case tracking.Failed:
		if w.calm {
			w.unstick()
		} else if !w.chance(0.3) {
			return ""
		}
		if run.Wish == tracking.Cancel || w.archiveOf(run) != versions[w.target] {
			return "unstage"
		}
		return pick(w, []string{"retry", "retry", "unstage", "rollback"})
	case tracking.Finished:
		if !w.calm {
			if run.Kind != tracking.KindRollback && w.chance(0.2) {
				return "rollback"
			}
			return ""
		}
		// Who joined after the end is not there yet: once more, for it alone.
		if run.Kind != tracking.KindRollback && w.archiveOf(run) == versions[w.target] && w.allRun(versions[w.target]) {
			if !w.wentBack && run.Committed.IsZero() && w.chance(0.4) {
				w.wentBack = true
				return "rollback"
			}
			w.finished = true
			w.expect = run.ID
		}
		if run.Committed.IsZero() && w.chance(0.4) {
			return "commit"
		}
		return "unstage"
	}
	return ""
}

// noWayBack reports whether run is a rollback that some member has no program
// for: it came with the new one, or its program was put back.
func noWayBack(run tracking.Run) bool {
	return run.Kind == tracking.KindRollback && (run.Reason == "NoPrevious" || run.Reason == "PreviousIsRunning")
}

// voters counts them, as some member sees them.
func (w *world) voters() (n int) {
	for _, m := range w.alive() {
		if m.removed {
			continue
		}
		for _, x := range m.proc.members {
			if x.Voter {
				n++
			}
		}
		return n
	}
	return 0
}

func (w *world) archiveOf(run tracking.Run) string { return run.Archive.Version }

// stuck reports whether a member is never ready.
func (w *world) stuck() bool {
	return slices.ContainsFunc(w.belonging(), func(m *machine) bool { return m.stuck })
}

// longest is for how long a run may last with nothing else going wrong.
func (w *world) longest() time.Duration {
	return 10*time.Minute + time.Duration(len(w.order)+1)*(w.memberTimeout+3*time.Minute)
}

func waits(r tracking.Run) string {
	s := "turns"
	for _, t := range r.Turns {
		s += fmt.Sprintf(" %s %s", t.Member, t.State)
	}
	if r.Waiting != nil {
		s += ", waiting: " + r.Waiting.Message
	}
	return s
}
