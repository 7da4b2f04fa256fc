package upgradetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

var hostPlatform = archive.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}

// A record is what has been committed, as the simulation saw it.
type record struct {
	run      tracking.Run
	rawRun   []byte
	plan     tracking.Plan
	asked    map[string]time.Time // when a process, by boot, asked for its restart last
	granted  map[string]bool      // processes, by boot, that may restart or might have
	commits  map[string]int       // by member, run and attempt
	finished bool                 // the driver's run has finished
}

func newRecord() record {
	return record{asked: map[string]time.Time{}, granted: map[string]bool{}, commits: map[string]int{}}
}

const restartLease = 30 * time.Second // the default of upgrade.Config

// issued judges a call at the moment when a process makes it.
func (w *world) issued(o *op) {
	p, m := o.p, o.p.m
	w.checkClients(o)
	switch o.what {
	case "prepare":
		if o.key == "back" && m.ownDown { // the restart failed: the program that ran goes back to its place
			p.returns = true
			break
		}
		if t := w.run.Turn(m.name); p.turn == nil || p.turn.State != tracking.Claimed || p.turn.OldBoot != p.boot {
			w.violate("4: %s prepares and has not claimed a turn: %+v", p.name, t)
		}
	case "stop":
		if m.journalSays("returning") {
			break // it leaves by itself, and takes nobody's turn
		}
		asked, ok := w.asked[p.boot]
		switch {
		case !w.granted[p.boot]:
			w.violate("4: %s stops its host, and no restart was granted to it", p.name)
		case !ok || time.Since(asked) > restartLease:
			w.violate("2: %s stops its host by a permission asked for %v ago", p.name, time.Since(asked))
		case p.leads() && w.leader() == m.name && p.canHandOver():
			w.violate("3: %s stops its host while it leads", p.name)
		}
		for _, other := range w.order {
			if o := w.machines[other]; o != m && o.ownDown && !o.removed {
				w.violate("1: %s stops its host while %s is down by its own hand", p.name, other)
			}
		}
		m.ownDown = true
	case "commit", "exec":
		m.was = m.installed()
		if !m.ownDown {
			w.violate("4: %s of %s without a restart that was granted", o.what, p.name)
		}
	case "forget":
		w.checkForgets(p)
	case "delete":
		t := w.run.Turn(m.name)
		if t == nil || w.run.Status != tracking.Working || p.version == w.run.Archive.Version || w.run.Kind == tracking.KindRollback {
			break
		}
		if slices.Contains(w.archives[w.run.Archive.Version].blobs, archive.Digest(o.key)) {
			w.violate("13: %s deletes %s, which its turn needs (%s)", p.name, o.key, t.State)
		}
	}
}

// did judges what came of a call.
func (w *world) did(o *op, v verdict, err error) {
	m := o.p.m
	switch o.what {
	case "load", "wait", "woken", "members", "sync", "open", "swap", "peer":
		return
	case "commit":
		w.checkPlaced(o.p)
		if v != failBefore && err == nil && o.p.turn != nil && !o.p.returns {
			key := fmt.Sprint(m.name, o.p.turnRun, o.p.turn.Attempt)
			if w.commits[key]++; w.commits[key] > 1 {
				w.violate("4: %s has replaced its program %d times in one attempt", m.name, w.commits[key])
			}
		}
	case "prepare", "discard", "drain", "forget":
		if v := m.installed(); v != o.p.version && !m.ownDown && !m.journalSays("returning") {
			w.violate("4: %s runs %s, and after %s its program is %q", o.p.name, o.p.version, o.what, v)
		}
	case "transfer":
		o.p.fixed = errors.Is(err, errors.ErrUnsupported)
	}
	w.seen[o.what]++
	w.log.add(o.p.name, "%s: %v", o, err)
	w.checkFiles(m)
}

func (w *world) checkFiles(m *machine) {
	if m.installed() == "" {
		w.violate("5: the program of %s is not complete", m.name)
	}
}

// leads reports whether the process believes that it leads.
func (p *process) leads() bool {
	return slices.ContainsFunc(p.members, func(m cluster.Member) bool { return m.Leader && string(m.ID) == p.m.name })
}

// canHandOver reports whether the process may have somebody to hand leadership
// over to.
func (p *process) canHandOver() bool {
	return !p.fixed && slices.ContainsFunc(p.members, func(m cluster.Member) bool { return m.Voter && string(m.ID) != p.m.name })
}

func (w *world) sawMembers(ctx context.Context, p *process, all []cluster.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.members = slices.Clone(all)
	if ctx.Value(caller{}) == nil {
		p.own.members = p.members
	}
	leaders := 0
	for _, m := range all {
		if m.Leader {
			leaders++
		}
	}
	if leaders > 1 {
		w.violate("of cluster.Membership: %s sees %d leaders", p.name, leaders)
	}
}

func (w *world) loaded(ctx context.Context, p *process, key string, value []byte) {
	if key != tracking.KeyRun {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := w.run, error(nil)
	if !bytes.Equal(value, w.rawRun) {
		r, err = tracking.DecodeRun(value)
	}
	if err != nil {
		return
	}
	p.sawRun(r)
	if ctx.Value(caller{}) == nil {
		p.own.run = r
	}
}

func (p *process) sawRun(r tracking.Run) {
	p.turn, p.turnRun = nil, r.ID
	if t := r.Turn(p.m.name); t != nil {
		turn := *t
		p.turn = &turn
	}
}

// swapped judges a swap that was carried out.
func (w *world) swapped(p *process, key string, value []byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if !errors.Is(err, tracking.ErrConflict) {
			w.log.add(p.name, "swap %s: %v", key, err)
		}
		return
	}
	switch key {
	case tracking.KeyRun:
		r, err := tracking.DecodeRun(value)
		if err != nil {
			w.violate("%s writes a run that cannot be read: %v", p.name, err)
			return
		}
		w.log.add(p.name, "run: %s", describe(w.run, r))
		w.seen["swap of run"]++
		w.checkSwap(p, w.run, r)
		w.run, w.rawRun = r, bytes.Clone(value)
		p.sawRun(r)
	case tracking.KeyPlan:
		plan, err := tracking.DecodePlan(value)
		if err != nil {
			w.violate("%s writes a plan that cannot be read: %v", p.name, err)
			return
		}
		w.log.add(p.name, "plan %s for run %s", plan.ID, plan.Run)
		if w.run.Status == tracking.Working && w.plan.Run == w.run.ID {
			w.violate("12: %s replaces the plan %s of run %s, which works, by %s", p.name, w.plan.ID, w.run.ID, plan.ID)
		}
		w.plan = plan
	default:
		if key != tracking.KeyMember+p.m.name {
			w.violate("10: %s writes %s", p.name, key)
		}
	}
}

// allRun reports whether every member runs version, and would again.
func (w *world) allRun(version string) bool {
	return !slices.ContainsFunc(w.belonging(), func(m *machine) bool {
		return m.installed() != version || m.proc != nil && m.proc.version != version
	})
}

// checkEnd judges what is left when all was removed.
func (w *world) checkEnd() bool {
	for _, m := range w.belonging() {
		if left := m.left(); len(left) > 0 {
			w.violate("14: left on %s: %v", m.name, left)
		}
		if m.proc == nil {
			w.violate("L: %s does not run at the end", m.name)
		} else if m.proc.drained != 0 {
			w.violate("17: %s keeps its clients out", m.name)
		}
		if kept := m.kept(); kept != "" && !w.run.Committed.IsZero() {
			w.violate("19: the way back was given up, and %s keeps %s", m.name, kept)
		}
	}
	return true
}
