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

func finishedText(v view, s upgrade.Status) []string {
	text := "finished: " + product(s) + " "
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
		text += " Leader: " + clean(s.Leader.Member) + ". Put back: none."
	}
	if kept := keptText(s); kept != "" && alone(s) {
		text += " " + kept
	} else if kept != "" {
		return []string{v.sign(true, text), "  " + kept, "  Remove the archive:  " + v.hint("unstage")}
	}
	return []string{v.sign(true, text), "  Remove the archive:  " + v.hint("unstage")}
}

// replacedNothing reports whether a run that finished found its version running
// on every member.
func replacedNothing(s upgrade.Status) bool {
	return s.Progress.Total > 0 && s.Progress.Skipped == s.Progress.Total
}

// keptText says where the way back lies.
func keptText(s upgrade.Status) string {
	version, same := "", len(s.Members) > 0
	for i, m := range s.Members {
		previous := deref(m.Previous)
		if i == 0 {
			version = previous
		}
		same = same && previous == version && previous != ""
	}
	switch {
	case !same:
		return ""
	case alone(s):
		return clean(version) + " is kept beside the program."
	}
	return clean(version) + " is kept beside the program on every member."
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
	text, reason := "the upgrade did not finish", ""
	if s.FinalState != nil && *s.FinalState != "" {
		text = strings.TrimSuffix(clean(*s.FinalState), ".")
		text = strings.TrimPrefix(text, "failed: ")
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
		if m.State == string(tracking.TurnFailed) && deref(m.Message) != "" {
			say("last words", clean(m.ID)+": "+quote(*m.Message))
		}
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

// thenLines are what can be done after a run that failed.
func thenLines(v view, s upgrade.Status, gone []string) []string {
	next := [][2]string{{v.hint("check"), "what stands in the way"}, {v.hint("retry"), "after the fix" + skippedText(s)}}
	if len(gone) > 0 && !alone(s) {
		words := []string{"retry"}
		for _, id := range gone {
			words = append(words, "--forget", id)
		}
		next = append(next, [2]string{v.hint(words...), "if " + strings.Join(gone, " ") + " is gone for good"})
	}
	next = append(next, [2]string{v.hint("unstage"), "leave it so, remove the archive"})
	n, word := 0, "then"
	for _, line := range next {
		n = max(n, len(line[0]))
	}
	var lines []string
	for _, line := range next {
		lines = append(lines, "  "+pad(word, 11)+" "+pad(line[0], n)+"   "+line[1])
		word = ""
	}
	return lines
}

// skippedText names the members that have nothing to do in a retry.
func skippedText(s upgrade.Status) string {
	var ids []string
	for _, m := range s.Members {
		if m.State == string(tracking.Done) || m.State == string(tracking.Skipped) {
			ids = append(ids, clean(m.ID))
		}
	}
	switch {
	case len(ids) == 0 || alone(s):
		return ""
	case len(ids) == 1:
		return "; " + ids[0] + " is skipped"
	}
	return "; " + strings.Join(ids, " ") + " are skipped"
}

func cancelledText(v view, s upgrade.Status) []string {
	return []string{v.sign(true, "cancelled. "+whatRuns(s)), "  Go on:  " + v.hint("FILE")}
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
