package clustertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
)

// A broken Membership does one thing wrong: what is not nil replaces the method.
type broken struct {
	cluster.Membership
	self     func() cluster.MemberID
	members  func(ctx context.Context) ([]cluster.Member, error)
	sync     func(ctx context.Context) error
	transfer func(ctx context.Context, to cluster.MemberID) error
}

func (b *broken) Self() cluster.MemberID {
	if b.self != nil {
		return b.self()
	}
	return b.Membership.Self()
}

func (b *broken) Members(ctx context.Context) ([]cluster.Member, error) {
	if b.members != nil {
		return b.members(ctx)
	}
	return b.Membership.Members(ctx)
}

func (b *broken) Sync(ctx context.Context) error {
	if b.sync != nil {
		return b.sync(ctx)
	}
	return b.Membership.Sync(ctx)
}

func (b *broken) TransferLeadership(ctx context.Context, to cluster.MemberID) error {
	if b.transfer != nil {
		return b.transfer(ctx, to)
	}
	return b.Membership.TransferLeadership(ctx, to)
}

// change returns a members that changes what m sees.
func change(m cluster.Membership, f func([]cluster.Member) []cluster.Member) func(context.Context) ([]cluster.Member, error) {
	return func(ctx context.Context) ([]cluster.Member, error) {
		members, err := m.Members(ctx)
		return f(members), err
	}
}

