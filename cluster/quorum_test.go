package cluster_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/cluster"
)

func TestQuorum(t *testing.T) {
	for voters, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4, 1000: 501} {
		if got := cluster.Quorum(voters); got != want {
			t.Errorf("Quorum(%d) = %d, want %d", voters, got, want)
		}
	}
}

// members reads a line such as "a b! c?": ! is not healthy, ? has no vote.
func members(line string) []cluster.Member {
	var all []cluster.Member
	for _, word := range strings.Fields(line) {
		all = append(all, cluster.Member{
			ID:      cluster.MemberID(strings.Trim(word, "!?")),
			Voter:   !strings.Contains(word, "?"),
			Healthy: !strings.Contains(word, "!"),
		})
	}
	return all
}

func TestSafeToStop(t *testing.T) {
	for _, tc := range []struct {
		members string
		stop    cluster.MemberID
		want    *cluster.QuorumError
	}{
		{"a b c", "a", nil},
		{"a b c", "c", nil},
		{"a b! c", "b", nil}, // takes nothing away
		{"a b! c", "a", &cluster.QuorumError{ID: "a", Voters: 3, Quorum: 2, Left: 1, Down: []cluster.MemberID{"b"}}},
		{"a b! c!", "b", &cluster.QuorumError{ID: "b", Voters: 3, Quorum: 2, Left: 1, Down: []cluster.MemberID{"c"}}},
		{"a", "a", &cluster.QuorumError{ID: "a", Voters: 1, Quorum: 1, Left: 0}},
		{"a b", "a", &cluster.QuorumError{ID: "a", Voters: 2, Quorum: 2, Left: 1}},
		{"a b c d", "d", nil},
		{"a b c! d", "d", &cluster.QuorumError{ID: "d", Voters: 4, Quorum: 3, Left: 2, Down: []cluster.MemberID{"c"}}},
		{"a b c! d e", "a", nil},
		{"a b c! d! e", "c", nil},
		{"a b c! d! e", "a", &cluster.QuorumError{ID: "a", Voters: 5, Quorum: 3, Left: 2, Down: []cluster.MemberID{"c", "d"}}},
		// Who has no vote does not count, neither for nor against.
		{"a b c x?", "x", nil},
		{"a b x? y?", "a", &cluster.QuorumError{ID: "a", Voters: 2, Quorum: 2, Left: 1}},
		{"a b c x?! y?!", "a", nil},
		{"a b! c! x?", "x", &cluster.QuorumError{ID: "x", Voters: 3, Quorum: 2, Left: 1, Down: []cluster.MemberID{"b", "c"}}},
		{"x?", "x", &cluster.QuorumError{ID: "x", Voters: 0, Quorum: 1, Left: 0}},
	} {
		err := cluster.SafeToStop(members(tc.members), tc.stop)
		var got *cluster.QuorumError
		if err != nil && !errors.As(err, &got) {
			t.Errorf("%s, stop %s: %v, want a QuorumError", tc.members, tc.stop, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s, stop %s: %v\n%s", tc.members, tc.stop, err, diff)
		}
	}
	if err := cluster.SafeToStop(members("a b c"), "d"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "stop d") {
		t.Errorf("nobody of that name: %v, want fs.ErrNotExist", err)
	}
}

func TestQuorumErrorText(t *testing.T) {
	for line, want := range map[string]string{
		"a b! c! d e": "cluster: stop a: 2 of 5 voters would be left, 3 are needed; not healthy now: b, c",
		"a b":         "cluster: stop a: 1 of 2 voters would be left, 2 are needed; a cluster this small cannot spare any",
	} {
		if got := cluster.SafeToStop(members(line), "a"); got == nil || got.Error() != want {
			t.Errorf("%s: %v, want %s", line, got, want)
		}
	}
}
