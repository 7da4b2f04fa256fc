package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// Versions of the program, oldest first.
var versions = []string{"1.0.0", "1.1.0", "1.2.0"}

// script is a program that answers a probe as version of kvd.
func script(version string) string {
	return fmt.Sprintf(`#!/bin/sh
if [ -n "$LEADERLAST_PROBE" ]; then
	echo '{"nonce":"'"${LEADERLAST_PROBE#*:}"'","product":"kvd","version":"%s","os":"%s","arch":"%s","reads":[1],"writes":1}' >&3
	exit 0
fi
echo %s
`, version, runtime.GOOS, runtime.GOARCH, version)
}

// A machine is one member's: what outlives its processes. Everything is guarded
// by the world's mutex.
type machine struct {
	w     *world
	name  string
	path  string // of the program
	blobs *archivetest.Memory

	proc    *process // nil while down
	boots   int
	removed bool // from the cluster, for good
	slow    bool
	apart   bool // cannot be reached, though it runs
	unready bool // its ready hook says no
	stuck   bool // and goes on saying so until a run has failed
	ownDown bool // left by its own hand, and was not started since

	was  string            // installed before the last call of Commit
	from map[string]string // by version: what it took the place of last
}

// A process is one life of a machine's server.
type process struct {
	*upgrade.Orchestrator
	m       *machine
	name    string // m2#3
	boot    string // id that it knows itself by
	version string
	digest  string
	ctx     context.Context
	cancel  context.CancelCauseFunc
	handler http.Handler
	gone    chan struct{} // closed when it is dead
	dead    bool
	ended   chan struct{} // closed when Run has returned
	err     error         // of Run

	members []cluster.Member // as it saw them last
	own     own              // what it acts by
	turn    *tracking.Turn   // its own, as it saw it last
	turnRun string           // the run of that
	fixed   bool             // it was told that leadership cannot be handed over
	serves  bool
	drained int
	returns bool // its restart failed, and it puts its own program back in place

	readyAt    time.Time     // since when it was ready without a break
	longest    time.Duration // that it was ready before
	everSynced bool
}

var errKilled = errors.New("killed")

func (w *world) newMachine(name string) *machine {
	dir := filepath.Join(w.dir, name)
	m := &machine{w: w, name: name, path: filepath.Join(dir, "kvd"), blobs: &archivetest.Memory{}, from: map[string]string{}}
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.WriteFile(m.path, []byte(script(versions[0])), 0o755)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.machines[name] = m
	w.order = append(w.order, name)
	return m
}

// installed is the version that starting the server would start, "" if what
// lies there is none of them, complete and executable.
func (m *machine) installed() string {
	return versionAt(m.path)
}

// kept is the version of the program that is kept to go back to, "" if none is.
func (m *machine) kept() string {
	return versionAt(filepath.Join(filepath.Dir(m.path), ".kvd.previous"))
}

func versionAt(path string) string {
	b, err := os.ReadFile(path)
	if info, e := os.Stat(path); err != nil || e != nil || info.Mode()&0o111 == 0 {
		return ""
	}
	for _, v := range versions {
		if string(b) == script(v) {
			return v
		}
	}
	return ""
}

// left names what lies beside the program and should not once nothing is in
// flight.
func (m *machine) left() []string {
	entries, err := os.ReadDir(filepath.Dir(m.path))
	if err != nil {
		m.w.t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		switch e.Name() {
		case "kvd", ".kvd.previous", ".kvd.upgrade.json":
		default:
			left = append(left, e.Name())
		}
	}
	for _, open := range []string{"claimed", "replacing"} {
		if m.journalSays(open) {
			left = append(left, "a journal that says "+open)
		}
	}
	for info := range m.blobs.List(m.w.t.Context()) {
		left = append(left, "blob "+string(info.Digest))
	}
	return left
}

// journalSays reports whether the journal of the machine is at that phase.
func (m *machine) journalSays(phase string) bool {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(m.path), ".kvd.upgrade.json"))
	return err == nil && strings.Contains(string(b), `"phase":"`+phase+`"`)
}

