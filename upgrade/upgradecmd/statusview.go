package upgradecmd

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// alone reports whether there is but one member: then there is nothing to tell
// apart, and no table.
func alone(s upgrade.Status) bool { return len(s.Members) <= 1 }

// product is the name of what is upgraded.
func product(s upgrade.Status) string {
	if s.Product == "" {
		return "the server"
	}
	return clean(s.Product)
}

// headline says in one line how far a run is.
func headline(v view, s upgrade.Status) string {
	run := s.Run
	if run == nil {
		return product(s)
	}
	head := product(s) + " " + versions(run.From, run.To)
	word := clean(s.Status)
	switch {
	case run.FinishedAt != nil && run.StartedAt != nil:
		word += " after " + spanText(run.FinishedAt.Sub(*run.StartedAt))
	case run.StartedAt != nil && s.Status == string(tracking.Working):
		word += " for " + spanText(v.now.Sub(*run.StartedAt))
	}
	head += "   " + word
	if !alone(s) && s.Status == string(tracking.Working) {
		head += fmt.Sprintf("   %d of %d done", s.Progress.Done, s.Progress.Total)
	}
	if s.Waiting != nil {
		head += "   " + v.yellow("WAITING")
	}
	return head
}

func versions(from, to string) string {
	if from == "" {
		return clean(to)
	}
	return clean(from) + " -> " + clean(to)
}

// memberLines is the part about the members: a table, or for a server alone
// where its one turn stands. At most limit lines; 0 is no limit.
func memberLines(v view, s upgrade.Status, limit int) []string {
	if len(s.Members) == 0 {
		return nil
	}
	if alone(s) {
		return aloneLines(v, s, s.Members[0])
	}
	wide := v.width >= 120
	t := table{min: []int{1, 6, 6, 7, 20, 3}, right: map[int]bool{5: true}}
	head := []string{"", "MEMBER", "ROLE", "VERSION", "STEP", "FOR", "UNTIL"}
	if wide {
		t.right[8] = true
		t.min = append(t.min, 8)
		head = append(head, "BOOT", "TRY", "REASON")
	}
	t.add(head...)
	shown, rest := fit(s.Members, limit-1, limit > 0)
	for _, m := range shown {
		row := []string{
			memberSign(v, m), clean(m.ID), clean(m.Role), clean(m.Version),
			stepBar(v.style, m.State), memberFor(v, m), memberUntil(v, m),
		}
		if wide {
			boot := "old"
			if m.NewBoot {
				boot = "new"
			}
			row = append(row, boot, fmt.Sprint(m.Attempt), clean(deref(m.Reason)))
		}
		t.add(row...)
	}
	lines := t.lines()
	if len(rest) > 0 {
		lines = append(lines, "   ... and "+restText(rest))
	}
	return append(lines, messages(v, shown)...)
}

// messages are the last words of the members that are at work.
func messages(v view, members []upgrade.StatusMember) []string {
	var lines []string
	for _, m := range members {
		if inFlight(m.State) && deref(m.Message) != "" {
			lines = append(lines, wrap(clean(m.ID)+": ", "  ", clean(*m.Message), v.width)...)
		}
	}
	return lines
}

func aloneLines(v view, s upgrade.Status, m upgrade.StatusMember) []string {
	if s.Run == nil || s.Status == string(tracking.Staged) || s.Status == string(tracking.Staging) {
		return nil
	}
	line := "  " + pad("step", 9) + " " + stepBar(v.style, m.State)
	if m.Since != nil && inFlight(m.State) {
		line += " for " + spanText(v.now.Sub(*m.Since))
	}
	if m.Until != nil && inFlight(m.State) {
		line += ", until " + v.clock(*m.Until)
	}
	return append([]string{line}, messages(v, []upgrade.StatusMember{m})...)
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

func inFlight(state string) bool {
	switch tracking.State(state) {
	case tracking.Granted, tracking.Claimed, tracking.Prepared, tracking.Restarting, tracking.Rejoining, tracking.Accepted:
		return true
	}
	return false
}

func memberSign(v view, m upgrade.StatusMember) string {
	switch {
	case m.State == string(tracking.TurnFailed), m.State == "reverted", m.State == string(tracking.Done) && !m.Healthy:
		return v.failed()
	case m.State == string(tracking.Done), m.State == string(tracking.Skipped):
		return v.ok()
	case inFlight(m.State):
		return ">"
	}
	return ""
}

// steps are the cells of the bar: each is one committed transition.
var steps = [...]tracking.State{
	tracking.Pending, tracking.Granted, tracking.Claimed, tracking.Prepared,
	tracking.Restarting, tracking.Rejoining, tracking.Accepted, tracking.Done,
}

// stepBar draws the state of a turn, bar and word.
func stepBar(st style, state string) string {
	bar := ""
	switch word := clean(state); {
	case st.plain:
		return word
	case state == string(tracking.TurnFailed):
		return "[=====x-] " + word
	case state == "reverted":
		return "[<------] put back"
	case state == string(tracking.Skipped):
		return "[skipped]"
	default:
		for i, s := range steps {
			if string(s) != state {
				continue
			}
			switch i {
			case 0:
				bar = strings.Repeat("-", 7)
			case len(steps) - 1:
				bar = strings.Repeat("=", 7)
			default:
				bar = strings.Repeat("=", i) + ">" + strings.Repeat("-", 6-i)
			}
		}
		if bar == "" {
			return word
		}
		return "[" + bar + "] " + word
	}
}

func memberFor(v view, m upgrade.StatusMember) string {
	switch {
	case m.State == string(tracking.Done) && m.Took > 0:
		return spanText(time.Duration(m.Took * float64(time.Second)))
	case inFlight(m.State) && m.Since != nil:
		return spanText(v.now.Sub(*m.Since))
	}
	return ""
}

func memberUntil(v view, m upgrade.StatusMember) string {
	switch {
	case inFlight(m.State) && m.Until != nil:
		return v.clock(*m.Until)
	case m.State == string(tracking.Pending) && deref(m.Reason) == "LeaderGoesLast":
		return "goes last"
	case !m.Healthy:
		return v.yellow("not healthy")
	}
	return ""
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
