package upgradecmd

import (
	"fmt"
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
	if s.Run == nil {
		return product(s)
	}
	return title(s) + "   " + howFar(v, s)
}

// howFar is the part of a headline that changes.
func howFar(v view, s upgrade.Status) string {
	run, word := s.Run, clean(s.Status)
	switch {
	case run.FinishedAt != nil && run.StartedAt != nil:
		word += " after " + spanText(run.FinishedAt.Sub(*run.StartedAt))
	case run.StartedAt != nil && s.Status == string(tracking.Working):
		word += " for " + spanText(v.now.Sub(*run.StartedAt))
	}
	head := word
	if !alone(s) && s.Status == string(tracking.Working) {
		head += "   " + progressText(s)
	}
	switch {
	case deref(s.Phase) == "cancelling":
		head += "   " + v.yellow("CANCELLING")
	case s.Paused != nil:
		head += "   " + v.yellow("PAUSED")
	case s.Waiting != nil:
		head += "   " + v.yellow("WAITING")
	}
	return head
}

// title says what a run does: from which version to which, and whether that is
// back.
func title(s upgrade.Status) string {
	text := product(s) + " " + versions(s.Run.From, s.Run.To)
	if isRollback(s.Run) {
		text += ", rollback"
	}
	return text
}

// progressText counts the members that run the target, skipped ones too.
func progressText(s upgrade.Status) string {
	text := fmt.Sprintf("%d of %d done", s.Progress.Done+s.Progress.Skipped, s.Progress.Total)
	if s.Progress.Skipped > 0 {
		text += fmt.Sprintf(" (%d skipped)", s.Progress.Skipped)
	}
	return text
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
	if s.Status == string(tracking.Staging) {
		return stagingLines(v, s)
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
	shown, rest := fit(inTurn(s.Members), limit-1, limit > 0)
	for _, m := range shown {
		row := []string{
			memberSign(v, m), clean(m.ID), clean(m.Role), versionOf(m),
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
	return append(lines, messages(v, s, shown)...)
}

// stagingLines say who has the archive already.
func stagingLines(v view, s upgrade.Status) []string {
	parts := make([]string, len(s.Members))
	for i, m := range s.Members {
		switch {
		case m.Holds:
			parts[i] = clean(m.ID) + " verified"
		case !m.Healthy:
			parts[i] = clean(m.ID) + " does not answer"
		case deref(m.Message) != "":
			parts[i] = clean(m.ID) + " " + clean(*m.Message)
		default:
			parts[i] = clean(m.ID) + " gets it"
		}
	}
	return wrap("  staging   ", "            ", strings.Join(parts, ", "), v.width)
}

// messages are the last words of the members that are at work.
func messages(v view, s upgrade.Status, members []upgrade.StatusMember) []string {
	var lines []string
	for _, m := range members {
		if s.Waiting != nil && deref(m.Message) == s.Waiting.Message {
			continue // that is told in full
		}
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
	return append([]string{line}, messages(v, s, []upgrade.StatusMember{m})...)
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
	case deref(m.Reason) == "Forgotten":
		return ""
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
	case !m.Healthy && !inFlight(m.State):
		return "" // that is history; what it is now matters more
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
	case !m.Healthy && m.Ill != nil:
		return v.yellow("not healthy for " + spanText(v.now.Sub(*m.Ill)))
	case !m.Healthy:
		return v.yellow("not healthy")
	}
	return ""
}

// versionOf is what a member runs, as far as it has said so.
func versionOf(m upgrade.StatusMember) string {
	if m.Version == "" {
		return "?"
	}
	return clean(m.Version)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
