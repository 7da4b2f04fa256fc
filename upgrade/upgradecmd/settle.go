package upgradecmd

import (
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/upgrade"
)

// may reports whether a verb makes sense now, by the word of the server.
func may(s upgrade.Status, verb string) bool { return slices.Contains(s.Actions, verb) }

// settleLines are the commands by which an upgrade is settled: it stays, or it is
// taken back.
func settleLines(v view, s upgrade.Status, indent string) []string {
	var lines []string
	if may(s, "commit") {
		lines = append(lines, indent+"If all is well:  "+v.hint("commit"))
	}
	if may(s, "rollback") {
		lines = append(lines, indent+"If not:          "+v.hint("rollback"))
	}
	return lines
}

// backText says who a rollback would take back to what; "" if nobody runs the new
// version.
func backText(s upgrade.Status) string {
	var parts []string
	for _, l := range backOf(s).back {
		who := strings.Join(l.members, " ") + " "
		if alone(s) {
			who = ""
		}
		parts = append(parts, who+"back to "+l.to)
	}
	return strings.Join(parts, ", ")
}

// stagedWord is what there is to remove: a rollback has no archive.
func stagedWord(s upgrade.Status) string {
	if isRollback(s.Run) && s.Run.Archive == "" {
		return "record"
	}
	return "archive"
}

// keptText says where the way back lies.
func keptText(s upgrade.Status) string {
	kept := keptOn(s)
	switch {
	case len(kept) != 1 || len(kept[0].members) < len(s.Members):
		return ""
	case alone(s):
		return kept[0].version + " is kept beside the program."
	}
	return kept[0].version + " is kept beside the program on every member."
}

// A keep is a version that is kept from before, and who keeps it.
type keep struct {
	version string
	members []string
}

// keptPhrase says what is kept from before, and where; "" if nothing is.
func keptPhrase(s upgrade.Status) string {
	return keptList(s, keptOn(s), " is kept", ", ", " beside the program")
}

// keptList writes a list of what is kept, with what there is to say after its
// first version, and where that is on a server alone.
func keptList(s upgrade.Status, list []keep, say, between, where string) string {
	parts := make([]string, len(list))
	for i, k := range list {
		if !alone(s) {
			where = " on " + strings.Join(k.members, " ")
		}
		parts[i] = k.version + say + where
		say = ""
	}
	return strings.Join(parts, between)
}

// keptOn lists what is kept from before, in the order of the members.
func keptOn(s upgrade.Status) []keep {
	var list []keep
	for _, m := range s.Members {
		version := clean(deref(m.Previous))
		if version == "" {
			continue
		}
		i := 0
		for i < len(list) && list[i].version != version {
			i++
		}
		if i == len(list) {
			list = append(list, keep{version: version})
		}
		list[i].members = append(list[i].members, clean(m.ID))
	}
	return list
}
