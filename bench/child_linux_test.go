package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every measurement happens in a process of its own, so that the peak of its
// memory is that of the measured work, and nothing before it.
const childEnv = "LEADERLAST_BENCH_CHILD"

// A job is what a child process does: it prepares, measures and returns.
type job func(dir string) (time.Duration, error)

// measured is what a child reports.
type measured struct {
	Elapsed time.Duration
	Peak    int64 // bytes of resident memory at most
	Above   int64 // bytes above what it had before the work
}

func TestMain(m *testing.M) {
	name, dir, ok := strings.Cut(os.Getenv(childEnv), ":")
	if !ok {
		os.Exit(m.Run())
	}
	before := status("VmRSS")
	elapsed, err := jobs()[name](dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	peak := status("VmHWM")
	json.NewEncoder(os.Stdout).Encode(measured{elapsed, peak, peak - before})
}

// status reads a figure of /proc/self/status, in bytes.
func status(key string) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), key+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

// child runs a job in a process of its own.
func child(b *testing.B, name, dir string) measured {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name+":"+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	var m measured
	if err := json.Unmarshal(out, &m); err != nil {
		b.Fatalf("%s: %v: %s", name, err, out)
	}
	return m
}

// compare runs both jobs in turn, seven times each, and reports the medians and
// their ratio.
func compare(b *testing.B, ours, yardstick string, prepare func(b *testing.B) (dir string)) {
	for b.Loop() {
		var a, y []measured
		for range 7 {
			a = append(a, child(b, ours, prepare(b)))
			y = append(y, child(b, yardstick, prepare(b)))
		}
		byTime := func(x, y measured) int { return int(x.Elapsed - y.Elapsed) }
		slices.SortFunc(a, byTime)
		slices.SortFunc(y, byTime)
		mb := func(n int64) float64 { return float64(n) / (1 << 20) }
		peak := func(all []measured) (p, above int64) {
			for _, m := range all {
				p, above = max(p, m.Peak), max(above, m.Above)
			}
			return p, above
		}
		ap, aa := peak(a)
		yp, _ := peak(y)
		b.ReportMetric(float64(a[3].Elapsed.Milliseconds()), "ms")
		b.ReportMetric(float64(y[3].Elapsed.Milliseconds()), "yardstick-ms")
		b.ReportMetric(a[3].Elapsed.Seconds()/y[3].Elapsed.Seconds(), "ratio")
		b.ReportMetric(mb(ap), "peak-MB")
		b.ReportMetric(mb(aa), "above-idle-MB")
		b.ReportMetric(mb(yp), "yardstick-peak-MB")
	}
}
