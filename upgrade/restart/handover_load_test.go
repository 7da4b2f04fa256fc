//go:build unix

package restart

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHandOverUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		name     string
		server   serverConfig
		load     loadConfig
		released bool
	}{
		{"HTTP/1.1", serverConfig{Init: 200 * time.Millisecond}, loadConfig{proto: 1, raw: true, noResend: true}, false},
		{"HTTP/1.1 released", serverConfig{Init: 200 * time.Millisecond}, loadConfig{proto: 1, raw: true, noResend: true}, true},
		{"HTTP/1.1 TLS", serverConfig{TLS: true}, loadConfig{proto: 1, tls: true, raw: true, noResend: true}, false},
		{"HTTP/2 TLS", serverConfig{TLS: true}, loadConfig{proto: 2, tls: true}, false},
		{"HTTP/2 plain", serverConfig{H2C: true}, loadConfig{proto: 2}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tt.server
			c.Linger = 5 * time.Second // idle connections in the pool of the client stay that long
			if tt.released {
				c.Store = filepath.Join(t.TempDir(), "store")
			}
			p := run(t, c, nil)
			tt.load.addr = p.first.Addr
			l := startLoad(tt.load)
			last := p.first.PID
			for range *rounds {
				served(t, l, 200)
				h := p.handOver()
				served(t, l, 100)
				p.tell("confirm")
				p.tell("elder")
				r := p.tell("report").Last
				if h.PID == last || r.Cut != 0 || r.Passed != 1 || (r.Paused > 0) != tt.released {
					t.Errorf("process %d after %d, report %+v, want another, nothing cut, and a pause: %v", h.PID, last, r, tt.released)
				}
				last = h.PID
				t.Logf("%+v", r)
			}
			served(t, l, 200)
			l.end()
			l.report(t, *rounds)
			if l.failures.Load() > 0 {
				t.Errorf("%d requests failed", l.failures.Load())
			}
		})
	}
}

// A successor that is no good costs no client anything, however it ends: only what
// it had accepted, and did not serve before it died, is lost with it.
func TestHandOverToBadProgram(t *testing.T) {
	attempts := 20
	if testing.Short() {
		attempts = 3
	}
	for _, bad := range []struct {
		name, program string
		ready         time.Duration // 300 ms if it hangs
		want          string
		loses         bool
	}{
		{"exits at once", "exit 3", 0, "exited with status 3", false},
		{"is killed", "kill -9 $$", 0, "was ended by a signal (killed)", false},
		{"exits before it is ready", "sleep 0.3; exit 4", 0, "exited with status 4", false},
		{"closes the sockets", badVariable + `=closes exec "$SELF"`, 0, "exited with status 3", false},
		{"hangs", "exec sleep 600", 300 * time.Millisecond, "took longer than 300ms, before it was ready", false},
		{"leaves before it is confirmed", badVariable + `=leaves exec "$SELF"`, 0, "exited with status 3", false},
		{"dies before it is confirmed", badVariable + `=dies exec "$SELF"`, 0, "exited with status 3", true},
		{"cannot be executed", "", 0, "exec format error", false},
	} {
		for name, released := range map[string]bool{"": false, ", released": true} {
			t.Run(bad.name+name, func(t *testing.T) {
				t.Parallel()
				program := script(t, bad.program)
				if bad.program == "" {
					program = badProgram(t)
				}
				c := quick(serverConfig{ReadyTimeout: 20 * time.Second})
				if bad.ready > 0 {
					c.ReadyTimeout = bad.ready
				}
				if released {
					c.Store = filepath.Join(t.TempDir(), "store")
				}
				p := run(t, c, nil)
				l := startLoad(loadConfig{addr: p.first.Addr, proto: 1, fresh: true, noResend: true})
				for range attempts {
					served(t, l, 20)
					if h := p.tell("handover " + program); h.PID != p.first.PID || !strings.Contains(h.Err, bad.want) || !strings.Contains(h.Err, "this program serves on") {
						t.Fatalf("process %d says %q, want process %d and %q", h.PID, h.Err, p.first.PID, bad.want)
					}
				}
				served(t, l, 20)
				for range 5 {
					if pid := servedBy(t, p.first.Addr); pid != p.first.PID {
						t.Errorf("served by %d, want %d", pid, p.first.PID)
					}
				}
				h := p.handOver() // and a good one is taken
				p.tell("confirm")
				p.tell("elder")
				if pid := servedBy(t, p.first.Addr); pid != h.PID {
					t.Errorf("served by %d, want %d", pid, h.PID)
				}
				served(t, l, 20)
				l.end()
				l.report(t, attempts)
				most := int64(0)
				if bad.loses {
					most = 6 * int64(attempts) // one of each client, which the successor had accepted
				}
				if n := l.failures.Load(); n > most {
					t.Errorf("%d requests failed in %d attempts", n, attempts)
				}
				for cause := range l.causes {
					if strings.Contains(cause, "refused") {
						t.Error(cause)
					}
				}
			})
		}
	}
}