// boot starts the program at the path. The world's mutex is held.
func (m *machine) boot() {
	w := m.w
	version := m.installed()
	if version == "" {
		w.violate("5: %s is started, and its program is not complete", m.name)
		return
	}
	m.boots++
	p := &process{
		m: m, name: fmt.Sprintf("%s#%d", m.name, m.boots), version: version, digest: string(archive.DigestOf([]byte(script(version)))),
		gone: make(chan struct{}), ended: make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	booting := true
	started, err := upgrade.BootAt(m.path, upgrade.Identity{Product: "kvd", Version: version}, upgrade.Process{
		Gone: p.gone,
		Start: func(string) error {
			if !booting {
				p.startsOver()
			}
			return errStartsOver
		},
	})
	booting = false
	if errors.Is(err, errStartsOver) {
		w.seen["program is put back"]++
		w.log.add(m.name, "puts the program from before back in place of version %s", version)
		m.boot()
		return
	}
	if err != nil {
		w.violate("%s cannot be started: %v", m.name, err)
		return
	}
	p.boot = started.BootID
	c := upgrade.Config{
		Started: started, Archives: m.blobs, Cluster: w.cluster.Membership(m.name), Tracking: w.cluster.Record(m.name),
		AllowUnsigned: true, Logger: hclog.NewNullLogger(), MemberTimeout: w.memberTimeout, PeerClient: &http.Client{Transport: network{p}},
		Replacer: &upgrade.Executable{Program: started.Program},
		Drain:    func(context.Context) (func(), error) { return func() {}, nil },
		Stop:     func(context.Context) error { return nil },
		Ready:    func(context.Context) error { return nil },
		Restart: restart.Method{
			Name:    "simulated",
			Check:   func(context.Context, string) error { return nil },
			Restart: func(context.Context, string) error { return nil },
		},
	}
	if w.sim.Configure != nil {
		w.sim.Configure(m.name, &c)
	}
	p.wrap(&c)
	if p.Orchestrator, err = upgrade.New(c); err != nil {
		w.violate("%s: %v", p.name, err)
		return
	}
	if p.handler, err = p.newHandler(); err != nil {
		w.violate("%s: %v", p.name, err)
		return
	}
	m.proc, m.ownDown = p, false
	w.procs = append(w.procs, p)
	w.log.add(m.name, "starts as %s, version %s", p.name, version)
	go func() {
		defer close(p.ended)
		p.err = p.Run(p.ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case p.dead:
		case p.err != nil && m.ownDown: // it could not be restarted: the host ends
			p.die(p.err.Error())
			w.superviseLocked(m)
		default:
			w.violate("of Run: %s returned by itself: %v", p.name, p.err)
		}
	}()
	w.later(w.between(0, 1500*time.Millisecond), "answers", func() {
		if m.proc == p {
			p.serves = true
			m.answers()
		}
	})
}

// errStartsOver is what the start of the program that was put back returns here.
var errStartsOver = errors.New("starts over as the program from before")

// startsOver is the process becoming the program that it has put back.
func (p *process) startsOver() {
	w := p.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead {
		return
	}
	w.seen["program is put back"]++
	p.die("it puts the program from before back, and becomes it")
	p.m.boot()
}

// answers tells the cluster whether the member can be reached.
func (m *machine) answers() {
	if m.w.cluster.Answers != nil && !m.removed {
		m.w.cluster.Answers(m.name, m.proc != nil && m.proc.serves && !m.apart)
	}
	m.w.electSoon()
}

// die ends the process at once: none of its calls returns any more. The world's
// mutex is held.
func (p *process) die(why string) {
	if p.dead {
		return
	}
	p.dead = true
	p.m.w.log.add(p.name, "ends: %s", why)
	close(p.gone)
	p.cancel(errKilled)
	if p.m.proc == p {
		p.m.proc = nil
	}
	p.m.w.dropOps(p)
	p.m.w.later(p.m.w.between(0, time.Second), "is missed", p.m.answers)
	p.m.w.checkFiles(p.m)
}
