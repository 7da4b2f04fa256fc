package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/spf13/afero"
)

const benchSize = 200 << 20

// BenchmarkCheck stages 200 MiB of stored entries: Put of the archive is timed
// as B/s, then Check, and both against writing the same bytes once with fsync
// while hashing them, in the same run.
func BenchmarkCheck(b *testing.B) {
	dir := b.TempDir()
	file := filepath.Join(dir, "release.zip")
	policy := benchArchive(b, file)
	var heap uint64
	var put, check, plain time.Duration
	b.SetBytes(benchSize)
	for b.Loop() {
		root := filepath.Join(dir, "store")
		store := newDir(b, afero.NewOsFs(), root)
		runtime.GC()
		idle := heapNow()
		peak := watchHeap()
		start := time.Now()
		f, err := os.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		d, err := store.Put(context.Background(), "", f)
		f.Close()
		if err != nil {
			b.Fatal(err)
		}
		put += time.Since(start)
		start = time.Now()
		if _, err := archive.Check(context.Background(), store, d, policy); err != nil {
			b.Fatal(err)
		}
		check += time.Since(start)
		heap = max(heap, peak()-idle)
		b.StopTimer()
		plain += plainWrite(b, file, filepath.Join(dir, "plain"))
		os.RemoveAll(root)
		b.StartTimer()
	}
	b.ReportMetric(float64(heap)/(1<<20), "peak-MiB")
	b.ReportMetric(put.Seconds()/plain.Seconds(), "put/plain")
	b.ReportMetric(check.Seconds()/plain.Seconds(), "check/plain")
	b.ReportMetric((put+check).Seconds()/plain.Seconds(), "stage/plain")
}

func benchArchive(b *testing.B, file string) archive.Policy {
	b.Helper()
	r := rand.NewChaCha8([32]byte{1})
	main := append([]byte(server), make([]byte, benchSize*3/4)...)
	client := make([]byte, benchSize/4)
	r.Read(main[len(server):])
	r.Read(client)
	open := func(p []byte) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p)), nil }
	}
	key := newKey(b)
	packed, _ := pack(b, archive.PackConfig{Stored: true, Manifest: archive.Manifest{Product: "server", Version: "1"},
		Files: []archive.PackFile{{Name: program, Open: open(main)}, {Name: "bin/linux/amd64/client", Open: open(client)}}})
	writeFile(b, file, sign(b, packed, key, ""))
	return archive.Policy{Product: "server", Program: "server", Platforms: []archive.Platform{linuxAMD64}, Keys: []archive.PublicKey{key.Public()}}
}

// plainWrite copies from to to once, hashing and flushing, and removes it.
func plainWrite(b *testing.B, from, to string) time.Duration {
	b.Helper()
	start := time.Now()
	in, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(to)
	defer out.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(out, h)}, struct{ io.Reader }{in}, make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
	if err := out.Sync(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func heapNow() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// watchHeap samples the heap until the returned func is called, which returns
// the largest value seen.
func watchHeap() (peak func() uint64) {
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		var m uint64
		for {
			m = max(m, heapNow())
			select {
			case <-tick.C:
			case <-stop:
				most <- m
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-most
	}
}
