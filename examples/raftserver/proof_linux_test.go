package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

// clusters is how many run at the same time: they wait for most of it.
const clusters = 4

var full = flag.Bool("raftserver.full", false, "TestProof: each fault in each state of each member's turn, of 1, 3 and 5 members; TestNoGood: kills under each way to restart")

// TestProof upgrades real clusters, does to them what an upgrade must survive,
// and looks on from outside. What is asserted of every single scenario stands in
// proof_check and proof_eye: at most one member is down by our own hand, the
// others are a quorum, nobody leaves while it leads, the program at each path is
// one of the two complete ones, a run is finished only when all processes run the
// target, nothing starts anew once it is over, the record is the same everywhere
// and names what runs, nothing is left behind, and no acknowledged write is lost.
func TestProof(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes take minutes")
	}
	if os.Getenv("LEADERLAST_NOSKIP") == "" {
		if _, err := flocks(); err != nil {
			t.Skip("needs /proc/locks:", err)
		}
	}
	dir := t.TempDir()
	scene := show.Scene{Dir: dir}
	if err := scene.Build(context.Background(), filepath.Join(dir, product), module, "main.version="+firstVersion); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(dir, product))
	if err != nil {
		t.Fatal(err)
	}
	p := &proof{program: program}
	early, late := turnStates[:6], turnStates[6:]
	room := make(chan struct{}, clusters)
	var done sync.WaitGroup
	defer done.Wait()
	for _, g := range []struct {
		name  string
		run   func(t *testing.T, p *proof, size int, states []string)
		sizes []int
		more  []int    // in full
		some  []string // states, if not in full
		all   []string
	}{
		{"Killed", killed, []int{3}, []int{1, 5}, early, early},
		{"KilledLate", killed, []int{3}, []int{1, 5}, late, late},
		{"Killed", killed, []int{5}, nil, []string{"done", "prepared", "restarting"}, nil},
		{"Killed", killed, []int{1}, nil, []string{"claimed", "restarting", "swapped", "accepted"}, nil},
		{"Cancelled", cancelled, []int{3}, []int{1, 5}, append([]string{"staged", "pending"}, early...), append([]string{"staged", "pending"}, early...)},
		{"CancelledLate", cancelled, []int{3}, []int{1, 5}, late, late},
		{"Frozen", frozen, []int{3}, []int{5}, nil, turnStates},
		{"Away", away, []int{3}, []int{5}, nil, nil},
		{"CancelledAbsent", cancelledAbsent, []int{3}, []int{5}, []string{"staged", "prepared", "restarting"}, append([]string{"staged", "pending"}, turnStates...)},
		{"KilledMember", killedMembers, []int{3}, []int{1, 5}, []string{"claimed", "swapped"}, turnStates},
	} {
		states, sizes := g.some, g.sizes
		if *full {
			states, sizes = g.all, append(g.sizes, g.more...)
			if g.all == nil && g.some != nil {
				continue // all of it is in the others
			}
		}
		for _, size := range sizes {
			room <- struct{}{}
			done.Go(func() {
				defer func() { <-room }()
				t.Run(fmt.Sprintf("%s%d", g.name, size), func(t *testing.T) { g.run(t, p, size, states) })
			})
		}
	}
}

// A proof is what all groups of scenarios share.
type proof struct{ program []byte }

// A group runs its scenarios one after the other on the same cluster, and on a new
// one after a failure.
type group struct {
	t    *testing.T
	make func(t *testing.T) *fleet
	f    *fleet
}

func (g *group) run(name string, scenario func(f *fleet)) {
	g.t.Helper()
	if g.f == nil {
		g.f = g.make(g.t)
	}
	f := g.f
	ok := g.t.Run(name, func(t *testing.T) {
		f.begin(t)
		scenario(f)
	})
	if f.t = g.t; !ok {
		g.f = nil
	}
}

// begin is for each scenario.
func (f *fleet) begin(t *testing.T) {
	f.t, f.began = t, time.Now()
	f.mu.Lock()
	f.problems, f.notes = nil, nil
	f.mu.Unlock()
	f.eye.mu.Lock()
	f.eye.exits, f.eye.execs, f.eye.sightings = nil, nil, nil
	f.eye.mu.Unlock()
	f.logf("%s: %d members", t.Name(), len(f.boxes))
}