// brokenClusters has at least one cluster per clause, in which one member does
// one thing wrong that no other clause may notice. Members are a, b and c; a
// leads. A cluster of one has only a.
func brokenClusters() []struct {
	clause, does string
	alone        bool
	at           cluster.MemberID // whose handle is broken, "" for all
	ruin         func(s *Sim, b *broken)
} {
	return []struct {
		clause, does string
		alone        bool
		at           cluster.MemberID
		ruin         func(s *Sim, b *broken)
	}{
		{clause: "self", does: "knows itself only after a look at the members", ruin: func(s *Sim, b *broken) {
			var looked atomic.Bool
			b.members = func(ctx context.Context) ([]cluster.Member, error) {
				looked.Store(true)
				return b.Membership.Members(ctx)
			}
			b.self = func() cluster.MemberID {
				if !looked.Load() {
					return ""
				}
				return b.Membership.Self()
			}
		}},
		{clause: "all listed", does: "leaves itself out", at: "c", ruin: func(s *Sim, b *broken) {
			b.members = change(b.Membership, func(all []cluster.Member) []cluster.Member {
				return slices.DeleteFunc(all, func(m cluster.Member) bool { return m.ID == "c" })
			})
		}},
		{clause: "all listed", does: "lists itself twice", at: "c", ruin: func(s *Sim, b *broken) {
			b.members = change(b.Membership, func(all []cluster.Member) []cluster.Member {
				if len(all) > 0 {
					all = append(all, all[len(all)-1])
				}
				return all
			})
		}},
		{clause: "sorted", does: "lists itself first", at: "c", ruin: func(s *Sim, b *broken) {
			b.members = change(b.Membership, func(all []cluster.Member) []cluster.Member {
				slices.Reverse(all)
				return all
			})
		}},
		{clause: "one leader", does: "holds itself for a leader beside the other", at: "c", ruin: func(s *Sim, b *broken) {
			b.members = change(b.Membership, func(all []cluster.Member) []cluster.Member {
				if len(all) > 0 {
					all[len(all)-1].Leader = true
				}
				return all
			})
		}},
		{clause: "a leader", does: "never elects anybody", ruin: func(s *Sim, b *broken) {
			s.Lead("")
			b.sync = func(ctx context.Context) error { return context.Cause(ctx) }
		}},
		{clause: "a leader", does: "does not see who leads", at: "c", ruin: func(s *Sim, b *broken) {
			b.members = change(b.Membership, func(all []cluster.Member) []cluster.Member {
				for i := range all {
					all[i].Leader = false
				}
				return all
			})
		}},
		{clause: "healthy", does: "holds itself for down", at: "c", ruin: func(s *Sim, b *broken) {
			b.members = change(b.Membership, func(all []cluster.Member) []cluster.Member {
				for i := range all {
					all[i].Healthy = all[i].ID != "c"
				}
				return all
			})
		}},
		{clause: "healthy", does: "sees no voters", ruin: func(s *Sim, b *broken) {
			b.members = change(b.Membership, func(all []cluster.Member) []cluster.Member {
				for i := range all {
					all[i].Voter = false
				}
				return all
			})
		}},
		{clause: "own slice", does: "hands out its own slice", ruin: func(s *Sim, b *broken) {
			var mu sync.Mutex
			var seen, mine []cluster.Member
			b.members = func(ctx context.Context) ([]cluster.Member, error) {
				mu.Lock()
				defer mu.Unlock()
				now, err := b.Membership.Members(ctx)
				if err == nil && !slices.Equal(now, seen) {
					seen, mine = now, slices.Clone(now)
				}
				return mine, err
			}
		}},
		{clause: "sync", does: "cannot sync but on the leader", at: "c", ruin: func(s *Sim, b *broken) {
			b.sync = func(ctx context.Context) error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return errors.New("not the leader")
			}
		}},
		{clause: "transfer elsewhere", does: "passes the transfer on to the leader", at: "c", ruin: func(s *Sim, b *broken) {
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				return s.Member("a").TransferLeadership(ctx, to)
			}
		}},
		{clause: "transfer elsewhere", does: "reports that it does not lead", at: "c", ruin: func(s *Sim, b *broken) {
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return errors.New("not the leader")
			}
		}},
		{clause: "transfer", does: "returns before it has let go", at: "a", ruin: func(s *Sim, b *broken) {
			s.SetTransfer(func(from, _ cluster.MemberID) (cluster.MemberID, error) { return from, nil })
		}},
		{clause: "transfer", does: "lets go and leaves the cluster without a leader", at: "a", ruin: func(s *Sim, b *broken) {
			s.SetTransfer(func(_, _ cluster.MemberID) (cluster.MemberID, error) { return "", nil })
		}},
		{clause: "transfer", does: "moves, and says that it cannot", at: "a", ruin: func(s *Sim, b *broken) {
			s.SetTransfer(func(_, to cluster.MemberID) (cluster.MemberID, error) { return to, errors.ErrUnsupported })
		}},
		{clause: "transfer", does: "fails as it likes", at: "a", ruin: func(s *Sim, b *broken) {
			s.RefuseTransfers(errors.New("no"))
		}},
		{clause: "transfer is lasting", does: "takes leadership back", at: "a", ruin: func(s *Sim, b *broken) {
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				err := b.Membership.TransferLeadership(ctx, to)
				if err == nil {
					time.AfterFunc(100*time.Millisecond, func() { s.Lead("a") })
				}
				return err
			}
		}},
		{clause: "transfer to itself", does: "takes itself for no wish at all, and lets go", at: "a", ruin: func(s *Sim, b *broken) {
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				if to == "a" {
					to = "b"
				}
				return b.Membership.TransferLeadership(ctx, to)
			}
		}},
		{clause: "transfer to itself", does: "refuses as it likes", at: "a", ruin: func(s *Sim, b *broken) {
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				if ctx.Err() == nil && to == "a" {
					return errors.New("already there")
				}
				return b.Membership.TransferLeadership(ctx, to)
			}
		}},
		{clause: "transfer to itself", does: "can let go, and says that it cannot", at: "a", ruin: func(s *Sim, b *broken) {
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				if ctx.Err() == nil && to == "a" {
					return errors.ErrUnsupported
				}
				return b.Membership.TransferLeadership(ctx, to)
			}
		}},
		{clause: "transfer to itself", does: "can never let go, and says that it can", at: "a", ruin: func(s *Sim, b *broken) {
			s.RefuseTransfers(errors.ErrUnsupported)
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				if ctx.Err() == nil && to == "a" {
					return nil
				}
				return b.Membership.TransferLeadership(ctx, to)
			}
		}},
		{clause: "nobody else", does: "lets go of a cluster of one", alone: true, ruin: func(s *Sim, b *broken) {
			s.SetTransfer(func(_, _ cluster.MemberID) (cluster.MemberID, error) { return "", nil })
		}},
		{clause: "nobody else", does: "fails without a name", alone: true, ruin: func(s *Sim, b *broken) {
			s.RefuseTransfers(errors.New("no"))
		}},
		{clause: "cancelled", does: "syncs though the context is done", at: "c", ruin: func(s *Sim, b *broken) {
			b.sync = func(context.Context) error { return nil }
		}},
		{clause: "cancelled", does: "lists though the context is done", at: "c", ruin: func(s *Sim, b *broken) {
			b.members = func(ctx context.Context) ([]cluster.Member, error) {
				return b.Membership.Members(context.WithoutCancel(ctx))
			}
		}},
		{clause: "cancelled", does: "syncs for an hour, whatever the context says", at: "c", ruin: func(s *Sim, b *broken) {
			b.sync = func(ctx context.Context) error {
				if ctx.Err() != nil {
					time.Sleep(time.Hour)
				}
				return b.Membership.Sync(ctx)
			}
		}},
		{clause: "transfer cancelled", does: "transfers and then reports that the context is done", at: "a", ruin: func(s *Sim, b *broken) {
			b.transfer = func(ctx context.Context, to cluster.MemberID) error {
				err := b.Membership.TransferLeadership(context.WithoutCancel(ctx), to)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return err
			}
		}},
		{clause: "concurrent", does: "is busy with one call at a time", at: "c", ruin: func(s *Sim, b *broken) {
			var calls atomic.Int32
			b.members = func(ctx context.Context) ([]cluster.Member, error) {
				defer calls.Add(-1)
				if calls.Add(1) > 1 {
					return nil, errors.New("busy")
				}
				time.Sleep(time.Millisecond)
				return b.Membership.Members(ctx)
			}
		}},
	}
}

func TestBrokenClusters(t *testing.T) {
	caught := map[string]bool{}
	for _, tc := range brokenClusters() {
		caught[tc.clause] = true
		t.Run(tc.clause+": "+tc.does, func(t *testing.T) {
			for _, c := range clauses() {
				var err error
				synctest.Test(t, func(t *testing.T) {
					s := NewSim("a", "b", "c")
					if tc.alone {
						s = NewSim("a")
					}
					handles := s.Handles()
					for i, h := range handles {
						if tc.at == "" || tc.at == h.Self() {
							b := &broken{Membership: h}
							tc.ruin(s, b)
							handles[i] = b
						}
					}
					ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
					defer cancel()
					err = c.check(ctx, group{handles: handles, patience: 10 * time.Second, quiet: 300 * time.Millisecond})
					time.Sleep(2 * time.Hour) // for calls that were given up
				})
				if failed, want := err != nil, c.name == tc.clause; failed != want {
					t.Errorf("clause %q: %v", c.name, err)
				}
			}
		})
	}
	for _, c := range clauses() {
		if !caught[c.name] {
			t.Errorf("no broken cluster for clause %q", c.name)
		}
	}
}
