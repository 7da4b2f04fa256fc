package bench

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var upgrades = flag.Int("upgrades", 20, "upgrades, and restarts of the yardstick, for each kind of traffic of BenchmarkOutage")

// startUps is of how many start-ups the median is taken.
const startUps = 5

// BenchmarkOutage upgrades the demo's server again and again under load, through
// its API, from one version to the other and back, and counts what its clients
// notice; the yardstick executes itself and passes nothing on.
func BenchmarkOutage(b *testing.B) {
	k := newKit(b)
	for _, h2 := range []bool{false, true} {
		for _, fresh := range []bool{true, false} {
			for _, post := range []bool{false, true} {
				s := shape{h2, fresh, post}
				b.Run(s.String(), func(b *testing.B) {
					for b.Loop() {
						outage(b, k, s)
						yardstickOutage(b, k, s)
					}
					b.ReportMetric(0, "ns/op")
					if load, err := os.ReadFile("/proc/loadavg"); err == nil {
						b.Logf("load average: %s", strings.TrimSpace(string(load)))
					}
				})
			}
		}
	}
}

func outage(b *testing.B, k *kit, s shape) {
	ctx := b.Context()
	var bare []time.Duration
	for range startUps {
		v, err := k.install(b.TempDir(), s.h2)
		if err != nil {
			b.Fatal(err)
		}
		defer v.stop()
		took, err := v.start(ctx)
		if err != nil {
			b.Fatal(err)
		}
		bare = append(bare, took)
		v.stop()
	}

	v, err := k.install(b.TempDir(), s.h2)
	if err != nil {
		b.Fatal(err)
	}
	defer v.stop()
	if _, err := v.start(ctx); err != nil {
		b.Fatal(err)
	}
	l := begin(b, v.caller, s, k)
	defer l.stop()
	var gaps, took, waited, away []time.Duration
	var cut, retired int
	for n := 1; n <= *upgrades; n++ {
		path := filepath.Join(v.dir, "next.zip")
		if err := k.pack(path, versions[n%2], uint64(n)); err != nil {
			b.Fatal(err)
		}
		failed := l.failures()
		begun := time.Now()
		gap, err := l.during(ctx, func() error {
			done, err := v.upgrade(ctx, path)
			if err != nil {
				return err
			}
			took = append(took, time.Since(begun))
			if r := done.Restart; r != nil {
				waited, away = append(waited, r.Waited), append(away, r.Away)
				cut, retired = cut+r.Cut, retired+r.Retired
			}
			return nil
		})
		if err != nil {
			b.Fatalf("upgrade %d: %v\n%s", n, err, v.log())
		}
		gaps = append(gaps, gap)
		if l.failures() != failed {
			b.Logf("upgrade %d: %d requests failed", n, l.failures()-failed)
		}
		if err := v.api.Unstage(ctx); err != nil {
			b.Fatal(err)
		}
	}
	l.stop()
	l.report(b, "", gaps)
	b.ReportMetric(float64(l.sent), "requests")
	b.ReportMetric(ms(slices.Max(gaps)), "gap-max-ms")
	b.ReportMetric(ms(l.slowest), "slowest-ms")
	b.ReportMetric(ms(median(took)), "upgrade-ms")
	b.ReportMetric(ms(median(waited)), "drain-ms")
	b.ReportMetric(ms(median(away)), "away-ms")
	b.ReportMetric(float64(cut), "cut")
	b.ReportMetric(float64(retired), "retired")
	b.ReportMetric(ms(median(bare)), "startup-ms")

	// The data has grown meanwhile, and every start reads all of it.
	var full []time.Duration
	for range startUps {
		v.stop()
		took, err := v.start(ctx)
		if err != nil {
			b.Fatal(err)
		}
		full = append(full, took)
	}
	b.ReportMetric(ms(median(full)), "startup-full-ms")
}

func yardstickOutage(b *testing.B, k *kit, s shape) {
	ctx := b.Context()
	var bare []time.Duration
	var y *yardstick
	for range startUps {
		if y != nil {
			y.stop()
		}
		y = &yardstick{kit: k, dir: b.TempDir()}
		defer y.stop()
		took, err := y.start(ctx, s.h2)
		if err != nil {
			b.Fatal(err)
		}
		bare = append(bare, took)
	}
	l := begin(b, y.caller, s, k)
	defer l.stop()
	var gaps []time.Duration
	for n := 1; n <= *upgrades; n++ {
		gap, err := l.during(ctx, func() error { return y.restart(ctx) })
		if err != nil {
			b.Fatalf("yardstick, restart %d: %v", n, err)
		}
		gaps = append(gaps, gap)
	}
	l.stop()
	l.report(b, "yardstick-", gaps)
	b.ReportMetric(ms(median(bare)), "yardstick-startup-ms")
}

// begin writes the key that the clients read, and starts them.
func begin(b *testing.B, c caller, s shape, k *kit) *load {
	b.Helper()
	once := shape{h2: s.h2, fresh: true, post: true}
	if err := c.call(once.client(k.roots), once); err != nil {
		b.Fatal(err)
	}
	return startLoad(c, s, k.roots)
}

func (l *load) failures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *load) report(b *testing.B, prefix string, gaps []time.Duration) {
	b.ReportMetric(float64(l.failed), prefix+"failed")
	b.ReportMetric(ms(median(gaps)), prefix+"gap-ms")
	if l.first != nil {
		b.Logf("%s%d of %d requests failed, first: %v", prefix, l.failed, l.sent, l.first)
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
