package upgrade

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// watchedKey makes this binary a server whose next program is watched: how that
// one, or the old one, fares.
const watchedKey = "LEADERLAST_TEST_WATCHED"

func TestMain(m *testing.M) {
	if how := os.Getenv(watchedKey); how == "inherits" {
		inheritance()
	} else if how != "" {
		if how == "watcher dies" && os.Getenv(watchEnv) != "" {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		Probe(Identity{Product: "kvd"})
		(&watchedServer{how: how}).main()
	}
	os.Exit(m.Run())
}

// A watchedServer is one life of a server in a test. It says on its standard
// output what it does, and ends when its standard input does.
type watchedServer struct {
	how     string
	version string // the last two bytes of the program
	sockets *restart.Sockets
	*Started
}

func (s *watchedServer) say(format string, args ...any) {
	fmt.Printf("%s %d: %s\n", s.version, os.Getpid(), fmt.Sprintf(format, args...))
}

func (s *watchedServer) must(err error) {
	if err != nil {
		s.say("error: %v", err)
		os.Exit(1)
	}
}

// inheritance writes what this child has of its parent that is the library's.
func inheritance() {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "LEADERLAST_") && name != watchedKey && name != "LEADERLAST_NOSKIP" { // those two are the test's
			fmt.Print(name, " ")
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			fmt.Print(to, " ")
		}
	}
	os.Exit(0)
}

// leavesNothing starts a child, as any server may, and says what that has
// inherited that it should not have.
func (s *watchedServer) leavesNothing() {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), watchedKey+"=inherits")
	out, err := cmd.Output()
	s.must(err)
	if len(out) > 0 {
		s.say("a child has %s", out)
	}
}

// wait returns when the test closes standard input.
func (s *watchedServer) wait() { io.Copy(io.Discard, os.Stdin) }

func (s *watchedServer) main() {
	b, err := os.ReadFile("/proc/self/exe")
	s.must(err)
	s.version = string(b[len(b)-2:])
	if s.version == "v2" {
		s.beforeBoot()
	}
	s.sockets, err = restart.New(restart.Config{})
	s.must(err)
	s.Started, err = Boot(Identity{Product: "kvd", Version: s.version})
	s.must(err)
	s.leavesNothing()
	switch {
	case s.version == "v2":
		s.next()
	case s.PutBackFrom != "":
		s.say("put back from %s, which %s; %v", s.PutBackFrom, s.PutBackWhy, os.Args[1:])
	case s.ledger.now().Phase != phaseNone:
		s.say("started again")
	default:
		s.leave()
	}
	s.wait()
	os.Exit(0)
}

func (s *watchedServer) beforeBoot() {
	switch s.how {
	case "exits":
		os.Exit(3)
	case "hangs before Boot":
		s.say("hangs")
		signal.Ignore(syscall.SIGTERM)
		s.wait()
		select {}
	case "is told to end":
		s.say("serves")
		s.wait()
		time.Sleep(time.Minute) // the signal is on its way
	}
}

// next is the new program on trial.
func (s *watchedServer) next() {
	k := s.life.get()
	unwatched := func() {
		<-k.ended
		kids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", os.Getpid(), os.Getpid()))
		s.say("unwatched, children %q", strings.TrimSpace(string(kids)))
	}
	switch s.how {
	case "exits later":
		os.Exit(3)
	case "is killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "stops":
		s.say("stops") // and is judged by the watcher alone
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "never well":
		s.trial.runs()
		go func() {
			for range time.Tick(10 * time.Millisecond) {
				s.trial.reached(time.Now())
				s.trial.judged(time.Now(), "has no licence")
			}
		}()
	case "confirmed":
		(&Orchestrator{c: Config{Started: s.Started}}).confirmed()
		unwatched()
	case "watcher is killed":
		syscall.Kill(k.watcher, syscall.SIGKILL)
		unwatched()
		(&Orchestrator{c: Config{Started: s.Started}}).confirmed()
		s.say("goes on")
	case "ends when asked":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		s.say("serves")
		<-c
		s.AskedToEnd()
		os.Exit(1)
	case "closes the way":
		if s.ledger.now().NoWayBack {
			s.say("again, stuck %q", s.Stuck)
			return
		}
		s.must(s.NoWayBack(context.Background()))
		os.Exit(3)
	case "dies in putting back":
		// As far as the seal, and no further.
		s.life.say(wordReturns)
		s.must(s.ledger.seal(func(j *journal) { j.Phase, j.Why = phaseReturning, "was never well" }))
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

// leave is the old program in its turn.
func (s *watchedServer) leave() {
	ctx := context.Background()
	dir := s.Program.Dir()
	method := s.sockets.Exec()
	if s.how == "old is killed" {
		method.Restart = func(context.Context, string) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	}
	o, err := New(Config{
		Started: s.Started, Archives: &archivetest.Memory{}, Cluster: cluster.Single("m1", "http://127.0.0.1"), Tracking: trackingtest.NewMemory(),
		AllowUnsigned: true, Logger: hclog.New(&hclog.LoggerOptions{Output: os.Stderr}), MinHealthy: 100 * time.Millisecond, ConfirmTimeout: time.Minute,
		Restart: method, Watch: WatchAlways, Replacer: &Executable{Program: s.Program},
	})
	s.must(err)
	switch s.how {
	case "stops":
		o.c.ConfirmTimeout = 10 * time.Second
	case "hangs before Boot":
		o.c.ConfirmTimeout = 500 * time.Millisecond
	}
	next, err := os.ReadFile(filepath.Join(dir, "next"))
	s.must(err)
	old, err := s.Program.Digest(ctx)
	s.must(err)
	r := fakeRelease{"kvd": string(next)}
	s.must(o.journalize(func(j *journal) {
		j.Phase, j.Run, j.Attempt, j.Old, j.New, j.OldVersion, j.NewVersion = phaseClaimed, "R", 1, old, digestOf(string(next)), "v1", "v2"
		if j.Guard = o.c.guard(); s.how == "never well" {
			j.Guard.Confirm = 500 * time.Millisecond
		}
	}))
	_, err = o.c.Replacer.(*Executable).prepare(ctx, r.files(), r.open)
	s.must(err)
	before, _ := os.ReadDir("/proc/self/fd")
	s.must(o.leave(ctx, view{self: "m1", run: tracking.Run{ID: "R", Turns: []tracking.Turn{{Member: "m1", Digest: string(digestOf(string(next)))}}}}))
	s.must(o.c.Replacer.Discard(ctx))
	after, _ := os.ReadDir("/proc/self/fd")
	if len(after) > len(before)+1 { // the poller's
		s.say("%d descriptors, %d before", len(after), len(before))
	}
	kids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", os.Getpid(), os.Getpid()))
	s.say("stays: %s; watched %v, children %q", o.journal().Trouble, s.life.get() != nil, strings.TrimSpace(string(kids)))
}
