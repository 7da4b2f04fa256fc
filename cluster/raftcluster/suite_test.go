package raftcluster_test

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

func TestMembership(t *testing.T) {
	for name, voters := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it is waiting, for the most part
			clustertest.TestMembership(t, func(t *testing.T) []cluster.Membership {
				var all []cluster.Membership
				for _, s := range newFleet(t, voters).servers {
					all = append(all, s.member)
				}
				return all
			})
		})
	}
}

func TestStore(t *testing.T) {
	for name, voters := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trackingtest.TestStore(t, func(t *testing.T) (a, b tracking.Store) {
				f := newFleet(t, voters)
				leader := f.leader()
				if voters == 1 {
					return leader.store, leader.store
				}
				return leader.store, f.others(leader)[0].store
			})
		})
	}
}

// A restart of all members, from the log or, every other time, from a snapshot
// with some log behind it.
func TestRestart(t *testing.T) {
	for name, voters := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trackingtest.TestRestart(t, func(t *testing.T) (tracking.Store, func() tracking.Store) {
				f := newFleet(t, voters)
				f.leader()
				lives := 0
				last := f.servers[len(f.servers)-1]
				return last.store, func() tracking.Store {
					lives++
					for _, s := range f.servers {
						if lives%2 == 1 {
							if err := s.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
								t.Error(err)
							}
						}
						if err := s.raft.Shutdown().Error(); err != nil {
							t.Error(err)
						}
					}
					for _, s := range f.servers {
						s.restart()
					}
					f.elect(f.servers[0])
					return last.store
				}
			})
		})
	}
}

var errLost = errors.New("the reply is lost")
