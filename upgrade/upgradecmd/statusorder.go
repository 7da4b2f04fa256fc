package upgradecmd

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// inTurn puts the member that goes last at the end.
func inTurn(members []upgrade.StatusMember) []upgrade.StatusMember {
	sorted := slices.Clone(members)
	slices.SortStableFunc(sorted, func(a, b upgrade.StatusMember) int { return rank(a) - rank(b) })
	return sorted
}

func rank(m upgrade.StatusMember) int {
	switch {
	case m.State == string(tracking.Done), m.State == string(tracking.Skipped):
		return 0
	case m.State != string(tracking.Pending):
		return 1
	case m.Role == "leader":
		return 3
	}
	return 2
}

// fit chooses which members to show when there is room for n lines only: those
// at work, waiting or failed before the others. The rest is summed up in one.
func fit(all []upgrade.StatusMember, n int, limited bool) (shown, rest []upgrade.StatusMember) {
	if !limited || len(all) <= n {
		return all, nil
	}
	n = max(n-1, 1)
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return urgency(all[order[a]]) > urgency(all[order[b]]) })
	keep := make(map[int]bool, n)
	for _, i := range order[:n] {
		keep[i] = true
	}
	for i, m := range all {
		if keep[i] {
			shown = append(shown, m)
		} else {
			rest = append(rest, m)
		}
	}
	return shown, rest
}

func urgency(m upgrade.StatusMember) int {
	switch {
	case m.State == string(tracking.TurnFailed) || m.State == "reverted":
		return 3
	case inFlight(m.State):
		return 2
	case !m.Healthy:
		return 1
	}
	return 0
}

func restText(rest []upgrade.StatusMember) string {
	count := map[string]int{}
	var order []string
	for _, m := range rest {
		if count[m.State] == 0 {
			order = append(order, m.State)
		}
		count[m.State]++
	}
	parts := make([]string, 0, len(order))
	for _, state := range order {
		parts = append(parts, fmt.Sprintf("%d %s", count[state], clean(state)))
	}
	return fmt.Sprintf("%d more: %s", len(rest), strings.Join(parts, ", "))
}
