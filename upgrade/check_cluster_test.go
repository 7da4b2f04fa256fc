package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// A crew is a cluster that stands still: "m1* m2 m3! m4?" is led by m1, m3 does not
// answer and m4 has no vote.
type crew struct {
	mu      sync.Mutex // of what a test may change while the Orchestrator looks
	members []cluster.Member
	letGo   error
	to      []cluster.MemberID
}

func newCrew(line string) *crew {
	c := &crew{}
	for _, word := range strings.Fields(line) {
		id := strings.Trim(word, "*!?")
		c.members = append(c.members, cluster.Member{ID: cluster.MemberID(id), Addr: "http://" + id,
			Leader: strings.Contains(word, "*"), Healthy: !strings.Contains(word, "!"), Voter: !strings.Contains(word, "?")})
	}
	return c
}

func (c *crew) Self() cluster.MemberID { return "m1" }
func (c *crew) Members(context.Context) ([]cluster.Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members), nil
}
func (c *crew) Sync(context.Context) error { return nil }
func (c *crew) TransferLeadership(_ context.Context, to cluster.MemberID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = append(c.to, to)
	return c.letGo
}

// at is an Orchestrator of m1 in that cluster; what is staged there is by it alone.
func (c *crew) at(t *testing.T, m *machine) *process {
	m.edit = func(config *Config) { config.Cluster = c }
	return m.boot()
}

func TestClusterChecks(t *testing.T) {
	never := fmt.Errorf("fixed: %w", errors.ErrUnsupported)
	for name, c := range map[string]struct {
		members string
		letGo   error
		allow   bool
		want    string
	}{
		"three":                 {members: "m1* m2 m3", want: "members-healthy pass, leader-known pass, quorum-without-one pass, leader-can-hand-over pass, members-own not-run"},
		"one of them down":      {members: "m1* m2 m3!", want: "members-healthy fail, leader-known pass, quorum-without-one pass, leader-can-hand-over pass, members-own not-run"},
		"no leader":             {members: "m1 m2 m3", want: "members-healthy pass, leader-known fail, quorum-without-one pass, leader-can-hand-over pass, members-own not-run"},
		"two":                   {members: "m1* m2", want: "members-healthy pass, leader-known pass, two-voters fail, leader-can-hand-over pass, members-own not-run"},
		"two, allowed":          {members: "m1* m2", allow: true, want: "members-healthy pass, leader-known pass, two-voters skipped, leader-can-hand-over pass, members-own not-run"},
		"two, and one voteless": {members: "m1* m2 m3?", want: "members-healthy pass, leader-known pass, two-voters fail, leader-can-hand-over pass, members-own not-run"},
		"one, and one voteless": {members: "m1* m2?", want: "members-healthy pass, leader-known pass, quorum-without-one fail, leader-can-hand-over fail, members-own not-run"},
		"never handed over":     {members: "m1* m2 m3", letGo: never, want: "members-healthy pass, leader-known pass, quorum-without-one pass, leader-can-hand-over fail, members-own not-run"},
		"cannot be told":        {members: "m1* m2 m3", letGo: errors.New("election"), want: "members-healthy pass, leader-known pass, quorum-without-one pass, leader-can-hand-over not-run, members-own not-run"},
		"alone":                 {members: "m1*", letGo: never, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				crew := newCrew(c.members)
				crew.letGo = c.letGo
				p := crew.at(t, newMachine(t))
				defer p.end()
				r, err := p.Check(t.Context(), CheckOptions{AllowOutage: c.allow})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				blocked := false
				for _, k := range r.Checks {
					if k.Member != "" {
						continue
					}
					got = append(got, k.ID+" "+string(k.Result))
					failed := k.Result == Fail
					blocked = blocked || failed && k.Severity == Blocker
					if failed && k.Fix.Text == "" || k.Title == "" || k.At.IsZero() || k.Skippable {
						t.Errorf("%+v", k)
					}
				}
				if s := strings.Join(got, ", "); s != c.want {
					t.Errorf("got  %s\nwant %s", s, c.want)
				}
				if blocked && r.Ready {
					t.Error("is ready all the same")
				}
				for _, to := range crew.to {
					if to != "m1" {
						t.Errorf("leadership was handed to %s", to)
					}
				}
			})
		})
	}
}

