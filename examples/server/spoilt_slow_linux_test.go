package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
)

// TestSpoiltSlowly: a version each of whose starts lasts, and none is well for long
// enough before it ends, or is asked to by a supervisor that sees it, is put back.
func TestSpoiltSlowly(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for starts that last")
	}
	t.Parallel()
	for _, c := range []struct {
		spoilt spoil.Way
		asked  bool
	}{{spoil.EndsLate, false}, {spoil.NeverReady, true}} {
		t.Run(string(c.spoilt), func(t *testing.T) {
			t.Parallel()
			h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
			h.args = []string{"--supervised", "--start-time", "1s", "--min-healthy", "4s", "--confirm-timeout", "5s", "--listen", freeAddress(t)}
			s := h.supervise(0)
			log := h.begin(c.spoilt)
			from := log
			for c.asked {
				line := h.await(log, "serving:")
				if strings.Contains(line, "version=1.0.0") {
					break
				}
				log = h.next(log, "serving:")
				select {
				case <-time.After(1500 * time.Millisecond): // not ready for so long
				case <-h.ended:
				}
				s.signal(os.Interrupt)
			}
			h.failed(from, `was not well for [5-9]s in all while it was on trial`)
			h.holds("1.0.0")
			h.tidy()
		})
	}
}
