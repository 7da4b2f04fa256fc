package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/show"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
)

// A fault is a new version that is no good, and what the record says of it then.
type fault struct {
	way spoil.Way
	why string // pattern of the words after the version
}

// Those that do not last or never get as far as to be ready are found out soon.
var soon = []fault{
	{spoil.EndsBeforeBoot, `ended 3 times within .* of its start`},
	{spoil.EndsAtOnce, `ended 3 times within .* of its start`},
	{spoil.Start, `ended 3 times within .* of its start`},
	{spoil.Hangs, `did not come to serve within 4s`},
	{spoil.NeverReady, `is not ready: .*it is never ready, 4s after its start`},
	{spoil.NoCatchUp, `(is catching up|does not find its way into the cluster, although m. m. answer and m. leads): .*, 4s after its start`},
	{spoil.OtherVersion, `says that it is version "7\.0\....-other", not "7\.0\...."`},
	{spoil.NoCapabilities, `runs without ` + granted + `, which the program before had`},
}

// granted are the capabilities of programs that are to lose them.
const granted = "cap_net_bind_service,cap_net_raw"

// Those that are well for a while take longer: that while has to be shorter than
// what they have to be well for.
var late = []fault{
	{spoil.EndsLate, `ended 3 times within .* of its start`},
	{spoil.Flaps, `(is not ready: .*|was not well for 3s within 8s of its start)`},
}

// atOnce are ways in which a version dies at its first start. A watcher sees that,
// and asks for no second one.
var atOnce = append([]fault{
	{spoil.EndsBeforeBoot, `died before it (came to serve|was confirmed)`},
	{spoil.EndsAtOnce, `died before it (came to serve|was confirmed)`},
	{spoil.Start, `died before it (came to serve|was confirmed)`},
}, soon[3:]...)

var lateOnce = []fault{{spoil.EndsLate, `died before it (came to serve|was confirmed)`}, late[1]}

// TestNoGood upgrades real clusters of three to versions that are no good, each in
// its own way, and kills whoever is about to put that right. Every time the old
// program serves in the end and lies at its path; the record names the member, the
// reason and what to do next; the other members are the processes that they were;
// and, as in TestProof, no acknowledged write is lost and nothing is left behind.
func TestNoGood(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes take minutes")
	}
	if os.Getenv("LEADERLAST_NOSKIP") == "" {
		if _, err := flocks(); err != nil {
			t.Skip("needs /proc/locks:", err)
		}
	}
	t.Setenv("CGO_ENABLED", "0") // a program with cgo cannot give its capabilities up
	p := &nogood{program: build(t), spoilt: build(t, "main.spoilt="+spoilPlace)}
	soonest := []string{"--confirm-timeout", "4s", "--start-time", "30s"}
	patient := []string{"--confirm-timeout", "8s", "--start-time", "30s", "--min-healthy", "3s"}
	calm := []string{"--confirm-timeout", "30s", "--start-time", "30s"}
	brief := []string{"--confirm-timeout", "4s", "--start-time", "30s", "--member-timeout", "7s"}
	exits := func(args []string) []string { return append([]string{"--restart", "exit"}, args...) }
	guard := scenario{"guard killed", (*fleet).guardKilled}
	noProgram := scenario{"no program", (*fleet).noProgram}
	alone := func(args []string) []string { return append([]string{"--supervised=false"}, args...) }
	room := make(chan struct{}, clusters+2) // these wait for even more of it
	var done sync.WaitGroup
	defer done.Wait()
	for _, g := range []struct {
		name string
		run  func(g *group)
		args []string
	}{
		{"Exec", eachWay(soon, scenario{"remembered", (*fleet).remembered}, noProgram), soonest},
		{"Exit", eachWay(soon, noProgram), exits(soonest)},
		{"ExecLate", eachWay(late, guard), patient},
		{"ExitLate", eachWay(late, guard), exits(patient)},
		{"Watched", eachWay(atOnce, noProgram), alone(soonest)},
		{"WatchedLate", eachWay(lateOnce, guard, scenario{"swapped", died("swapped")}, scenario{"rejoining", died("rejoining")}), alone(patient)},
		{"Killed", killedAround, calm},
		{"KilledExit", killedAround, exits(calm)},
		{"Absent", absentFrom, brief},
		{"Corrupt", corrupted, brief},
	} {
		if g.name == "KilledExit" && !*full { // what is killed is the same as by exec
			continue
		}
		room <- struct{}{}
		done.Go(func() {
			defer func() { <-room }()
			t.Run(g.name, func(t *testing.T) { g.run(p.group(t, strings.HasPrefix(g.name, "Watched"), g.args)) })
		})
	}
}

