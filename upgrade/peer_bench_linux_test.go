package upgrade_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

const ballast = 200 << 20

// BenchmarkReplicate brings an archive of 200 MB from one member to all others,
// over loopback, each hashing and flushing what it gets. Beside it, in turn: as
// many receivers that copy the same file from a plain server, and hash and flush
// it. Memory is that of the whole process, of all members together, above what
// it was before. "staged" is a whole Stage of it: upload, verification and
// unpacking included.
//
//	go test -run '^$' -bench Replicate -benchtime 5x ./upgrade
func BenchmarkReplicate(b *testing.B) {
	for _, n := range []int{3, 5} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			var ours, plain, memory []float64
			for range b.N {
				b.StopTimer()
				c, run := bigCrowd(b, n)
				b.StartTimer()
				took, peak := measured(b, func() { c.pullAll(run) })
				b.StopTimer()
				ours, memory = append(ours, took.Seconds()), append(memory, peak)
				file := bigFile(b, c)
				took, _ = measured(b, func() { copyAll(b, file, n-1) })
				plain = append(plain, took.Seconds())
				c.clear()
				b.StartTimer()
			}
			b.ReportMetric(median(ours), "s/pull")
			b.ReportMetric(median(plain), "s/copy")
			b.ReportMetric(median(ours)/median(plain), "ratio")
			b.ReportMetric(maxOf(memory), "MB-peak-all")
			b.ReportMetric(maxOf(memory)/float64(n), "MB-peak/member")
			b.ReportMetric(0, "ns/op")
		})
		b.Run(fmt.Sprintf("staged/members=%d", n), func(b *testing.B) {
			var ours, memory []float64
			for range b.N {
				c, _ := bigCrowd(b, n)
				file := bigFile(b, c)
				c.clear()
				for _, m := range c.members {
					c.boot(m)
				}
				took, peak := measured(b, func() {
					f, err := os.Open(file)
					if err != nil {
						b.Fatal(err)
					}
					defer f.Close()
					if _, err := c.members["m1"].Stage(b.Context(), f, upgrade.StageOptions{Size: -1}); err != nil {
						b.Fatal(err)
					}
				})
				ours, memory = append(ours, took.Seconds()), append(memory, peak)
				for _, m := range c.members {
					m.stop()
				}
				c.clear()
			}
			b.ReportMetric(median(ours), "s/stage")
			b.ReportMetric(maxOf(memory)/float64(n), "MB-peak/member")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// bigCrowd is a crowd that does not run, whose first member has taken an archive.
func bigCrowd(b *testing.B, n int) (*crowd, tracking.Run) {
	b.Helper()
	c := crowdWith(b, func(id string, c *upgrade.Config) {
		dir, err := archive.OpenDir(filepath.Join(filepath.Dir(c.Started.Program.Path), "store"))
		if err != nil {
			b.Fatal(err)
		}
		c.Archives, c.Keys, c.AllowUnsigned, c.StageTimeout = dir, nil, true, 5*time.Minute
	})
	for i := range n {
		c.boot(c.join(fmt.Sprintf("m%d", i+1), i == 0)).stop()
	}
	r, w := io.Pipe()
	go func() {
		_, err := archive.Pack(w, archive.PackConfig{
			Manifest: archive.Manifest{Product: "kvd", Version: "2.0.0", Counter: 1}, Stored: true,
			Files: []archive.PackFile{
				{Name: "bin/" + host().String() + "/kvd", Open: func() (io.ReadCloser, error) {
					return io.NopCloser(bytes.NewReader(archivetest.Program(host(), "new"))), nil
				}},
				{Name: "share/ballast", Open: func() (io.ReadCloser, error) {
					return io.NopCloser(io.LimitReader(rand.NewChaCha8([32]byte{1}), ballast)), nil
				}},
			},
		})
		w.CloseWithError(err)
	}()
	count := &counter{r: r}
	d, err := c.members["m1"].blobs.Put(b.Context(), "", count)
	if err != nil {
		b.Fatal(err)
	}
	run := tracking.Run{ID: "R", Status: tracking.Staging, Archive: tracking.Archive{Digest: string(d), Sums: "sums", Size: count.n}}
	run.Add(time.Now(), "m1", "archive.verified", "received")
	c.write(tracking.KeyRun, run.Encode)
	return c, run
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *crowd) write(key string, encode func() ([]byte, error)) {
	c.t.Helper()
	data, err := encode()
	if err != nil {
		c.t.Fatal(err)
	}
	_, rev, err := c.record.Load(context.Background(), key)
	if err == nil {
		_, err = c.record.Swap(context.Background(), key, rev, data)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// pullAll has all members fetch the archive, and say so when they have it.
func (c *crowd) pullAll(run tracking.Run) {
	var all sync.WaitGroup
	for id, m := range c.members {
		if id == "m1" {
			continue
		}
		all.Go(func() {
			if err := m.Pull(c.t.Context(), run); err != nil {
				c.t.Error(err)
			}
			c.write(tracking.KeyMember+id, tracking.Report{Member: id, Holds: "sums", HoldsFor: "R"}.Encode)
		})
	}
	all.Wait()
}

// clear empties the stores and the record.
func (c *crowd) clear() {
	for _, m := range c.members {
		for info := range m.blobs.List(context.Background()) {
			m.blobs.Delete(context.Background(), info.Digest)
		}
	}
	c.write(tracking.KeyRun, tracking.Run{}.Encode)
	for id := range c.members {
		c.write(tracking.KeyMember+id, tracking.Report{}.Encode)
	}
}

// bigFile is a copy of the archive outside of any store.
func bigFile(b *testing.B, c *crowd) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "archive")
	for info := range c.members["m1"].blobs.List(b.Context()) {
		r, _, err := c.members["m1"].blobs.Open(b.Context(), info.Digest)
		if err != nil {
			b.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(f, r); err != nil {
			b.Fatal(err)
		}
		r.Close()
		f.Sync()
		f.Close()
	}
	return path
}

// copyAll is the yardstick: n receivers of one file.
func copyAll(b *testing.B, file string, n int) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
	defer s.Close()
	dir := b.TempDir()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			resp, err := http.Get(s.URL)
			if err != nil {
				b.Error(err)
				return
			}
			defer resp.Body.Close()
			f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
			if err != nil {
				b.Error(err)
				return
			}
			defer f.Close()
			if _, err := io.Copy(io.MultiWriter(f, sha256.New()), resp.Body); err != nil {
				b.Error(err)
			}
			if err := f.Sync(); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	for i := range n {
		os.Remove(filepath.Join(dir, strconv.Itoa(i)))
	}
}

// measured returns how long do took, and by how many MB the memory of the
// process grew meanwhile, at most.
func measured(b *testing.B, do func()) (time.Duration, float64) {
	runtime.GC()
	debug.FreeOSMemory()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // forget the peak
	before := memoryOf(b, "VmRSS")
	begin := time.Now()
	do()
	return time.Since(begin), memoryOf(b, "VmHWM") - before
}

func memoryOf(b *testing.B, what string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), what+":")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1000
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

func maxOf(x []float64) float64 { return slices.Max(x) }
