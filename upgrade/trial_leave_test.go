package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking/trackingtest"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A leaver is a machine whose new program is never ready, and how that leaves.
type leaver struct {
	*machine
	new func(c *Config, l *leaver) // of the new program, more than that

	mu   sync.Mutex
	did  []string      // in this order
	took time.Duration // from the first to the start
	from time.Time
}

// does notes what the new program does, and what lies at the path and stands in the
// journal by then.
func (l *leaver) does(s *Started, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.did) == 0 {
		l.from = time.Now()
	}
	j, err := loadJournal(s.Program)
	l.did = append(l.did, fmt.Sprintf("%s: %s, %s", what, l.installed(), j.Phase))
	l.took = time.Since(l.from)
	if err != nil {
		l.t.Error(err)
	}
}

// begin boots the new program, which is put back half an hour later.
func (l *leaver) begin(t *testing.T) *process {
	l.machine = swapped(t)
	l.edit = func(c *Config) {
		s := c.Started
		if s.Identity.Version != "1.1.0" {
			return
		}
		c.Ready = func(context.Context) error { return errors.New("no licence") }
		c.Drain = func(context.Context) (func(), error) {
			l.does(s, "drain")
			return func() { l.does(s, "undo") }, nil
		}
		c.Stop = func(context.Context) error { l.does(s, "stop"); return nil }
		start := s.process.Start
		s.process.Start = func(path string) error { l.does(s, "start"); return start(path) }
		if l.new != nil {
			l.new(c, l)
		}
	}
	return l.boot()
}

// A program that is put back from within lets its clients finish and stops its host
// before the old one starts; that it is put back is durable before.
func TestPutBackLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leaver{}
		p := l.begin(t)
		<-p.ended
		synctest.Wait()
		want := []string{"drain: 1.0.0, returning", "stop: 1.0.0, returning", "start: 1.0.0, returning"}
		if !slices.Equal(l.did, want) || p.err != nil {
			t.Errorf("%q, %v; want %q", l.did, p.err, want)
		}
		wantPutBack(t, l.machine, "no licence")
	})
}

// Whatever of it hangs, the old program is started once the limits are over.
func TestPutBackLeavesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := make(chan struct{})
		var hangs atomic.Bool
		var p *process
		l := &leaver{new: func(c *Config, l *leaver) {
			c.DrainTimeout, c.StopTimeout = time.Minute, 20*time.Second
			s := c.Started
			c.Drain = func(context.Context) (func(), error) { l.does(s, "drain"); <-freed; return nil, nil }
			c.Stop = func(context.Context) error { l.does(s, "stop"); <-freed; return nil }
			c.Tracking = trackingtest.Faulty(c.Tracking, func(string, string) (bool, error) {
				if hangs.Load() {
					<-freed // whatever becomes of the context
				}
				return true, nil
			})
			start := s.process.Start
			s.process.Start = func(path string) error {
				select {
				case <-p.parked:
					t.Error("Run does not hang")
				default:
				}
				close(freed)
				return start(path)
			}
		}}
		p = l.begin(t)
		time.Sleep(30*time.Minute - time.Second)
		hangs.Store(true)
		p.wake()
		<-p.ended
		synctest.Wait()
		if want := time.Minute + 20*time.Second + parkBound + 2*hookGrace; len(l.did) != 3 || l.took > want {
			t.Errorf("%q took %v, want at most %v", l.did, l.took, want)
		}
		wantPutBack(t, l.machine, "no licence")
	})
}

// A server that is asked to end meanwhile ends: whoever starts it next starts the
// old program.
func TestPutBackLeavesAskedToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p *process
		l := &leaver{}
		l.new = func(c *Config, l *leaver) {
			s := c.Started
			c.Drain = func(ctx context.Context) (func(), error) {
				l.does(s, "drain")
				p.kill(errKilled)
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
		}
		p = l.begin(t)
		<-p.ended
		synctest.Wait()
		if want := []string{"drain: 1.0.0, returning"}; !slices.Equal(l.did, want) || p.err != nil {
			t.Errorf("%q, %v; want %q", l.did, p.err, want)
		}
		wantPutBack(t, l.machine, "no licence")
	})
}

// Where the old program cannot be started, a host that was stopped ends, and one that
// was not serves on.
func TestPutBackLeavesAndCannotStart(t *testing.T) {
	for _, stops := range []bool{true, false} {
		inBubble(t, fmt.Sprint("stops ", stops), func(t *testing.T) {
			l := &leaver{new: func(c *Config, l *leaver) {
				c.Started.process.Start = func(string) error { return syscall.EPERM }
				if !stops {
					c.Stop = nil
				}
			}}
			p := l.begin(t)
			defer p.end()
			time.Sleep(31 * time.Minute)
			synctest.Wait()
			select {
			case <-p.ended:
				if !stops || !errors.Is(p.err, syscall.EPERM) || !strings.Contains(p.err.Error(), "start the server again") {
					t.Errorf("Run ended with %v", p.err)
				}
			default:
				if stops {
					t.Error("a host that was stopped serves on")
				}
			}
			if undone := slices.Contains(l.did, "undo: 1.0.0, returning"); undone == stops {
				t.Errorf("%q", l.did)
			}
		})
	}
}

// The process becomes the next program by the way that passes its sockets on, if the
// host has named one, and without them where that fails.
func TestStartOverBySockets(t *testing.T) {
	refused := errors.New("a restart is already under way")
	var by string
	way := func(name string) func(context.Context, string) error {
		return func(_ context.Context, path string) error { by = name + " " + filepath.Base(path); return refused }
	}
	for want, m := range map[string]*restart.Method{
		"":             nil,
		"restart gone": {Restart: way("restart"), Become: way("become"), InPlace: true},
		"become gone":  {Restart: way("restart"), Become: way("become")},
	} {
		by = ""
		s := newStarted(Identity{})
		s.Program = Program{Path: filepath.Join(t.TempDir(), "gone")}
		if m != nil {
			s.trial.hosted(&Orchestrator{c: Config{Restart: *m}})
		}
		if err := s.startOver(); by != want || errors.Is(err, refused) != (m != nil) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("by %q: %v; want %q", by, err, want)
		}
	}
}
