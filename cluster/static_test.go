package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
)

// statics returns the handles of all members of a fixed cluster. Names are as
// in members; * marks the leader.
func statics(line string, probe func(context.Context, cluster.Member) (cluster.Member, error)) []cluster.Membership {
	var all []cluster.Member
	for _, word := range strings.Fields(line) {
		m := members(strings.Trim(word, "*"))[0]
		m.Leader = strings.Contains(word, "*")
		m.Addr = "http://" + string(m.ID)
		all = append(all, m)
	}
	var handles []cluster.Membership
	for i, local := range all {
		handles = append(handles, &cluster.Static{Local: local, Peers: slices.Delete(slices.Clone(all), i, i+1), Probe: probe})
	}
	return handles
}

func TestSingle(t *testing.T) {
	clustertest.TestMembership(t, func(t *testing.T) []cluster.Membership {
		return []cluster.Membership{cluster.Single("m1", "https://10.0.0.1:8092")}
	})
	got, err := cluster.Single("m1", "https://10.0.0.1:8092").Members(t.Context())
	want := []cluster.Member{{ID: "m1", Addr: "https://10.0.0.1:8092", Voter: true, Leader: true, Healthy: true}}
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestStatic(t *testing.T) {
	answers := func(_ context.Context, m cluster.Member) (cluster.Member, error) {
		m.Healthy = true
		return m, nil
	}
	for name, handles := range map[string][]cluster.Membership{
		"no probe":    statics("m2 m3 m1", nil),
		"marked":      statics("m2 m3* m1", nil),
		"with probe":  statics("m2 m3* m1", answers),
		"non-voters":  statics("m0? m2 m1", answers),
		"single only": statics("m1", answers),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it is waiting, for the most part
			clustertest.TestMembership(t, func(*testing.T) []cluster.Membership { return handles })
		})
	}
}

// see returns what the first handle sees, as members writes it, * for a leader.
func see(t *testing.T, h cluster.Membership) string {
	t.Helper()
	all, err := h.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := ""
	for _, m := range all {
		if m.Addr != "http://"+string(m.ID) {
			t.Errorf("the address of %s is %s", m.ID, m.Addr)
		}
		line += " " + string(m.ID)
		for _, mark := range []struct {
			sign string
			on   bool
		}{{"*", m.Leader}, {"!", !m.Healthy}, {"?", !m.Voter}} {
			if mark.on {
				line += mark.sign
			}
		}
	}
	return line[1:]
}

func TestStaticView(t *testing.T) {
	down := errors.New("connection refused")
	// What a member answers: well, ill, leads, follows; nothing is no answer.
	answers := func(says map[cluster.MemberID]string) func(context.Context, cluster.Member) (cluster.Member, error) {
		return func(_ context.Context, m cluster.Member) (cluster.Member, error) {
			said := says[m.ID]
			if said == "" {
				return cluster.Member{Leader: true, Healthy: true}, down
			}
			m.Healthy = !strings.Contains(said, "ill")
			if strings.Contains(said, "leads") {
				m.Leader = true
			}
			if strings.Contains(said, "follows") {
				m.Leader = false
			}
			m.ID, m.Addr, m.Voter = "another", "elsewhere", !m.Voter // not its to say
			return m, nil
		}
	}
	for _, tc := range []struct {
		config, want string
		says         map[cluster.MemberID]string
	}{
		{"b c a", "a* b c", nil},
		{"b c* a", "a b c*", nil},
		{"b c a?", "a? b* c", nil},
		{"a? b?", "a? b?", nil},
		{"a* b c", "a* b c", map[cluster.MemberID]string{"a": "well", "b": "well", "c": "well"}},
		{"a* b c", "a* b! c!", map[cluster.MemberID]string{"a": "well", "b": "ill"}},
		// The leader by configuration stays it while it is down ...
		{"a* b c", "a*! b c", map[cluster.MemberID]string{"b": "well", "c": "well"}},
		// ... unless the members choose it themselves, and have.
		{"a* b c", "a! b* c", map[cluster.MemberID]string{"b": "leads", "c": "follows"}},
		{"a* b c", "a b* c", map[cluster.MemberID]string{"a": "follows", "b": "leads", "c": "follows"}},
		{"a* b c", "a b c", map[cluster.MemberID]string{"a": "follows", "b": "follows", "c": "follows"}},
		// Two claims: leadership is on the move.
		{"a* b c", "a b c", map[cluster.MemberID]string{"a": "leads", "b": "leads", "c": "follows"}},
		{"a* b c", "a! b c", map[cluster.MemberID]string{"b": "leads", "c": "leads"}},
	} {
		probe := answers(tc.says)
		if tc.says == nil {
			probe = nil
		}
		for _, h := range statics(tc.config, probe) {
			if got := see(t, h); got != tc.want {
				t.Errorf("%s, %v: %s sees %q, want %q", tc.config, tc.says, h.Self(), got, tc.want)
			}
		}
	}
}

