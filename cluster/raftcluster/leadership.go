package raftcluster

import (
	"sync"

	"github.com/hashicorp/raft"
)

// leadership is what raft's observations say about who leads. They are hints:
// whoever is woken by one looks for himself.
type leadership struct {
	local raft.ServerID

	mu      sync.Mutex
	leader  raft.ServerID // who was named last, never ""
	leads   bool          // the local member
	turns   uint64        // how often one of the two has changed
	heard   bool          // an observation has come
	changed chan struct{} // closed at the next observation
}

// observe has r say whenever its leader changes. All is done in the filter,
// which raft calls in its own loop: there is no channel that could be full, so
// that nothing is dropped, and nothing here blocks, so that raft is not held up.
func (l *leadership) observe(r *raft.Raft, local raft.ServerID) {
	l.local = local
	l.changed = make(chan struct{})
	r.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if o, ok := o.Data.(raft.LeaderObservation); ok {
			l.named(o.LeaderID)
		}
		return false
	}))
	_, leader := r.LeaderWithID()
	l.found(leader)
}

// found is called with whoever led when the first look was made. What has been
// observed since is newer.
func (l *leadership) found(leader raft.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.heard {
		l.note(leader)
	}
}

// named is called with whoever leads now, "" if nobody is known to. Between two
// leaders there is a time without one, which alone changes no turn for those
// that do not lead.
func (l *leadership) named(leader raft.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = true
	l.note(leader)
}

// note needs l.mu.
func (l *leadership) note(leader raft.ServerID) {
	leads := leader == l.local
	if leads != l.leads || leader != "" && leader != l.leader {
		l.turns++
	}
	l.leads = leads
	if leader != "" {
		l.leader = leader
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// watch returns how often leadership has changed, and a channel that is closed
// at the next observation.
func (l *leadership) watch() (turns uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turns, l.changed
}
