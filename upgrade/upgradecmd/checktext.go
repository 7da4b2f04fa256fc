package upgradecmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// archiveLines introduce a release.
func archiveLines(v view, r *archive.Release) []string {
	if r == nil {
		return nil
	}
	head := "Archive   " + releaseText(*r)
	if r.Size > 0 {
		head += "  " + sizeText(r.Size)
	}
	if r.Manifest.Counter > 0 {
		head += fmt.Sprintf("  counter %d", r.Manifest.Counter)
	}
	signed := signedText(r.SignedBy, r.Unsigned)
	if r.Unsigned {
		signed = v.yellow(signed)
	}
	return []string{head, "          " + signed + ", " + validText(r.Manifest)}
}

func releaseText(r archive.Release) string {
	name := strings.TrimSpace(clean(r.Manifest.Product) + " " + clean(r.Manifest.Version))
	if name == "" {
		name = "without a manifest"
	}
	return name + "  " + platformsText(r)
}

func platformsText(r archive.Release) string {
	var names []string
	seen := map[archive.Platform]bool{}
	for _, f := range r.Files {
		if f.Platform.OS != "" && !seen[f.Platform] {
			seen[f.Platform] = true
			names = append(names, clean(f.Platform.String()))
		}
	}
	return strings.Join(names, " ")
}

func validText(m archive.Manifest) string {
	if m.Expires.IsZero() {
		return "valid without end"
	}
	return "valid until " + m.Expires.UTC().Format("2006-01-02")
}

// member is whom a check is about; "--" is the archive or all.
func member(c upgrade.Check) string {
	if c.Member == "" {
		return "--"
	}
	return clean(c.Member)
}

// tally counts the checks of a member; of all if id is "". What was not judged
// does not count: the trial start, for one, belongs to the run.
func tally(checks []upgrade.Check, id string) (pass, warn, fail int) {
	for _, c := range checks {
		switch {
		case id != "" && c.Member != id, c.Result == upgrade.NotRun:
		case c.Result == upgrade.Pass:
			pass++
		case c.Result == upgrade.Fail && c.Severity == upgrade.Blocker:
			fail++
		default:
			warn++
		}
	}
	return pass, warn, fail
}

func tallies(checks []upgrade.Check, id string) [3]int {
	pass, warn, fail := tally(checks, id)
	return [...]int{pass, warn, fail}
}

// looked reports whether a member was looked at, other than from elsewhere.
func looked(checks []upgrade.Check, id string) bool {
	return slices.ContainsFunc(checks, func(c upgrade.Check) bool { return c.Member == id })
}

// problems are the checks worth reading, those that block first.
func problems(checks []upgrade.Check) []upgrade.Check {
	var blocking, rest []upgrade.Check
	for _, c := range checks {
		switch {
		case c.Result == upgrade.Pass, c.Result == upgrade.NotRun:
		case c.Result == upgrade.Fail && c.Severity == upgrade.Blocker:
			blocking = append(blocking, c)
		default:
			rest = append(rest, c)
		}
	}
	return append(blocking, rest...)
}

// otherRelease reports whether a check fails for what the archive is: the same one
// cannot pass.
func otherRelease(checks []upgrade.Check) bool {
	return slices.ContainsFunc(checks, func(c upgrade.Check) bool {
		return c.Result == upgrade.Fail && (c.ID == "archive-counter" || c.ID == "failed-before")
	})
}

// againLine is what to type once what stands in the way is mended.
func againLine(v view, checks []upgrade.Check, words ...string) string {
	if otherRelease(checks) {
		verb := []string{words[0], "FILE"}
		if words[0] != "check" && words[0] != "plan" {
			verb = verb[1:]
		}
		return "With another release:  " + v.hint(verb...)
	}
	return "Then again:  " + v.hint(words...)
}

func problemLines(v view, checks []upgrade.Check) []string {
	var lines []string
	for _, c := range checks {
		lines = append(append(lines, ""), checkLines(v, c)...)
	}
	return lines
}

// checkLines show one check that did not pass.
func checkLines(v view, c upgrade.Check) []string {
	sign, verdict := v.yellow("!"), "does not block"
	switch {
	case c.Result == upgrade.NotRun:
		sign, verdict = v.yellow("?"), "could not be judged"
	case c.Result == upgrade.Skipped:
		verdict = "would block; you chose to go on without it"
	case c.Severity == upgrade.Blocker:
		sign, verdict = v.failed(), "blocks the upgrade"
	}
	lines := []string{sign + " " + member(c) + "  " + clean(c.ID) + "  " + verdict}
	lines = append(lines, wrap("      ", "      ", clean(c.Title), v.width)...)
	say := func(word, text string) {
		if text != "" {
			lines = append(lines, wrap("      "+pad(word, 4)+"  ", "            ", clean(text), v.width)...)
		}
	}
	say("seen", c.Seen)
	say("why", c.Why)
	where := ""
	if c.Fix.Where != "" {
		where = "on " + c.Fix.Where + ":  "
	}
	if c.Fix.Command != "" {
		lines = append(lines, "      fix   "+clean(where+c.Fix.Command)) // whole, to be pasted
		say("", c.Fix.Text)
	} else {
		say("fix", strings.TrimSpace(where+c.Fix.Text))
	}
	if c.Result == upgrade.Fail && c.Severity == upgrade.Blocker && c.Skippable {
		say("or", "go on without it: --skip-check "+c.ID)
	}
	return lines
}