func TestClusterPlan(t *testing.T) {
	for name, c := range map[string]struct {
		members string
		letGo   error
		steps   string
		cost    string
	}{
		"three": {members: "m1* m2 m3",
			steps: "m2 not leading; needs 2 voters, has 3 | m3 not leading | m1 leads now, so it goes last",
			cost: "m2 m3 m1, one after the other: that member's API is away while it restarts (test), 1.5s at most last time | " +
				"writes wait once, when m1 hands leadership over | " +
				"tolerance 1 -> 0 while a voter restarts: if another one fails in those seconds, writes stop until one of the two is back"},
		"five, and one voteless": {members: "m1 m2* m3 m4 m5 m6?",
			steps: "m6 has no vote, so it goes first | m1 not leading | m3 not leading | m4 not leading | m5 not leading | m2 leads now, so it goes last",
			cost: "m6 m1 m3 m4 m5 m2, one after the other: that member's API is away while it restarts (test), 1.5s at most last time | " +
				"writes wait once, when m2 hands leadership over | tolerance 2 -> 1 while a voter restarts"},
		"two": {members: "m1* m2",
			steps: "m2 not leading | m1 leads now, so it goes last",
			cost: "m2 m1, one after the other: that member's API is away while it restarts (test), 1.5s at most last time | " +
				"no writes from m1's exit to its return | no writes from m2's exit to its return, 1.5s last time | that has to be allowed: --allow-outage"},
		"never handed over": {members: "m1* m2 m3", letGo: errors.ErrUnsupported,
			steps: "m2 not leading; needs 2 voters, has 3 | m3 not leading | m1 leads, cannot hand over: restarts last",
			cost: "m2 m3 m1, one after the other: that member's API is away while it restarts (test), 1.5s at most last time | " +
				"m1 cannot hand leadership over: no writes from its exit until another member leads, or it is back | " +
				"tolerance 1 -> 0 while a voter restarts: if another one fails in those seconds, writes stop until one of the two is back"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				crew := newCrew("m1*")
				p := crew.at(t, newMachine(t))
				defer p.end()
				stage(t, p, "1.1.0")
				crew.mu.Lock()
				crew.members, crew.letGo = newCrew(c.members).members, c.letGo
				crew.mu.Unlock()
				for _, m := range crew.members[1:] {
					r := tracking.Report{Member: string(m.ID), Version: "1.0.0", Program: "sha256:00"}
					if m.ID == "m2" {
						r.Last = &tracking.LastWord{Run: "old", Took: 38 * time.Second, Away: 1500 * time.Millisecond}
					}
					data, err := r.Encode()
					if err != nil {
						t.Fatal(err)
					}
					if _, err := crew.record(t, p).Swap(t.Context(), tracking.KeyMember+string(m.ID), "", data); err != nil {
						t.Fatal(err)
					}
				}
				plan, err := p.Plan(t.Context(), CheckOptions{})
				if err != nil {
					t.Fatal(err)
				}
				var steps []string
				for _, s := range plan.Steps {
					steps = append(steps, s.Member+" "+s.Because)
					if (s.Last == 38*time.Second) != (s.Member == "m2") {
						t.Errorf("%s took %v last time", s.Member, s.Last)
					}
				}
				if got := strings.Join(steps, " | "); got != c.steps {
					t.Errorf("got  %s\nwant %s", got, c.steps)
				}
				if got := strings.Join(plan.Cost, " | "); got != c.cost {
					t.Errorf("got  %s\nwant %s", got, c.cost)
				}
				if plan.WayBack != "1.0.0 is kept beside the program on every member" {
					t.Error(plan.WayBack)
				}
			})
		})
	}
}

func (c *crew) record(_ *testing.T, p *process) tracking.Store { return p.c.Tracking }
