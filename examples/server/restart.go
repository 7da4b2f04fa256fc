package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// restarts are the ways in which the server starts over with a new program.
var restarts = []string{"exec", "hand-over", "exit"}

func (s *server) checkRestart() error {
	if !slices.Contains(restarts, s.restart) {
		return fmt.Errorf("--restart %q: say %s", s.restart, strings.Join(restarts, ", "))
	}
	return nil
}

// method is how the server starts over. It is told when this program is accepted.
func (s *server) method(sockets *restart.Sockets) restart.Method {
	m := s.plainMethod(sockets)
	confirm := m.Confirm
	m.Confirm = func() {
		if confirm != nil {
			confirm()
		}
		if s.onTrial { // else there may be one beside this one that is
			s.accepted()
		}
	}
	return m
}

func (s *server) plainMethod(sockets *restart.Sockets) restart.Method {
	switch s.restart {
	case "hand-over":
		return sockets.HandOver(restart.HandOverConfig{Release: s.release, Reacquire: s.reacquire, Trust: s.supervised})
	case "exit":
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
