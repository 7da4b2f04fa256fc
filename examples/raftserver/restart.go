package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// restarts are the ways in which a member starts over with a new program. It is
// never handed over: two processes cannot have the log of one member.
var restarts = []string{"exec", "exit"}

func (s *server) checkRestart() error {
	if !slices.Contains(restarts, s.restart) {
		return fmt.Errorf("--restart %q: say %s", s.restart, strings.Join(restarts, ", "))
	}
	return nil
}

// method is how the member starts over.
func (s *server) method(sockets *restart.Sockets) restart.Method {
	if s.restart == "exit" {
		return restart.Exit(restart.ExitConfig{Trust: s.supervised, Sockets: sockets})
	}
	return sockets.Exec()
}

// watch is whether a new program needs somebody to watch it.
func (s *server) watch() upgrade.Watch {
	if s.supervised {
		return upgrade.WatchNever // a supervisor may not be seen from here
	}
	return upgrade.WatchAuto
}
