package upgradecmd

import (
	"fmt"
	"sort"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// lastLines is how many lines of the transcript a status shows.
const lastLines = 6

// statusText is what `status` prints.
func statusText(v view, s upgrade.Status) []string {
	if v.plain {
		return statusPlain(v, s)
	}
	var lines []string
	if s.Run == nil || idle(s) {
		lines = append(lines, "No upgrade is staged or running. "+runningText(s)+".")
		if kept := keptPhrase(s); kept != "" && may(s, "rollback") {
			lines = append(append(lines, "Not committed: "+kept+"."), settleLines(v, s, "")...)
		}
		return append(lines, staleLines(v, s)...)
	}
	run := s.Run
	head := title(s)
	if of := deref(run.RollbackOf); of != "" {
		head += " of " + shortRun(of)
	}
	lines = append(lines, flow(head+"   run "+shortRun(run.ID)+"   "+howFar(v, s), v.width)...)
	lines = append(lines, wrap("", "  ", originText(s), v.width)...)
	lines = append(lines, staleLines(v, s)...)
	if members := memberLines(v, s, 0); len(members) > 0 {
		lines = append(append(lines, ""), members...)
	}
	lines = append(lines, waitingLines(v, s)...)
	lines = append(lines, pausedLines(v, s)...)
	if log := s.Transcript.Lines; len(log) > 0 {
		lines = append(lines, "")
		first := "Last lines  "
		for _, l := range log[max(0, len(log)-lastLines):] {
			lines = append(lines, lineText(v, first, l)...)
			first = "            "
		}
	}
	return append(lines, statusEnd(v, s)...)
}

// idle reports whether nothing is staged or running. There may have been a run
// that was removed; what the members still know of it is history.
func idle(s upgrade.Status) bool { return s.Status == "" || s.Status == "none" }

// statusEnd is the last part of a status: how it ended, or what to type next.
func statusEnd(v view, s upgrade.Status) []string {
	switch tracking.Status(s.Status) {
	case tracking.Staged:
		return []string{"Start it:  " + v.hint("start"), "Remove it: " + v.hint("unstage")}
	case tracking.Staging, tracking.Working:
		return []string{"Watch it:  " + v.hint("status", "--watch")}
	case tracking.Finished, tracking.Failed:
		return append([]string{""}, stateText(v, s)...)
	}
	return nil
}

// originText says whose run of what it is.
func originText(s upgrade.Status) string {
	run := s.Run
	var parts []string
	if run.StartedBy != "" {
		parts = append(parts, "by "+clean(run.StartedBy))
	}
	if run.Plan != "" {
		parts = append(parts, "plan "+clean(run.Plan))
	}
	if run.Archive != "" {
		parts = append(parts, "archive "+shortDigest(run.Archive, 6, 4)+" "+signedText(run.SignedBy, run.Unsigned))
	}
	if len(run.Overrides) > 0 {
		parts = append(parts, "without the checks "+clean(strings.Join(run.Overrides, ", ")))
	}
	if run.AllowOutage {
		parts = append(parts, "with an outage while members restart")
	}
	if len(run.Forgotten) > 0 {
		parts = append(parts, "without "+clean(strings.Join(run.Forgotten, ", ")))
	}
	if failed := deref(run.RetryOf); failed != "" {
		parts = append(parts, "goes on after "+shortRun(failed))
	}
	return strings.Join(parts, ", ")
}

func signedText(by []string, unsigned bool) string {
	if unsigned || len(by) == 0 {
		return "NOT signed"
	}
	return "signed by " + clean(strings.Join(by, ", "))
}

// runningText says which versions run where.
func runningText(s upgrade.Status) string {
	if alone(s) {
		text := product(s)
		for _, m := range s.Members {
			text += " " + clean(m.Version)
		}
		return text + " runs"
	}
	groups := map[string][]string{}
	var order []string
	for _, m := range s.Members {
		version := versionOf(m)
		if groups[version] == nil {
			order = append(order, version)
		}
		groups[version] = append(groups[version], m.ID)
	}
	sort.Strings(order)
	parts := make([]string, 0, len(order))
	for _, version := range order {
		parts = append(parts, clean(version)+" on "+clean(strings.Join(groups[version], " ")))
	}
	return product(s) + " " + strings.Join(parts, ", ")
}

func staleLines(v view, s upgrade.Status) []string {
	if !s.Stale {
		return nil
	}
	return []string{v.yellow("as of " + v.clock(s.ObservedAt) + ", from " + clean(s.ObservedBy) + "'s own copy: the cluster did not answer")}
}

// lineText is one line of the transcript as people read it; a long one goes on
// below itself.
func lineText(v view, first string, l tracking.Line) []string {
	member := clean(l.Member)
	if member == "" {
		member = "--"
	}
	word, text := lineWords(l)
	first += fmt.Sprintf("%s  %s  %s ", v.clock(l.At), pad(member, 2), pad(word, 12))
	return wrap(first, strings.Repeat(" ", len(first)), text, v.width)
}

// lineWords splits a line into the word for what happened, which follows from
// its type, and what else there is to say. Texts name the member at either place.
func lineWords(l tracking.Line) (word, text string) {
	word = l.Type[strings.LastIndexByte(l.Type, '.')+1:]
	word = clean(strings.ReplaceAll(word, "-", " "))
	text = clean(l.Text)
	for _, prefix := range []string{clean(l.Member), word, clean(l.Member)} {
		if rest, ok := strings.CutPrefix(text, prefix); ok && prefix != "" && (rest == "" || rest[0] == ' ' || rest[0] == ':' || rest[0] == ',') {
			text = strings.TrimLeft(rest, " :,")
		}
	}
	return word, text
}

// linePlain is one line of the transcript for programs and logs.
func linePlain(l tracking.Line) string {
	word, text := lineWords(l)
	parts := []string{stamp(l.At)}
	if l.Member != "" {
		parts = append(parts, clean(l.Member))
	}
	switch {
	case text == "":
	case word == "failed": // to do what follows, it would read
		word += ": " + text
	default:
		word += " " + text
	}
	return strings.Join(append(parts, word), " ")
}

// statusPlain is a status with one record a line.
func statusPlain(v view, s upgrade.Status) []string {
	state := s.Status
	if state == "" {
		state = "none"
	}
	head := "status=" + clean(state) + "  product=" + product(s)
	if run := s.Run; run != nil {
		head += "  run=" + clean(run.ID) + "  from=" + clean(run.From) + "  to=" + clean(run.To)
		if result := deref(run.Result); idle(s) && result != "" {
			head += "  result=" + clean(result)
		} else if !idle(s) {
			head += fmt.Sprintf("  done=%d  skipped=%d  total=%d", s.Progress.Done, s.Progress.Skipped, s.Progress.Total)
		}
		if isRollback(run) {
			head += "  kind=" + kindRollback
			if of := deref(run.RollbackOf); of != "" {
				head += "  rollback_of=" + clean(of)
			}
		}
		if run.CommittedAt != nil {
			head += "  committed=" + stamp(*run.CommittedAt)
		} else if may(s, "commit") {
			head += "  committed=no"
		}
		if phase := deref(s.Phase); phase != "" {
			head += "  phase=" + clean(phase)
		}
		if run.Reason != nil && *run.Reason != "" {
			head += "  reason=" + clean(*run.Reason)
		}
	}
	if s.Stale {
		head += "  stale=" + stamp(s.ObservedAt)
	}
	lines := []string{head}
	for _, m := range s.Members {
		if idle(s) { // nobody has a turn, or waits for one
			m.State, m.Since, m.Until, m.Reason = "-", nil, nil, nil
		}
		line := fmt.Sprintf("%s  %s  %s  %s", clean(m.ID), clean(m.Role), versionOf(m), clean(m.State))
		if m.Since != nil {
			line += "  since=" + stamp(*m.Since)
		}
		if m.Until != nil {
			line += "  until=" + stamp(*m.Until)
		}
		if r := deref(m.Reason); r != "" {
			line += "  reason=" + clean(r)
		}
		if !m.Healthy {
			line += "  healthy=false"
			if m.Ill != nil {
				line += "  unhealthy_since=" + stamp(*m.Ill)
			}
		}
		lines = append(lines, line)
	}
	if p := s.Paused; p != nil {
		lines = append(lines, "paused by="+quote(p.By)+" since="+stamp(p.Since))
	}
	if s.Waiting != nil {
		lines = append(lines, "waiting "+waitingPlain(s.Waiting))
	}
	for _, l := range s.Transcript.Lines {
		lines = append(lines, linePlain(l))
	}
	return append(lines, nextPlain(v, s)...)
}

// nextPlain are the commands that make sense after the end of a run.
func nextPlain(v view, s upgrade.Status) (lines []string) {
	switch {
	case s.Status == string(tracking.Failed) && endCode(s) != CodeCancelled:
		for _, next := range nextCommands(v, s, down(s)) {
			lines = append(lines, "next  "+next[0])
		}
	case s.Status == string(tracking.Finished):
		for _, verb := range s.Actions {
			lines = append(lines, "next  "+v.hint(verb))
		}
	}
	return lines
}
