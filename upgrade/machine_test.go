package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A machine is a server in a test: a directory with a program, a record and an
// archive store that outlive its processes.
type machine struct {
	t      *testing.T
	path   string // of the program
	record *trackingtest.Memory
	blobs  *archivetest.Memory

	id      string             // of the member
	sim     *clustertest.Sim   // nil: a cluster of one
	peers   http.RoundTripper  // of the other members; nil if there are none
	leaving func()             // is called when a process is about to restart
	seen    func(tracking.Run) // is called when a swap of the run has happened, before its caller knows
	edit    func(*Config)      // of every process that boots
	damaged bool               // the journal is, and the start says so
	boots   int
	execs   int
	crash   int  // kills the process at this operation on the record; 0 never
	after   bool // the operation is applied before it dies
	ops     atomic.Int64
	killed  atomic.Int64
}

// script is a program that answers a probe as version of kvd.
func script(version string) string {
	return fmt.Sprintf(`#!/bin/sh
if [ -n "$LEADERLAST_PROBE" ]; then
	echo '{"nonce":"'"${LEADERLAST_PROBE#*:}"'","product":"kvd","version":"%s","os":"%s","arch":"%s","reads":[1],"writes":1}' >&3
	exit 0
fi
echo %s
`, version, goos, goarch, version)
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, id: "m1", path: filepath.Join(t.TempDir(), "kvd"), record: trackingtest.NewMemory(), blobs: &archivetest.Memory{}}
	if err := os.WriteFile(m.path, []byte(script("1.0.0")), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

// installed is the version that starting the server would start.
func (m *machine) installed() string {
	m.t.Helper()
	b, err := os.ReadFile(m.path)
	if err != nil {
		m.t.Fatalf("there is no program at the path: %v", err)
	}
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0", "1.3.0"} {
		if string(b) == script(version) {
			return version
		}
	}
	m.t.Fatalf("the program at the path is none of ours:\n%s", b)
	return ""
}

// leftovers are the files beside the program that should not be there once
// nothing is in flight.
func (m *machine) leftovers() []string {
	entries, err := os.ReadDir(filepath.Dir(m.path))
	if err != nil {
		m.t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		switch e.Name() {
		case "kvd", ".kvd.previous", ".kvd.upgrade.json":
		default:
			left = append(left, e.Name())
		}
	}
	return left
}

// A process is one life of the server.
type process struct {
	*Orchestrator
	ctx   context.Context
	kill  context.CancelCauseFunc
	ended chan struct{}
	err   error // of Run
}

var errKilled = errors.New("killed")

// boot starts the program at the path.
func (m *machine) boot() *process {
	m.t.Helper()
	m.boots++
	p := &process{ended: make(chan struct{})}
	p.ctx, p.kill = context.WithCancelCause(m.t.Context())
	id := Identity{Product: "kvd", Version: m.installed()}
	started := newStarted(id)
	started.BootID, started.process.Start = fmt.Sprintf("%s-boot%d", m.id, m.boots), func(string) error {
		if p.Orchestrator != nil { // its goroutines end with the process
			p.kill(errKilled)
			<-p.ended
		}
		return errKilled
	}
	started.parent = os.Getpid // who waits for it is in the same process here
	started.exit = func(int) { p.kill(errKilled) }
	program, err := ProgramAt(m.path)
	if err == nil {
		err = started.bootAs(program)
	}
	if err != nil && !m.damaged {
		m.t.Fatal(err)
	}
	var dead atomic.Bool
	record := trackingtest.Faulty(m.record, func(op, key string) (bool, error) {
		if dead.Load() {
			return false, errKilled
		}
		if op != trackingtest.OpSwap {
			return true, nil
		}
		if m.ops.Add(1) != int64(m.crash) {
			return true, nil
		}
		m.killed.Add(1)
		dead.Store(true)
		p.kill(errKilled)
		return m.after, errKilled
	})
	c := Config{
		Started: started, Archives: m.blobs, Cluster: m.membership(), Tracking: watched{record, m.seen},
		AllowUnsigned: true, Logger: hclog.NewNullLogger(),
		Drain: func(context.Context) (func(), error) { return func() {}, nil },
		Restart: restart.Method{
			Name:  "test",
			Check: func(context.Context, string) error { return nil },
			Restart: func(context.Context, string) error {
				m.execs++
				if m.leaving != nil {
					m.leaving()
				}
				p.kill(errKilled)
				return nil
			},
		},
	}
	if m.peers != nil {
		c.PeerClient = &http.Client{Transport: m.peers}
	}
	if m.edit != nil {
		m.edit(&c)
	}
	if p.Orchestrator, err = New(c); err != nil {
		m.t.Fatal(err)
	}
	go func() { defer close(p.ended); p.err = p.Run(p.ctx) }()
	return p
}

