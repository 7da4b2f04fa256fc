package upgradecmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// ended reports whether a run is over.
func ended(s upgrade.Status) bool {
	return s.Status == string(tracking.Finished) || s.Status == string(tracking.Failed)
}

// endCode returns the exit code that the end of a run has.
func endCode(s upgrade.Status) int {
	switch {
	case s.Run != nil && deref(s.Run.Result) == "cancelled":
		return CodeCancelled
	case s.Status == string(tracking.Finished):
		return CodeOK
	case len(down(s)) > 0:
		return CodeNeedsHands
	}
	return CodeFailed
}

// down lists the members that do not answer.
func down(s upgrade.Status) []string {
	var ids []string
	for _, m := range s.Members {
		if !m.Healthy {
			ids = append(ids, clean(m.ID))
		}
	}
	return ids
}

// endingText is the last word on a run: what became of it, what is where, and
// what to type next.
func endingText(v view, s upgrade.Status) []string {
	switch endCode(s) {
	case CodeOK:
		return finishedText(v, s)
	case CodeCancelled:
		return cancelledText(v, s)
	}
	return failedText(v, s)
}

// stateText is endingText for who looks at a run that ended some time ago: what
// the lines above it say already is left out, and it is no news that it finished,
// but that it has not been settled.
func stateText(v view, s upgrade.Status) []string {
	kept := keptPhrase(s)
	if endCode(s) != CodeOK || replacedNothing(s) || kept == "" || !may(s, "commit") {
		return endingText(v, s)
	}
	text := finishedWord(s) + ", not committed: "
	return append(wrap(v.sign(true, text), "  ", kept+".", v.width), settleLines(v, s, "  ")...)
}

func finishedWord(s upgrade.Status) string {
	if isRollback(s.Run) {
		return "rolled back"
	}
	return "finished"
}

func finishedText(v view, s upgrade.Status) []string {
	text := finishedWord(s) + ": " + product(s) + " "
	if s.Run != nil {
		text += clean(s.Run.To)
	}
	nothing := replacedNothing(s)
	if nothing {
		text += " ran"
	}
	if !alone(s) {
		text += " on " + memberIDs(s.Members)
	} else if nothing {
		text += " there"
	}
	if took := runTook(s.Run); nothing {
		text += " already; nothing was replaced"
	} else if took > 0 {
		text += " in " + tookText(took)
	}
	text += "."
	if !alone(s) && s.Leader != nil {
		text += " Leader: " + clean(s.Leader.Member) + "."
		if !isRollback(s.Run) {
			text += " None put back."
		}
	}
	var lines []string
	if kept := keptText(s); kept != "" && alone(s) {
		text += " " + kept
	} else if kept != "" {
		lines = append(lines, "  "+kept)
	}
	if s.Run != nil && s.Run.CommittedAt != nil {
		lines = append(lines, "  Committed"+byWhom(s.Run.CommittedBy)+" at "+v.clock(*s.Run.CommittedAt)+"; there is no way back.")
	}
	next := settleLines(v, s, "  ")
	if len(next) == 0 {
		next = []string{"  Remove the " + stagedWord(s) + ":  " + v.hint("unstage")}
	}
	return append(append([]string{v.sign(true, text)}, lines...), next...)
}

// replacedNothing reports whether a run that finished found its version running
// on every member.
func replacedNothing(s upgrade.Status) bool {
	return s.Progress.Total > 0 && s.Progress.Skipped == s.Progress.Total
}

func runTook(run *upgrade.StatusRun) time.Duration {
	if run == nil || run.StartedAt == nil || run.FinishedAt == nil {
		return 0
	}
	return run.FinishedAt.Sub(*run.StartedAt)
}

func memberIDs(members []upgrade.StatusMember) string {
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = clean(m.ID)
	}
	return strings.Join(ids, " ")
}

func failedText(v view, s upgrade.Status) []string {
	text, reason := "the "+called(s.Run)+" did not finish", ""
	if s.FinalState != nil && *s.FinalState != "" {
		text = strings.TrimSuffix(clean(*s.FinalState), ".")
		text = strings.TrimPrefix(text, "failed: ")
		// What runs now, and what to type next, stand below.
		for _, part := range []string{". Next: ", ". Now: "} {
			if i := strings.LastIndex(text, part); i > 0 {
				text = text[:i]
			}
		}
	}
	if s.Run != nil {
		reason = clean(deref(s.Run.Reason))
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	gone := down(s)
	switch {
	case len(gone) > 0:
		text += ". Down: " + strings.Join(gone, " ") + "."
	case alone(s):
		text += ". The server is up."
	default:
		text += ". No member is down."
	}
	lines := wrap(v.sign(false, "failed: "), "  ", text, v.width)
	say := func(word, text string) {
		lines = append(lines, wrap("  "+pad(word, 11)+" ", "              ", text, v.width)...)
	}
	for _, m := range s.Members {
		if m.State == string(tracking.TurnFailed) && deref(m.Message) != "" && !strings.Contains(text, clean(*m.Message)) {
			say("last words", clean(m.ID)+": "+quote(*m.Message))
		}
	}
	if text := whoIsBack(s); text != "" {
		say("back", text)
	}
	now := make([]string, len(s.Members))
	for i, m := range s.Members {
		now[i] = clean(m.ID) + " " + versionOf(m)
		if m.Role == "leader" {
			now[i] += " (leader)"
		}
		if !m.Healthy {
			now[i] += " (down)"
		}
	}
	if len(now) > 0 {
		say("now", strings.Join(now, ", "))
	}
	if kept := keptText(s); kept != "" {
		say("kept", kept)
	}
	if len(gone) > 0 {
		say("first", "look at the log of "+strings.Join(gone, ", ")+" on that machine; start the server there again by hand")
	}
	return append(lines, thenLines(v, s, gone)...)
}

func cancelledText(v view, s upgrade.Status) []string {
	line := v.sign(true, "cancelled. "+whatRuns(s))
	if may(s, "rollback") {
		return []string{line, "  Go on:    " + v.hint("FILE"), "  Go back:  " + v.hint("rollback")}
	}
	return []string{line, "  Go on:  " + v.hint("FILE")}
}

// whatRuns says which version each member runs now.
func whatRuns(s upgrade.Status) string {
	if alone(s) {
		return runningText(s) + "."
	}
	text := runningText(s)
	if n := len(s.Versions); n == 2 {
		text += ": two versions"
	} else if n > 2 {
		text += fmt.Sprintf(": %d versions", n)
	}
	return text + "."
}
