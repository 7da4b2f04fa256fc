package upgradetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// Each of these is something that does not keep its contract, or a host that is
// put together wrongly. The simulation has to find it within a few seeds, and to
// say what it breaks.
func TestSimulationFindsBugs(t *testing.T) {
	for _, tc := range []struct {
		name string
		sim  Sim
		want string // part of the violation
	}{
		{"a store that forgets to compare", Sim{Members: 3, Configure: func(_ string, c *upgrade.Config) {
			c.Tracking = careless{c.Tracking}
		}}, "has not seen what it overwrites"},
		{"a membership with two leaders", Sim{Members: 3, Configure: func(_ string, c *upgrade.Config) {
			c.Cluster = allLead{c.Cluster}
		}}, "leaders"},
		{"a rename that is none", Sim{Members: 3, Configure: func(_ string, c *upgrade.Config) {
			c.Replacer = truncates{c.Replacer, c.Started.Program}
		}}, "not complete"},
		{"a Commit that does nothing", Sim{Members: 1, Configure: func(_ string, c *upgrade.Config) {
			c.Replacer = lazy{c.Replacer}
		}}, "L2"},
		{"a Prepare that replaces already", Sim{Members: 3, Configure: func(_ string, c *upgrade.Config) {
			c.Replacer = hasty{c.Replacer}
		}}, "after prepare"},
		{"a Forget that removes nothing", Sim{Members: 1, Configure: func(_ string, c *upgrade.Config) {
			c.Replacer = mindful{c.Replacer}
		}}, "19: the way back was given up"},
		{"a way back to what runs", Sim{Members: 3, Calm: true, Configure: func(_ string, c *upgrade.Config) {
			c.Replacer = still{c.Replacer}
		}}, "L2"},
		{"a Drain that restarts by itself", Sim{Members: 3, Configure: func(_ string, c *upgrade.Config) {
			c.Drain = func(ctx context.Context) (func(), error) { return nil, c.Restart.Restart(ctx, "") }
		}}, "without a restart that was granted"},
		{"an archive store that deletes nothing", Sim{Members: 3, Configure: func(_ string, c *upgrade.Config) {
			c.Archives = keeps{c.Archives}
		}}, "14: left on"},
		{"a time to be well that is longer than a member has", Sim{Members: 3, Configure: func(_ string, c *upgrade.Config) {
			c.MinHealthy = time.Hour
		}}, "L2"},
		{"a Ready that says yes to the first process alone", Sim{Members: 1, Configure: func(_ string, c *upgrade.Config) {
			if version := c.Started.Identity.Version; version != versions[0] {
				c.Ready = func(context.Context) error { return errors.New("this release does not work") }
			}
		}}, "L2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 30; seed++ {
				tc.sim.Seed = seed
				out := tc.sim.run(t)
				if out.err == nil {
					continue
				}
				if !strings.Contains(out.err.Error(), tc.want) {
					t.Fatalf("seed %d: %v, want %q\n%s", seed, out.err, tc.want, out.log)
				}
				t.Logf("seed %d: %v", seed, out.err)
				return
			}
			t.Error("30 seeds do not find it")
		})
	}
}

// careless replaces whatever is there.
type careless struct{ tracking.Store }

func (s careless) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (tracking.Revision, error) {
	for {
		rev, err := s.Store.Swap(ctx, key, old, value)
		if !errors.Is(err, tracking.ErrConflict) {
			return rev, err
		}
		if _, old, err = s.Store.Load(ctx, key); err != nil {
			return "", err
		}
	}
}

type allLead struct{ cluster.Membership }

func (m allLead) Members(ctx context.Context) ([]cluster.Member, error) {
	all, err := m.Membership.Members(ctx)
	for i := range all {
		all[i].Leader = true
	}
	return all, err
}

// truncates writes over the program instead of renaming.
type truncates struct {
	upgrade.Replacer
	program upgrade.Program
}

func (r truncates) Commit(ctx context.Context) error {
	err := r.Replacer.Commit(ctx)
	if err == nil {
		err = os.Truncate(r.program.Path, 10)
	}
	return err
}

type lazy struct{ upgrade.Replacer }

func (lazy) Commit(context.Context) error { return nil }

// mindful forgets nothing.
type mindful struct{ upgrade.Replacer }

func (mindful) Forget(context.Context) error { return nil }

// still says that it has prepared the way back, and stays where it is.
type still struct{ upgrade.Replacer }

func (r still) PrepareBack(ctx context.Context) (upgrade.Prepared, error) {
	p, err := r.Replacer.PrepareBack(ctx)
	if err == nil {
		err = r.Replacer.Discard(ctx)
	}
	return p, err
}

type hasty struct{ upgrade.Replacer }

func (r hasty) Prepare(ctx context.Context, v archive.Verified) (upgrade.Prepared, error) {
	p, err := r.Replacer.Prepare(ctx, v)
	if err == nil {
		err = r.Replacer.Commit(ctx)
	}
	return p, err
}

func (r hasty) Commit(ctx context.Context) error {
	err := r.Replacer.Commit(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// keeps deletes nothing.
type keeps struct{ archive.Store }

func (keeps) Delete(context.Context, archive.Digest) error { return nil }
