package main

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
)

// BenchmarkPutBack takes the time from the death of a version that is no good until
// the old one answers, by each method, and beside it, in the same run, from the
// start of the old one alone until it answers. The pause of the supervisor is in
// the first (ms/backoff), and taken off in the ratio.
func BenchmarkPutBack(b *testing.B) {
	for _, method := range []string{"exec", "hand-over", "exit"} {
		b.Run(method, func(b *testing.B) {
			var back, bare time.Duration
			for b.Loop() {
				bare += bareStart(b)
				back += putBack(b, method)
			}
			pause := backOff
			if method == "hand-over" {
				pause = 0 // nobody starts anything
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
			b.ReportMetric(ms(back), "ms/put-back")
			b.ReportMetric(ms(bare), "ms/bare-start")
			b.ReportMetric(ms(pause)*float64(b.N), "ms/backoff")
			b.ReportMetric((ms(back)-ms(pause)*float64(b.N))/ms(bare), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// answers returns when the server has answered a request that was sent from now on.
func (h *hosted) answers() time.Time {
	h.t.Helper()
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(200 * time.Microsecond) {
		if g, err := h.try(h.t.Context(), "GET", "info", nil); err == nil && g.status == 200 {
			return time.Now()
		}
	}
	h.t.Fatal("nobody answers")
	return time.Time{}
}

// bareStart is how long the old version takes from its start to its first answer.
func bareStart(b *testing.B) time.Duration {
	h := install(b, b.TempDir(), 0, 0)
	addr := freeAddress(b)
	h.args = []string{"--listen", addr}
	h.serve() // once, so that its directory is made
	h.put("color", "blue")
	h.signal(syscall.SIGINT)
	h.gone()
	h.cmd, h.ended = h.command(), make(chan struct{})
	close(h.ended)
	begun := time.Now()
	if err := h.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	took := h.answers().Sub(begun)
	h.cmd.Process.Signal(os.Interrupt)
	h.cmd.Wait()
	return took
}

// putBack is how long nobody answers after the death of a version that ends at
// once.
func putBack(b *testing.B, method string) time.Duration {
	h := install(b, b.TempDir(), 0, 0)
	h.args = []string{"--restart", method, "--start-limit", "1", "--listen", freeAddress(b)}
	if method == "hand-over" {
		h.serve()
	} else {
		h.args = append(h.args, "--supervised")
		h.supervise(0)
	}
	h.put("color", "blue")
	log := h.begin(spoil.EndsAtOnce)
	h.await(log, "spoilt:")
	died := time.Now()
	took := h.answers().Sub(died)
	h.failed(log, "")
	return took
}

// BenchmarkBadSuccessor counts the requests that fail, each on a connection of its
// own, while a successor that is no good comes and goes by hand-over. Of one that
// never comes to accept connections there are none; one that does may take with it
// what it has accepted.
func BenchmarkBadSuccessor(b *testing.B) {
	for _, w := range []spoil.Way{spoil.EndsAtOnce, spoil.Hangs, spoil.Start, spoil.EndsLate, spoil.NeverReady} {
		b.Run(string(w), func(b *testing.B) {
			var all toll
			for b.Loop() {
				h := install(b, b.TempDir(), 0, 0)
				h.env = h.marked()
				h.args = []string{"--restart", "hand-over", "--confirm-timeout", "2s", "--listen", freeAddress(b)}
				if w == spoil.EndsLate {
					h.args = append(h.args, "--min-healthy", "5s", "--confirm-timeout", "1m")
				}
				h.serve()
				clients := h.knock()
				h.failed(h.begin(w), "")
				got := clients()
				all.sent, all.failed, all.gap = all.sent+got.sent, all.failed+got.failed, max(all.gap, got.gap)
				if all.first == "" {
					all.first = got.first
				}
			}
			if all.first != "" {
				b.Log(all)
			}
			b.ReportMetric(float64(all.sent), "requests")
			b.ReportMetric(float64(all.failed), "failed")
			b.ReportMetric(float64(all.gap.Milliseconds()), "ms/longest-wait")
			b.ReportMetric(0, "ns/op")
		})
	}
}
