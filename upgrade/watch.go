package upgrade

import (
	"errors"
	"fmt"
	"time"
)

// A Watch says when a watcher is started: a process of the program that is
// displaced, which stays from the restart until the new program is confirmed. It
// is for servers that nobody starts again, where the death of a new program would
// be the end of the service. There is one only where the restart is made in place
// (restart.Method.InPlace): any other leaves somebody behind who acts. There is
// none where StartLimit is negative, nor on Windows.
//
// A watcher does nothing as long as all is well. It does not act on a process that
// was asked to end: by Started.AskedToEnd, by SIGINT, SIGTERM or SIGHUP that the
// watcher gets as well (a terminal sends them to both), or as far as it can be
// seen by one of them that the process dies of. Otherwise it puts the program from
// before back and becomes it, with the arguments, environment and working directory of
// the server; the process has another PID then.
type Watch int

const (
	// WatchAuto starts one where the Method sees nobody who starts the server again
	// (restart.Method.Alone).
	WatchAuto Watch = iota
	// WatchAlways starts one whatever is seen: for a supervisor that gives up at the
	// first death, for instance. One that starts the server again would start a second.
	WatchAlways
	// WatchNever starts none: for a server that is started again by somebody who is
	// not seen.
	WatchNever
)

// watchable returns an error if c asks for a watcher that there cannot be.
func (c Config) watchable() error {
	switch {
	case c.Watch < WatchAuto || c.Watch > WatchNever:
		return fmt.Errorf("upgrade: Config.Watch is %d, which is none of WatchAuto, WatchAlways and WatchNever", c.Watch)
	case c.Watch != WatchAlways:
		return nil
	case !canWatch:
		return fmt.Errorf("upgrade: Config.Watch is WatchAlways: no program can be watched here: %w", errors.ErrUnsupported)
	case !c.Restart.InPlace:
		return fmt.Errorf("upgrade: Config.Watch is WatchAlways, and restart by %s is not made in place: there is nothing to watch; leave it at WatchAuto", c.Restart.Name)
	case c.StartLimit < 0:
		return errors.New("upgrade: Config.Watch is WatchAlways, and a negative StartLimit says that nothing is put back")
	}
	return nil
}

// watches reports whether the next program is to be watched.
func (c Config) watches() bool {
	if !canWatch || !c.Restart.InPlace || c.StartLimit < 0 || c.Started.process.Start != nil {
		return false
	}
	return c.Watch == WatchAlways || c.Watch == WatchAuto && c.Restart.Alone != nil && c.Restart.Alone()
}

// lifeEnv tells a program that it is watched: "<descriptor>:<pid of the
// watcher>:<pid that is watched>".
const lifeEnv = "LEADERLAST_LIFE"

// A word is what a server says to the process that watches it.
type word byte

const (
	wordGoes    word = 'g' // the next program takes its place now
	wordBooted  word = 'b' // it has come to Boot, and watches itself from here on
	wordWaits   word = 'w' // its time is up, and it leaves itself alone
	wordReturns word = 'r' // it puts the one before back by itself
	wordOver    word = 'o' // nothing is to be watched any more
)

const (
	// watchReady is ample for a process to start and to say that it watches.
	watchReady = 30 * time.Second
	// watchEnd is ample for one to end that was told to.
	watchEnd = 5 * time.Second
	// returnBound is ample for a program that puts the one before back by itself.
	returnBound = time.Minute
)

// A charge is what a watcher has to know.
type charge struct {
	Program string        `json:"program"` // path
	Args    []string      `json:"args"`    // of the server, and the directory it was started in
	Dir     string        `json:"dir"`
	Confirm time.Duration `json:"confirm"` // from a start to its confirmation
	Stop    time.Duration `json:"stop"`    // until the next program takes the place of this one
}

// margin is what a program that watches itself gets on top, to do so.
func (c charge) margin() time.Duration { return min(max(c.Confirm/4, 5*time.Second), time.Minute) }

// greet tells the watcher, if there is one, that this program has come to Boot,
// and whether it is on trial.
func (s *Started) greet() {
	if s.UpgradedFrom == "" {
		s.life.over()
		return
	}
	s.life.say(wordBooted)
}
