package clustertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/cluster/clustertest"
)

func TestSim(t *testing.T) {
	for name, ids := range map[string][]cluster.MemberID{"three": {"m2", "m3", "m1"}, "five": {"e", "d", "c", "b", "a"}, "one": {"m1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it is waiting, for the most part
			clustertest.TestMembership(t, func(t *testing.T) []cluster.Membership { return clustertest.NewSim(ids...).Handles() })
		})
	}
}

func TestSimThatRefuses(t *testing.T) {
	t.Parallel()
	clustertest.TestMembership(t, func(t *testing.T) []cluster.Membership {
		s := clustertest.NewSim("m1", "m2", "m3")
		s.RefuseTransfers(errors.ErrUnsupported)
		return s.Handles()
	})
}

// show returns the members as one line: * leads, ! is not healthy, ? has no vote.
func show(t *testing.T, s *clustertest.Sim) string {
	t.Helper()
	members, err := s.Member("anybody").Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := ""
	for _, m := range members {
		line += " " + string(m.ID)
		if m.Leader {
			line += "*"
		}
		if !m.Healthy {
			line += "!"
		}
		if !m.Voter {
			line += "?"
		}
	}
	return line
}

func TestSimKnobs(t *testing.T) {
	ctx := t.Context()
	s := clustertest.NewSim("b", "a", "c")
	for _, step := range []struct {
		what string
		do   func() error
		want string
	}{
		{"new", func() error { return nil }, " a b* c"},
		{"transfer to a wish", func() error { return s.Member("b").TransferLeadership(ctx, "c") }, " a b c*"},
		{"transfer to the unhealthy", func() error { s.SetHealthy("b", false); return s.Member("c").TransferLeadership(ctx, "b") }, " a* b! c"},
		{"transfer elsewhere", func() error { return s.Member("c").TransferLeadership(ctx, "c") }, " a* b! c"},
		{"transfer of nobody", func() error { return s.Member("x").TransferLeadership(ctx, "c") }, " a* b! c"},
		{"add", func() error { s.Add(cluster.Member{ID: "aa", Healthy: true}); return nil }, " a* aa? b! c"},
		{"change", func() error { s.Add(cluster.Member{ID: "b", Voter: true, Healthy: true, Leader: true}); return nil }, " a aa? b* c"},
		{"remove", func() error { s.Remove("aa"); return nil }, " a b* c"},
		{"elect without need", func() error { s.Elect(); return nil }, " a b* c"},
		{"leader down", func() error { s.SetHealthy("b", false); return nil }, " a b*! c"},
		{"elect", func() error { s.Elect(); return nil }, " a* b! c"},
		{"remove the leader", func() error { s.Remove("a"); return nil }, " b! c"},
		{"elect without a quorum", func() error { s.Elect(); return nil }, " b! c"},
		{"lead", func() error { s.Lead("c"); return nil }, " b! c*"},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		if got := show(t, s); got != step.want {
			t.Errorf("%s:%s, want%s", step.what, got, step.want)
		}
	}
	if err := s.Member("c").TransferLeadership(ctx, "b"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("nobody to let go to: %v, want errors.ErrUnsupported", err)
	}
	refused := errors.New("not now")
	s.SetHealthy("b", true)
	s.RefuseTransfers(refused)
	if err := s.Member("c").TransferLeadership(ctx, "b"); !errors.Is(err, refused) || show(t, s) != " b c*" {
		t.Errorf("refused: %v,%s", err, show(t, s))
	}
	if err := s.Member("c").TransferLeadership(ctx, "c"); err != nil || show(t, s) != " b c*" {
		t.Errorf("refused now, and to itself: %v,%s", err, show(t, s))
	}
	s.RefuseTransfers(errors.ErrUnsupported)
	if err := s.Member("c").TransferLeadership(ctx, "c"); !errors.Is(err, errors.ErrUnsupported) || show(t, s) != " b c*" {
		t.Errorf("refused for ever, and to itself: %v,%s", err, show(t, s))
	}
	s.RefuseTransfers(nil)
	s.SetHealthy("b", false)
	if err := s.Member("c").TransferLeadership(ctx, "c"); err != nil || show(t, s) != " b! c*" {
		t.Errorf("to itself, while nobody else is well: %v,%s", err, show(t, s))
	}
	s.SetHealthy("b", true)
	if err := s.Member("c").TransferLeadership(ctx, "b"); err != nil || show(t, s) != " b* c" {
		t.Errorf("allowed again: %v,%s", err, show(t, s))
	}
}

// Sync waits without holding up the time of a bubble.
func TestSimSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clustertest.NewSim("m1", "m2", "m3")
		s.SetHealthy("m2", false)
		s.Lead("")
		go func() {
			time.Sleep(time.Minute)
			s.Lead("m1")
			time.Sleep(time.Minute)
			s.SetHealthy("m2", true)
		}()
		begin := time.Now()
		if err := s.Member("m3").Sync(t.Context()); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("with a leader again: %v after %v", err, time.Since(begin))
		}
		if err := s.Member("m2").Sync(t.Context()); err != nil || time.Since(begin) != 2*time.Minute {
			t.Errorf("healthy again: %v after %v", err, time.Since(begin))
		}
		s.Remove("m2")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Member("m2").Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("removed: %v, want context.DeadlineExceeded", err)
		}
	})
}

// A cluster that cannot choose its leader, and one member that goes down.
func ExampleSim() {
	s := clustertest.NewSim("m1", "m2", "m3")
	s.SetTransfer(func(from, to cluster.MemberID) (cluster.MemberID, error) { return "m3", nil })
	ctx := context.Background()
	err := s.Member("m1").TransferLeadership(ctx, "m2")
	fmt.Println(err)

	s.SetHealthy("m2", false)
	members, _ := s.Member("m1").Members(ctx)
	for _, m := range members {
		fmt.Println(m.ID, "leads:", m.Leader, "healthy:", m.Healthy)
	}
	fmt.Println(cluster.SafeToStop(members, "m1"))
	// Output:
	// <nil>
	// m1 leads: false healthy: true
	// m2 leads: false healthy: false
	// m3 leads: true healthy: true
	// cluster: stop m1: 1 of 3 voters would be left, 2 are needed; not healthy now: m2
}
