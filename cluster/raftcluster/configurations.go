package raftcluster

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A shown is a server of the configuration. It is sure if every configuration
// that may be in force has it, and has it the same.
type shown struct {
	raft.Server
	sure bool
}

// configurations finds out whether the latest configuration is committed. Raft
// does not tell: GetConfiguration returns the latest one, and its Index is 0.
// But the entry of a configuration that was seen has an index of at most the
// last one in the log at that moment; once that is committed, so is the
// configuration, unless it has changed again.
//
// A configuration that comes and is committed between two looks is not seen.
type configurations struct {
	mu        sync.Mutex
	committed []raft.Server
	doubtful  [][]raft.Server // seen since then, the latest last
	since     time.Time       // when the latest was seen first
	last      uint64          // index that must be committed, or unknown
}

const unknown = math.MaxUint64

// maxDoubtful bounds how many configurations are kept while none is confirmed.
// Raft has at most one in its log that is not committed.
const maxDoubtful = 8

// A follower stores a configuration just before it counts its entry as the last
// one of its log. storing is more than enough for what lies between.
const storing = 10 * time.Millisecond

// servers returns everybody who is in the configuration, or may be, by ID.
func (m *Member) servers() []shown {
	c := &m.configs
	c.mu.Lock()
	defer c.mu.Unlock()
	// In this order: what is in the log was there when the latest was stored.
	latest := slices.Clone(m.c.Raft.GetConfiguration().Configuration().Servers)
	leads := m.leads()
	last := m.c.Raft.LastIndex()
	byID(latest)
	c.look(latest, leads, last, m.c.Raft.CommitIndex(), time.Now())
	return c.shown(latest)
}

func byID(servers []raft.Server) {
	slices.SortFunc(servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
}

// look needs c.mu. The log ends at last, which is exact if this member leads.
func (c *configurations) look(latest []raft.Server, leads bool, last, commit uint64, now time.Time) {
	n := len(c.doubtful)
	if n == 0 && slices.Equal(latest, c.committed) {
		return
	}
	if n == 0 || !slices.Equal(latest, c.doubtful[n-1]) {
		// One that is back as it was is in doubt like any other: the one between may have been committed.
		c.doubtful = append(c.doubtful[max(0, n-maxDoubtful+1):], latest)
		c.since, c.last = now, unknown
	}
	if leads || now.Sub(c.since) >= storing {
		// A log that has lost its end, and not this configuration, has it further up.
		c.last = min(last, c.last)
	}
	if commit >= c.last {
		c.committed, c.doubtful = latest, nil
	}
}

// shown needs c.mu.
func (c *configurations) shown(latest []raft.Server) []shown {
	all := make([]shown, 0, len(latest))
	if len(c.doubtful) == 0 {
		for _, s := range latest {
			all = append(all, shown{s, true})
		}
		return all
	}
	// The newest comes first: that is what an ID is shown as.
	possible := append([][]raft.Server{c.committed}, c.doubtful...)
	slices.Reverse(possible)
	for _, servers := range possible {
		for _, s := range servers {
			if slices.ContainsFunc(all, func(o shown) bool { return o.ID == s.ID }) {
				continue
			}
			sure := !slices.ContainsFunc(possible, func(other []raft.Server) bool { return !slices.Contains(other, s) })
			all = append(all, shown{s, sure})
		}
	}
	slices.SortFunc(all, func(a, b shown) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return all
}
