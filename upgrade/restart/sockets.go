package restart

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Limits of a drain where Config gives none.
const (
	DefaultLameDuck   = 5 * time.Second
	DefaultDrainBound = 10 * time.Second
	DefaultQuiet      = time.Second
)

// ErrDraining is wrapped by the error of a Drain that finds another one at work
// or not undone, and of a restart that finds another one begun.
var ErrDraining = errors.New("a restart is already under way")

// A Config says how long a restart may make clients wait, and what it may cost
// them. The zero value is fit for use.
type Config struct {
	// LameDuck is how long a drain goes on accepting while it asks connections to
	// leave with their next answer. It ends early when all have been asked.
	// DefaultLameDuck if 0, none at all if negative.
	LameDuck time.Duration

	// DrainBound is how long requests in flight may take after accepting has
	// paused; everybody who connects waits that long at worst.
	// DefaultDrainBound if 0.
	DrainBound time.Duration

	// Quiet is how long a connection must have been silent before it is taken to
	// be idle. DefaultQuiet if 0. A client that speaks in the very round trip in
	// which its idle connection is closed loses that request; a longer Quiet
	// makes that rarer and the pause longer.
	Quiet time.Duration

	// CutRequests lets a drain succeed with requests still in flight at
	// DrainBound. They go on until the program is replaced, and are cut then and
	// counted. Without it the drain rolls back and names them.
	CutRequests bool

	// KeepChildren lets exec in place go ahead although the process has live
	// children. They survive, but nobody waits for them any more.
	KeepChildren bool

	// ListenConfig opens fresh listening sockets and packet connections.
	ListenConfig net.ListenConfig
}

// Sockets are the listening sockets, packet connections and files of a server
// that live on when its program is replaced, and the traffic on them. All
// methods may be called concurrently. A process has one; it is made by New.
type Sockets struct {
	c     Config
	start start     // of this process
	epoch time.Time // zero of the instants kept in atomics

	mu        sync.Mutex
	heirlooms []*heirloom // inherited, not asked for yet
	activated []*heirloom // of LISTEN_FDS; their numbers stay open for ever
	held      []*held     // handed to the host
	servers   []*http.Server
	drain     *drain // in effect, nil if none
	draining  chan struct{}
	ready     bool
	last      predecessor
	elder     *elder // the program before while it lives on beside this one, nil if none

	restarting bool

	connMu  sync.Mutex
	conns   map[*track]struct{}
	foreign sync.Map // net.Conn -> *track, of servers that listen elsewhere

	lame    atomic.Bool   // answers ask HTTP/1 connections to leave
	paused  atomic.Bool   // and HTTP/2 connections too
	watched atomic.Bool   // somebody waits on changed
	retired atomic.Int64  // connections that left because they were asked to
	changed chan struct{} // something about a connection has changed
}

// New takes over the sockets that the program before passed on, and those of a
// service manager (LISTEN_FDS). Call it before anything that starts child
// processes or changes the working directory: it removes the variables that
// name the sockets from the environment, and notes arguments and directory for
// the next program. What was passed to another process, a parent's environment
// for instance, is left alone.
//
// A socket that is not what it is said to be is dropped, and opened afresh when
// it is asked for: New fails only where the configuration is wrong.
func New(c Config) (*Sockets, error) {
	if c.DrainBound < 0 || c.Quiet < 0 {
		return nil, fmt.Errorf("restart: new: negative DrainBound or Quiet: %w", os.ErrInvalid)
	}
	if c.LameDuck == 0 {
		c.LameDuck = DefaultLameDuck
	}
	if c.DrainBound == 0 {
		c.DrainBound = DefaultDrainBound
	}
	if c.Quiet == 0 {
		c.Quiet = DefaultQuiet
	}
	s := &Sockets{
		c:        c,
		epoch:    time.Now(),
		draining: make(chan struct{}),
		conns:    make(map[*track]struct{}),
		changed:  make(chan struct{}, 1),
	}
	s.start = captureStart()
	s.inherit()
	if s.elder != nil {
		go s.heed(s.elder)
	}
	return s, nil
}

// Ready says that this program serves. It closes the inherited sockets that
// nobody asked for, stops the clock of Report.Paused, gives SIGHUP its default
// meaning back if it is ignored only for the restart's sake, and tells a service
// manager that listens on NOTIFY_SOCKET. Where the program before still serves
// and waits for this one, it begins to accept now, and tells that one, which then
// tells the service manager. Calling it again does nothing. A host that newly
// ignores SIGHUP does so after Ready, which cannot tell whose wish it is.
//
// An error means that the service manager could not be told.
func (s *Sockets) Ready() error {
	s.mu.Lock()
	if s.ready {
		s.mu.Unlock()
		return nil
	}
	s.ready = true
	unclaimed := s.heirlooms
	s.heirlooms = nil
	s.last.end()
	ignored := s.last.Ignored
	gates, elder := s.gatesLocked(), s.elder
	s.mu.Unlock()

	for _, h := range unclaimed {
		h.close()
	}
	restoreIgnored(ignored)
	for _, g := range gates {
		g.open()
	}
	if elder != nil {
		elder.tell(saysReady)
		return nil
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("restart: ready: tell the service manager: %w", err)
	}
	return nil
}

// Last returns what the restart that began this process did to clients: the
// zero Report if it began otherwise. Until Ready, Paused is still growing. After
// a hand-over the other figures are those of its end: they are there when the
// program before has ended, and never if it was killed.
func (s *Sockets) Last() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.report()
}

// Draining returns a channel that is closed once a drain has paused accepting,
// so that a client whose stream or long poll ends then is served by the next
// program. After the drain was undone there is a new channel: ask each time.
//
// It is not closed when the drain begins: clients would come back at once, to
// the same program.
func (s *Sockets) Draining() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// now is the time since epoch, at least 1: 0 stands for "never" in atomics.
func (s *Sockets) now() int64 { return int64(time.Since(s.epoch)) + 1 }

// notify wakes the drain that waits for connections, if there is one.
func (s *Sockets) notify() {
	if !s.watched.Load() {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
