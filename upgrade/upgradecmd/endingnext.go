package upgradecmd

import (
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// reasonPutBack is why a run failed whose program was put back by itself.
const reasonPutBack = "PutBack"

func wasPutBack(s upgrade.Status) bool { return s.Run != nil && deref(s.Run.Reason) == reasonPutBack }

// putBackBefore reports whether a run failed because its program had been put back
// before by the member that it failed at.
func putBackBefore(s upgrade.Status) bool {
	return s.Run != nil && deref(s.Run.FailedCheck) == "failed-before"
}

// whoFailed are the flags that lead a check to the member at which a run failed: it
// looks at the machine of whom it asks, and at no other.
func whoFailed(s upgrade.Status) []string {
	for _, m := range s.Members {
		if s.Run != nil && m.ID == deref(s.Run.FailedMember) && m.Healthy && m.URL != "" && !alone(s) {
			return []string{"--endpoint", m.URL}
		}
	}
	return nil
}

// whoIsBack says that the member that put its program back serves again; "" if
// nothing was put back, or it does not answer.
func whoIsBack(s upgrade.Status) string {
	if !wasPutBack(s) {
		return ""
	}
	for _, m := range s.Members {
		if m.ID != deref(s.Run.FailedMember) || !m.Healthy {
			continue
		}
		if alone(s) {
			return versionOf(m) + " was put back by itself, and serves"
		}
		return clean(m.ID) + " put " + versionOf(m) + " back by itself, and serves"
	}
	return ""
}

// logOf says where there is more about a fault.
func logOf(s upgrade.Status) string {
	id := clean(deref(s.Run.FailedMember))
	if id == "" || alone(s) {
		return "; see the server's log"
	}
	return "; see the log of " + id
}

// nextCommands are what can be done after a run that failed, each with what it does.
func nextCommands(v view, s upgrade.Status, gone []string) (next [][2]string) {
	again, after := []string{"retry"}, "after the fix"
	switch {
	case wasPutBack(s), putBackBefore(s):
		if !isRollback(s.Run) {
			next = append(next, [2]string{v.hint("FILE"), "a mended release" + logOf(s)})
		}
		// The program is remembered, and refused unless somebody means it.
		again, after = append(again, "--skip-check", "failed-before"), "the same program once more"
	case !isRollback(s.Run):
		next = append(next, [2]string{v.hint(append([]string{"check"}, whoFailed(s)...)...), "what stands in the way"})
	}
	if !isRollback(s.Run) || may(s, "retry") {
		next = append(next, [2]string{v.hint(again...), after + skippedText(s)})
	}
	if len(gone) > 0 && !alone(s) {
		words := []string{"retry"}
		for _, id := range gone {
			words = append(words, "--forget", id)
		}
		next = append(next, [2]string{v.hint(words...), "if " + strings.Join(gone, " ") + " is gone for good"})
	}
	if back := backText(s); back != "" && may(s, "rollback") {
		next = append(next, [2]string{v.hint("rollback"), back})
	}
	return append(next, [2]string{v.hint("unstage"), "leave it so, remove the " + stagedWord(s)})
}

// thenLines show them.
func thenLines(v view, s upgrade.Status, gone []string) []string {
	next := nextCommands(v, s, gone)
	n, word := 0, "then"
	for _, line := range next {
		if fits(v, line) {
			n = max(n, len(line[0]))
		}
	}
	var lines []string
	for _, line := range next {
		if !fits(v, line) {
			lines = append(lines, "  "+pad(word, 11)+" "+line[0], "                "+line[1])
		} else {
			lines = append(lines, "  "+pad(word, 11)+" "+pad(line[0], n)+"   "+line[1])
		}
		word = ""
	}
	return lines
}

// fits reports whether a command and what it does have room in one line.
func fits(v view, line [2]string) bool {
	return v.width == 0 || 14+len(line[0])+3+len(line[1]) <= v.width
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
