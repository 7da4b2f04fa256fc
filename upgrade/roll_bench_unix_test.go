//go:build unix

package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// rollLimit is the processor time after which a roll is given up: the figure is
// missed by far then.
const rollLimit = 2 * time.Minute

// A roll of a whole cluster, from the upload to the end: bytes of values written
// to the record and processor time, both for each member. The record, the
// members, the archives and the replacement of programs are fakes that cost next
// to nothing; journals are files. Each member's own prerequisites are left out,
// save those of the member that is asked to start.
//
// Part of the time is of the journals, which are written out to the file system
// of TMPDIR, and part is of a garbage collector that works for all members at
// once: in a process of its own a member allocates less during a roll
// (B-allocated/member) than the 4 MiB at which Go collects first. GOGC shows how
// much that is.
func BenchmarkRoll(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var bytes int64
			var allocated uint64
			var cpu, took time.Duration
			var given string
			for range b.N {
				bubble(b, func(t *testing.T) {
					r := newRoll(t, n)
					before, heap, began := cpuTime(), totalAlloc(), time.Now()
					done := r.play(before)
					if done < n {
						given = fmt.Sprintf("given up after %v of processor time: %d of %d members done, %d swaps, %d loads", cpuTime()-before, done, n, r.swaps.Load(), r.loads.Load())
					}
					cpu += cpuTime() - before
					allocated += totalAlloc() - heap
					bytes += r.bytes.Load()
					took += time.Since(began)
				})
			}
			if given != "" {
				b.Log(given)
				b.ReportMetric(0, "finished")
				return
			}
			each := float64(b.N * n)
			b.ReportMetric(float64(bytes)/each, "record-B/member")
			b.ReportMetric(float64(allocated)/each, "B-allocated/member")
			b.ReportMetric(float64(cpu.Microseconds())/1000/each, "cpu-ms/member")
			b.ReportMetric(took.Seconds()/each, "simulated-s/member")
		})
	}
}

