package raftcluster

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// What is shown of configurations as they come and go; ~ is not sure.
func TestConfigurations(t *testing.T) {
	parse := func(line string) []raft.Server {
		var all []raft.Server
		for _, word := range strings.Fields(line) {
			id, address, _ := strings.Cut(word, "@")
			s := raft.Server{ID: raft.ServerID(strings.Trim(id, "?")), Address: raft.ServerAddress(address)}
			if strings.Contains(id, "?") {
				s.Suffrage = raft.Nonvoter
			}
			all = append(all, s)
		}
		byID(all)
		return all
	}
	type look struct {
		latest       string
		leads        bool
		last, commit uint64
		after        time.Duration
		want         string
	}
	const long = 20 * time.Millisecond
	for name, looks := range map[string][]look{
		"a leader": {
			{"a b c", true, 5, 4, 0, "a~ b~ c~"}, // never seen one committed
			{"a b c", true, 9, 4, 0, "a~ b~ c~"},
			{"a b c", true, 9, 5, 0, "a b c"}, // 9 is later than the configuration
			{"a b c", true, 20, 11, 0, "a b c"},
			{"a b c d", true, 21, 20, 0, "a b c d~"},
			{"a b c d", true, 30, 20, 0, "a b c d~"},
			{"a b c d", true, 30, 21, 0, "a b c d"},
			{"a b d", true, 31, 30, 0, "a b c~ d"},
			{"a b d", true, 31, 31, 0, "a b d"},
			{"a b d?", true, 32, 31, 0, "a b d~"},
			{"a@2 b d?", true, 33, 31, 0, "a~ b d~"},
			{"a@2 b d?", true, 33, 33, 0, "a b d"},
		},
		"a follower": {
			{"a b", false, 5, 5, 0, "a~ b~"}, // 5 may be the entry before
			{"a b", false, 6, 5, long, "a~ b~"},
			{"a b", false, 6, 6, 0, "a b"},
			{"a b c", false, 7, 7, 0, "a b c~"},
			{"a b c", false, 7, 7, long, "a b c"},
		},
		"back as it was": {
			{"a b", true, 1, 1, 0, "a b"},
			{"a b c", true, 2, 1, 0, "a b c~"},
			{"a b", true, 3, 1, 0, "a b c~"}, // removed again, or never added: no way to tell
			{"a b", true, 3, 3, 0, "a b"},
		},
		"one between": {
			{"a b", true, 1, 1, 0, "a b"},
			{"a b c", true, 2, 1, 0, "a b c~"},
			{"a b d", true, 3, 1, 0, "a b c~ d~"},
			{"a b d", true, 3, 3, 0, "a b d"},
		},
		"the end of the log is lost": {
			{"a b", false, 9, 0, 0, "a~ b~"},
			{"a b", false, 9, 0, long, "a~ b~"},
			{"a b", false, 7, 6, 0, "a~ b~"},
			{"a b", false, 7, 7, 0, "a b"},
		},
		"after a start": {
			{"", false, 0, 0, 0, ""},
			{"a", false, 5, 0, 0, "a~"},
			{"a", false, 5, 0, time.Hour, "a~"}, // applied and committed are both 0
		},
	} {
		var c configurations
		now := time.Now()
		for i, l := range looks {
			now = now.Add(l.after)
			latest := parse(l.latest)
			c.look(latest, l.leads, l.last, l.commit, now)
			got := ""
			for _, s := range c.shown(latest) {
				got += " " + string(s.ID)
				if !s.sure {
					got += "~"
				}
			}
			if got = strings.TrimSpace(got); got != l.want {
				t.Errorf("%s, look %d: %s, want %s", name, i+1, got, l.want)
			}
		}
	}
	var c configurations
	for i := range 100 {
		c.look([]raft.Server{{Address: raft.ServerAddress(strings.Repeat("x", i))}}, true, 9, 0, time.Now())
	}
	if n := len(c.doubtful); n > maxDoubtful {
		t.Errorf("%d configurations are kept", n)
	}
}