// A nogood is what all groups share.
type nogood struct{ program, spoilt []byte }

// group is one of clusters of three, whose members are started again when they
// end, or have watchers.
func (p *nogood) group(t *testing.T, watched bool, args []string) *group {
	return &group{t: t, make: func(t *testing.T) *fleet {
		return startFleet(t, &fleet{program: p.program, spoilt: p.spoilt, supervised: true, watched: watched}, 3, 0, args...)
	}}
}

// A scenario is one more thing for a group to go through.
type scenario struct {
	name string
	run  func(*fleet)
}

func eachWay(ways []fault, more ...scenario) func(g *group) {
	return func(g *group) {
		for _, s := range ways {
			g.run(string(s.way), func(f *fleet) { f.noGood(s) })
		}
		for _, m := range more {
			g.run(m.name, m.run)
		}
	}
}

// build returns the program, linked with these values.
func build(t *testing.T, values ...string) []byte {
	t.Helper()
	scene := show.Scene{Dir: t.TempDir()}
	out := filepath.Join(scene.Dir, product)
	if err := scene.Build(context.Background(), out, module, append(values, "main.version="+firstVersion)...); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// noGood upgrades to a version that is no good. The cluster is as before in the
// end, but that it remembers.
func (f *fleet) noGood(s fault) {
	l, was := f.steady(), f.look()
	if f.way = s.way; s.way == spoil.NoCapabilities {
		f.grant()
	}
	f.stage()
	id := f.begins(f.client().Run(f.t.Context(), startPlainly))
	f.isBack(l, was, f.ended(id), s.why)
}

// grant gives every program capabilities that the next one has to have.
func (f *fleet) grant() {
	f.t.Helper()
	for _, b := range f.boxes {
		switch out, err := exec.Command("setcap", granted+"=ep", b.program).CombinedOutput(); {
		case err != nil && os.Getenv("LEADERLAST_NOSKIP") == "":
			f.t.Skipf("needs setcap: %v: %s", err, out)
		case err != nil:
			f.t.Fatalf("setcap: %v: %s", err, out)
		}
	}
}

// remembered: what was put back on a member is refused there until somebody means
// it, and put back once more then.
func (f *fleet) remembered() {
	l, was := f.steady(), f.look()
	s := soon[0]
	f.way = s.way
	f.stage()
	end := f.ended(f.begins(f.client().Run(f.t.Context(), startPlainly)))
	bad := f.failedWith(end, "PutBack", s.why)
	for i, skip := range [][]string{nil, {"failed-before"}} {
		f.warden.begin()
		id, err := f.client().Retry(f.t.Context(), retrying(skip...))
		switch {
		case i == 0 && err != nil: // it was the one that was asked
			f.refused("retry", err, bad)
		case i == 0:
			end = f.ended(id)
			f.failedWith(end, "PrerequisiteFailed", "is not ready: failed-before")
		default:
			end = f.ended(f.begins(id, err))
		}
	}
	f.isBack(l, was, end, s.why)
}

// noProgram: what cannot be executed is refused before anybody is touched.
func (f *fleet) noProgram() {
	l, was := f.steady(), f.look()
	f.way = ""
	whole := f.program
	f.program = whole[:8192]
	f.stage()
	f.program = whole
	_, err := f.client().Run(f.t.Context(), startPlainly)
	f.refused("start", err, f.boxes[0])
	f.unstage()
	f.untouched(was, nil)
	f.clean()
	f.allow(false)
	f.settle(l, f.record.latestNow())
	f.runs()
	f.judge()
}