// bubble runs f in a testing/synctest bubble, which only a test can make.
func bubble(b *testing.B, f func(t *testing.T)) {
	all := func(string, string) (bool, error) { return true, nil }
	ran := false
	once := func(t *testing.T) {
		if !ran { // it would be repeated by -count
			ran = true
			synctest.Test(t, f)
		}
	}
	if !testing.RunTests(all, []testing.InternalTest{{Name: b.Name(), F: once}}) {
		b.Fatal("failed")
	}
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type roll struct {
	t       *testing.T
	ctx     context.Context
	sim     *clustertest.Sim
	record  *trackingtest.Memory
	blobs   *archivetest.Memory
	members []*machine
	version []string
	wg      sync.WaitGroup
	stop    context.CancelFunc

	mu    sync.Mutex
	alive map[string]*process
	list  []cluster.Member // nil after a change; nobody writes to it

	bytes, swaps, loads atomic.Int64
}

func newRoll(t *testing.T, n int) *roll {
	r := &roll{t: t, sim: clustertest.NewSim(), record: trackingtest.NewMemory(), blobs: &archivetest.Memory{}, alive: map[string]*process{}}
	r.ctx, r.stop = context.WithCancel(t.Context())
	t.Cleanup(func() { r.stop(); r.wg.Wait() })
	for i := range n {
		id := fmt.Sprintf("m%04d", i+1)
		r.sim.Add(cluster.Member{ID: cluster.MemberID(id), Addr: "http://" + id, Voter: i < 7, Healthy: true, Leader: i == 0})
		m := newMachine(t)
		m.id = id
		r.members, r.version = append(r.members, m), append(r.version, "1.0.0")
	}
	for i := range r.members {
		p := r.boot(i)
		r.wg.Go(func() { r.supervise(i, p) })
	}
	synctest.Wait()
	return r
}

func (r *roll) boot(i int) *process {
	m := r.members[i]
	m.boots++
	p := &process{ended: make(chan struct{})}
	p.ctx, p.kill = context.WithCancelCause(r.ctx)
	digest := archive.DigestOf([]byte(script(r.version[i])))
	program, err := ProgramAt(m.path)
	if err != nil {
		r.t.Fatal(err)
	}
	program.sum = func(context.Context) (archive.Digest, error) { return digest, nil }
	started := newStarted(Identity{Product: "kvd", Version: r.version[i]})
	started.BootID = fmt.Sprintf("%s-boot%d", m.id, m.boots)
	if err := started.bootAs(program); err != nil {
		r.t.Fatal(err)
	}
	p.Orchestrator, err = New(Config{
		Started: started, Archives: r.blobs, Cluster: listed{r.sim.Member(cluster.MemberID(m.id)), r}, Tracking: counted{r.record, r},
		AllowUnsigned: true, Logger: hclog.NewNullLogger(), PeerClient: &http.Client{Transport: r}, Replacer: noFiles{r, i},
		Drain: func(context.Context) (func(), error) { return func() {}, nil },
		Restart: restart.Method{
			Name:    "test",
			Check:   func(context.Context, string) error { return nil },
			Restart: func(context.Context, string) error { p.kill(errKilled); return nil },
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.alive[m.id] = p
	r.mu.Unlock()
	go func() { defer close(p.ended); p.err = p.Run(p.ctx) }()
	return p
}

func (r *roll) supervise(i int, p *process) {
	for {
		<-p.ended
		if r.ctx.Err() != nil {
			return
		}
		sleep(r.ctx, time.Second)
		p = r.boot(i)
	}
}

// play rolls the cluster, and returns how many members came to the new version.
func (r *roll) play(before time.Duration) (done int) {
	first := r.alive[r.members[0].id]
	r.wg.Go(func() {
		if _, err := first.Stage(r.ctx, bytes.NewReader(packed(r.t, "1.1.0")), StageOptions{Size: -1}); err != nil {
			if r.ctx.Err() == nil {
				r.t.Error(err)
			}
			return
		}
		run, err := first.Record(r.ctx)
		if err != nil {
			return
		}
		c := tracking.Checked{Run: run.ID, Target: string(archive.DigestOf([]byte(script("1.1.0"))))}
		for _, p := range r.alive {
			p.remember(func(m *memory) { m.checked[run.ID] = c })
		}
		if _, err := first.Start(r.ctx, StartOptions{}); err != nil && r.ctx.Err() == nil {
			r.t.Error(err)
		}
	})
	for cpuTime()-before < rollLimit { // seldom: what watching costs is no member's
		sleep(r.ctx, 10*time.Second)
		data, _, _ := r.record.Load(r.ctx, tracking.KeyRun)
		g, err := tracking.DecodeGist(data)
		if err != nil {
			r.t.Error(err)
			break
		}
		if g.Status == tracking.Failed {
			run, _ := tracking.DecodeRun(data)
			r.t.Error(run.FinalState)
		}
		if g.Status == tracking.Finished || g.Status == tracking.Failed {
			break
		}
	}
	r.stop()
	r.wg.Wait()
	for _, v := range r.version {
		if v == "1.1.0" {
			done++
		}
	}
	return done
}

// RoundTrip implements http.RoundTripper: members answer for themselves.
func (r *roll) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	p := r.alive[q.URL.Host]
	r.mu.Unlock()
	var answer any
	var err error
	if strings.HasSuffix(q.URL.Path, "/report") {
		answer, err = p.PeerReport(q.Context())
	} else {
		err = p.PeerLook(q.Context())
	}
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(answer)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: q}, err
}

// listed makes the list of members once for all of them: only leadership moves
// during a roll.
type listed struct {
	cluster.Membership
	r *roll
}

func (l listed) Members(ctx context.Context) (list []cluster.Member, err error) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	if l.r.list == nil {
		l.r.list, err = l.Membership.Members(ctx)
	}
	return l.r.list, err
}

func (l listed) TransferLeadership(ctx context.Context, to cluster.MemberID) error {
	defer func() {
		l.r.mu.Lock()
		defer l.r.mu.Unlock()
		l.r.list = nil
	}()
	return l.Membership.TransferLeadership(ctx, to)
}

// counted counts what is done with the record.
type counted struct {
	tracking.Store
	r *roll
}

func (c counted) Load(ctx context.Context, key string) ([]byte, tracking.Revision, error) {
	c.r.loads.Add(1)
	return c.Store.Load(ctx, key)
}

func (c counted) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (tracking.Revision, error) {
	rev, err := c.Store.Swap(ctx, key, old, value)
	if err == nil {
		c.r.swaps.Add(1)
		c.r.bytes.Add(int64(len(value)))
	}
	return rev, err
}

// noFiles replaces nothing but the version that boots next.
type noFiles struct {
	r *roll
	i int
}

func (n noFiles) Prepare(context.Context, archive.Verified) (Prepared, error) {
	return Prepared{Program: archive.DigestOf([]byte(script("1.1.0")))}, nil
}
func (n noFiles) Commit(context.Context) error  { n.r.version[n.i] = "1.1.0"; return nil }
func (n noFiles) Discard(context.Context) error { return nil }
func (n noFiles) Restore(context.Context) error { n.r.version[n.i] = "1.0.0"; return nil }
func (n noFiles) PrepareBack(context.Context) (Prepared, error) {
	return Prepared{Program: archive.DigestOf([]byte(script("1.0.0")))}, nil
}
func (n noFiles) Forget(context.Context) error { return nil }
