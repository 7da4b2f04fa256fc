package upgrade_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

const peerToken = "Bearer the members' own"

// A crowd is a cluster in one process: each member with a server on loopback, an
// archive store and an Orchestrator of its own, over one record. The first of
// them leads.
type crowd struct {
	t       testing.TB
	sim     *clustertest.Sim
	record  *trackingtest.Memory
	members map[string]*member
	edit    func(id string, c *upgrade.Config) // of every member that is added
	key     archive.PrivateKey
}

type member struct {
	*upgrade.Orchestrator
	id    string
	path  string // of its program
	srv   *httptest.Server
	blobs archive.Store
	wire  *wire // its requests to others
	face  atomic.Pointer[httpapi.Handler]
	boots int
	stop  func()
	done  chan struct{}
}

func newCrowd(t testing.TB, ids ...string) *crowd {
	t.Helper()
	return crowdWith(t, nil, ids...)
}

func crowdWith(t testing.TB, edit func(id string, c *upgrade.Config), ids ...string) *crowd {
	t.Helper()
	key, err := archive.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, sim: clustertest.NewSim(), record: trackingtest.NewMemory(), members: map[string]*member{}, edit: edit, key: key}
	for i, id := range ids {
		c.join(id, i == 0)
	}
	for _, id := range ids {
		c.boot(c.members[id])
	}
	return c
}

// join makes a member that is in the cluster, but runs nothing yet.
func (c *crowd) join(id string, leads bool) *member {
	c.t.Helper()
	m := &member{id: id, path: filepath.Join(c.t.TempDir(), "kvd"), blobs: &archivetest.Memory{}, wire: &wire{}}
	writeProgram(c.t, m.path, "old")
	m.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := m.face.Load(); h != nil {
			h.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r) // a server that does not know of upgrades
	}))
	c.t.Cleanup(m.srv.Close)
	c.members[id] = m
	c.sim.Add(cluster.Member{ID: cluster.MemberID(id), Addr: m.srv.URL, Voter: true, Healthy: true, Leader: leads})
	return m
}