// Probes run at once and have a second; one that hangs holds up nobody.
func TestStaticSlowProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, m cluster.Member) (cluster.Member, error) {
			m.Healthy = true
			switch m.ID {
			case "b":
				time.Sleep(900 * time.Millisecond)
			case "c":
				<-ctx.Done()
				return m, ctx.Err()
			case "d":
				time.Sleep(time.Hour) // deaf to its context
			}
			return m, nil
		}
		begin := time.Now()
		h := statics("a b c d", slow)[0]
		if got := see(t, h); got != "a* b c! d!" || time.Since(begin) != time.Second {
			t.Errorf("%s after %v, want a* b c! d! after 1s", got, time.Since(begin))
		}

		cause := errors.New("the caller has changed its mind")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
		begin = time.Now()
		if _, err := h.Members(ctx); !errors.Is(err, cause) || time.Since(begin) != 100*time.Millisecond {
			t.Errorf("Members = %v after %v, want the cause after 100ms", err, time.Since(begin))
		}
		time.Sleep(2 * time.Hour) // for the deaf ones
	})
}

func TestStaticConfiguration(t *testing.T) {
	for name, s := range map[string]*cluster.Static{
		"no id":       {},
		"peer no id":  {Local: cluster.Member{ID: "a"}, Peers: []cluster.Member{{}}},
		"twice":       {Local: cluster.Member{ID: "a"}, Peers: []cluster.Member{{ID: "b"}, {ID: "a"}}},
		"two leaders": {Local: cluster.Member{ID: "a", Leader: true}, Peers: []cluster.Member{{ID: "b", Leader: true}}},
	} {
		if _, err := s.Members(t.Context()); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: Members = %v, want fs.ErrInvalid", name, err)
		}
		if err := s.TransferLeadership(t.Context(), "b"); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: TransferLeadership = %v, want fs.ErrInvalid", name, err)
		}
	}
}

// A Static can never let go, so that it says so for itself too.
func TestStaticTransferToItself(t *testing.T) {
	handles := statics("a b c", nil)
	if err := handles[0].TransferLeadership(t.Context(), "a"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the leader to itself: %v, want errors.ErrUnsupported", err)
	}
	if err := handles[1].TransferLeadership(t.Context(), "b"); err != nil {
		t.Errorf("another one to itself: %v", err)
	}
}

// Where nobody is known to lead, a transfer must not claim that this one does
// not.
func TestStaticTransferUnknown(t *testing.T) {
	claims := func(_ context.Context, m cluster.Member) (cluster.Member, error) {
		m.Leader, m.Healthy = true, true
		return m, nil
	}
	if err := statics("a b c", claims)[0].TransferLeadership(t.Context(), "b"); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("TransferLeadership = %v, want an error other than errors.ErrUnsupported", err)
	}
}

func TestStaticConcurrent(t *testing.T) {
	h := statics("a b c", func(_ context.Context, m cluster.Member) (cluster.Member, error) { m.Healthy = true; return m, nil })[0]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := h.Members(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A server alone leads, and cannot let go.
func ExampleSingle() {
	ctx := context.Background()
	c := cluster.Single("m1", "https://10.0.0.1:8092")
	members, _ := c.Members(ctx)
	fmt.Println(members[0].ID, members[0].Leader)
	fmt.Println(errors.Is(c.TransferLeadership(ctx, "m1"), errors.ErrUnsupported))
	// Output:
	// m1 true
	// true
}

// Three servers behind a load balancer, without a consensus: m1 leads because
// it comes first, and health is what each answers.
func ExampleStatic() {
	c := &cluster.Static{
		Local: cluster.Member{ID: "m2", Addr: "https://10.0.0.2:8092", Voter: true},
		Peers: []cluster.Member{
			{ID: "m1", Addr: "https://10.0.0.1:8092", Voter: true},
			{ID: "m3", Addr: "https://10.0.0.3:8092", Voter: true},
		},
		Probe: func(ctx context.Context, m cluster.Member) (cluster.Member, error) {
			m.Healthy = m.ID != "m3" // a GET of m.Addr, in earnest
			return m, nil
		},
	}
	members, _ := c.Members(context.Background())
	for _, m := range members {
		fmt.Println(m.ID, "leads:", m.Leader, "healthy:", m.Healthy)
	}
	// Output:
	// m1 leads: true healthy: true
	// m2 leads: false healthy: true
	// m3 leads: false healthy: false
}

func ExampleSafeToStop() {
	members := []cluster.Member{
		{ID: "m1", Voter: true, Healthy: true, Leader: true},
		{ID: "m2", Voter: true, Healthy: true},
		{ID: "m3", Voter: true},
	}
	fmt.Println(cluster.SafeToStop(members, "m2"))
	fmt.Println(cluster.SafeToStop(members, "m3"))
	// Output:
	// cluster: stop m2: 1 of 3 voters would be left, 2 are needed; not healthy now: m3
	// <nil>
}