// watched is a store that tells of the runs that are swapped into it.
type watched struct {
	tracking.Store
	seen func(tracking.Run)
}

func (w watched) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (tracking.Revision, error) {
	rev, err := w.Store.Swap(ctx, key, old, value)
	if err == nil && key == tracking.KeyRun && w.seen != nil {
		if r, err := tracking.DecodeRun(value); err == nil {
			w.seen(r)
		}
	}
	return rev, err
}

func (m *machine) membership() cluster.Membership {
	if m.sim != nil {
		return m.sim.Member(cluster.MemberID(m.id))
	}
	return cluster.Single(cluster.MemberID(m.id), "http://"+m.id)
}

// live boots the machine again and again until the run of the record has ended.
func (m *machine) live() tracking.Run {
	m.t.Helper()
	for range 20 {
		p := m.boot()
		run, err := p.endOfRun()
		p.kill(errKilled)
		<-p.ended
		if err == nil {
			return run
		}
	}
	m.t.Fatalf("the run does not end:\n%s", m.transcript())
	return tracking.Run{}
}

// endOfRun waits until the run has ended, or the process.
func (p *process) endOfRun() (tracking.Run, error) {
	var last tracking.Run
	err := p.until(p.ctx, func(r tracking.Run) bool {
		last = r
		return r.Status != tracking.Working && r.Status != tracking.Staging
	})
	return last, err
}

func (m *machine) run() tracking.Run {
	data, _, err := m.record.Load(context.Background(), tracking.KeyRun)
	if err != nil {
		m.t.Fatal(err)
	}
	r, err := tracking.DecodeRun(data)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func (m *machine) transcript() string {
	var b strings.Builder
	for _, l := range m.run().Log {
		fmt.Fprintf(&b, "%d %s %s %s\n", l.Seq, l.Member, l.Type, l.Text)
	}
	return b.String()
}

// packed is an archive of version, unsigned.
func packed(t *testing.T, version string) []byte {
	t.Helper()
	return packedAs(t, version, script(version))
}

func packedAs(t *testing.T, version, program string) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := archive.Pack(&b, archive.PackConfig{
		Manifest: archive.Manifest{Product: "kvd", Version: version, Counter: 1},
		Files: []archive.PackFile{{
			Name: "bin/" + goos + "/" + goarch + "/kvd",
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(program)), nil },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func stage(t *testing.T, p *process, version string) {
	t.Helper()
	if _, err := p.Stage(t.Context(), strings.NewReader(string(packed(t, version))), StageOptions{By: "jane", Size: -1}); err != nil {
		t.Fatal(err)
	}
}

// spoil replaces a file beside the program, or removes it.
func (m *machine) spoil(name, content string) {
	m.t.Helper()
	path := filepath.Join(filepath.Dir(m.path), name)
	if err := os.Remove(path); err != nil {
		m.t.Fatal(err)
	}
	if content == "" {
		return
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// inBubble runs a test in a bubble of its own.
func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