func (c *crowd) boot(m *member) *member {
	c.t.Helper()
	m.boots++
	started, err := upgrade.StartedAt(upgrade.Identity{Product: "kvd", Version: "1.0.0"}, fmt.Sprintf("%s/%d", m.id, m.boots), m.path)
	if err != nil {
		c.t.Fatal(err)
	}
	conf := upgrade.Config{
		Started: started, Archives: m.blobs, Cluster: c.sim.Member(cluster.MemberID(m.id)), Tracking: c.record.Handle(),
		PeerClient: &http.Client{Transport: m.wire}, Keys: []archive.PublicKey{c.key.Public()},
		StageTimeout: 20 * time.Second, Logger: hclog.NewNullLogger(),
		Restart: restart.Method{Name: "test", Check: func(context.Context, string) error { return nil },
			Restart: func(context.Context, string) error { return errors.New("nothing restarts here") }},
	}
	if c.edit != nil {
		c.edit(m.id, &conf)
	}
	m.blobs = conf.Archives
	if m.Orchestrator, err = upgrade.New(conf); err != nil {
		c.t.Fatal(err)
	}
	face, err := httpapi.New(httpapi.Config{Upgrader: m.Orchestrator, Authorize: func(r *http.Request, right httpapi.Right) error {
		if right == httpapi.RightPeer && r.Header.Get("Authorization") != peerToken {
			return httpapi.ErrUnauthenticated
		}
		return nil
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	m.face.Store(face)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	m.done = done
	m.stop = func() { cancel(); <-done }
	c.t.Cleanup(m.stop)
	run := m.Orchestrator
	go func() { defer close(done); run.Run(ctx) }()
	<-run.Begun()
	return m
}

// release is an archive of the crowd's product with size bytes of ballast.
func (c *crowd) release(version string, size int) archivetest.Packed {
	c.t.Helper()
	return archivetest.Pack(c.t, archivetest.Spec{
		Product: "kvd", Program: "kvd", Version: version, Key: c.key, Stored: true,
		Files: map[string][]byte{"share/ballast": noise(size)},
	})
}

// noise is the same for the same size, and cannot be compressed.
func noise(size int) []byte {
	b := make([]byte, 0, size+32)
	for sum := sha256.Sum256([]byte("noise")); len(b) < size; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:size]
}

func (c *crowd) stage(id string, p archivetest.Packed) (upgrade.Staged, error) {
	return c.members[id].Stage(c.t.Context(), bytes.NewReader(p.Bytes), upgrade.StageOptions{Size: int64(len(p.Bytes)), Digest: p.Digest})
}

func (c *crowd) run() tracking.Run {
	c.t.Helper()
	data, _, err := c.record.Load(context.Background(), tracking.KeyRun)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := tracking.DecodeRun(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *crowd) report(id string) tracking.Report {
	c.t.Helper()
	data, _, err := c.record.Load(context.Background(), tracking.KeyMember+id)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := tracking.DecodeReport(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// until waits until the record is as ok wants it.
func (c *crowd) until(what string, ok func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, place, err := c.record.Wait(ctx, "")
		if ok() {
			return
		}
		if err == nil {
			_, _, err = c.record.Wait(ctx, place)
		}
		if err != nil {
			for id, m := range c.members {
				c.t.Logf("%s asked %q, reports %+v, lacks %+v", id, m.wire.asked(), c.report(id), c.report(id).Lacks)
			}
			c.t.Fatalf("never: %s\nrun %s\n%v", what, c.run().Status, c.run().Log)
		}
	}
}

// holds reports whether the store of member has the archive, whole, and what is
// in it.
func (c *crowd) holds(id string, p archivetest.Packed) error {
	_, err := archive.Check(c.t.Context(), noPut{c.members[id].blobs}, p.Digest, p.Policy)
	return err
}

// noPut is a store that takes nothing.
type noPut struct{ archive.Store }

func (noPut) Put(context.Context, archive.Digest, io.Reader) (archive.Digest, error) {
	return "", errors.New("was not there")
}

// empty reports whether the store of a member is.
func (c *crowd) empty(id string) bool {
	for range c.members[id].blobs.List(context.Background()) {
		return false
	}
	return true
}

// A wire makes requests as its owner, and does to them what a test wants.
type wire struct {
	mu     sync.Mutex
	before func(r *http.Request) error
	after  func(r *http.Request, resp *http.Response)
	seen   []string // of archives: host, range, status
}

func (w *wire) set(before func(*http.Request) error, after func(*http.Request, *http.Response)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = before, after
}

func (w *wire) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.seen...)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	before, after := w.before, w.after
	w.mu.Unlock()
	if before != nil {
		if err := before(r); err != nil {
			return nil, err
		}
	}
	r = r.Clone(r.Context())
	if r.URL.Query().Get("forget") == "" {
		r.Header.Set("Authorization", peerToken)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if isBlob(r) {
		w.mu.Lock()
		w.seen = append(w.seen, fmt.Sprintf("http://%s %s %d", r.URL.Host, r.Header.Get("Range"), resp.StatusCode))
		w.mu.Unlock()
	}
	if after != nil {
		after(r, resp)
	}
	return resp, nil
}

func isBlob(r *http.Request) bool { return strings.Contains(r.URL.Path, "/peer/blob/") }

// cut ends body with an error after n bytes.
type cut struct {
	io.ReadCloser
	n int64
}

var errCut = errors.New("connection reset by a test")

func (c *cut) Read(p []byte) (int, error) {
	if c.n <= 0 {
		return 0, errCut
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.n)])
	c.n -= int64(n)
	return n, err
}

func host() archive.Platform { return archive.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH} }

func writeProgram(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, archivetest.Program(host(), text), 0o755); err != nil {
		t.Fatal(err)
	}
}
