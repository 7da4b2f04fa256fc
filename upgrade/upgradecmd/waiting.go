package upgradecmd

import (
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// waitingLines explain what holds a run: why, since when, until when, and what to do.
func waitingLines(v view, s upgrade.Status) []string {
	w := s.Waiting
	if w == nil {
		return nil
	}
	head := "Waiting"
	if w.Gate != "" {
		head += " at gate " + clean(w.Gate)
	}
	why := clean(w.Reason)
	if len(w.Because) > 0 {
		why += ", because of " + clean(strings.Join(w.Because, ", "))
	}
	if w.Member != "" {
		why += ", for " + clean(w.Member)
	}
	lines := append([]string{""}, wrap(v.yellow(head)+": ", "  ", clean(w.Message), v.width)...)
	lines = append(lines, row(v, "why", why)...)
	lines = append(lines, row(v, "since", v.clock(w.Since)+", "+spanText(v.now.Sub(w.Since))+" ago")...)
	if !w.Until.IsZero() {
		until := v.clock(w.Until)
		if w.Owner != "" {
			until += ", " + clean(w.Owner)
		}
		lines = append(lines, row(v, "until", until)...)
	}
	word := "do"
	if w.Do != "" {
		lines = append(lines, row(v, word, clean(w.Do))...)
		word = ""
	}
	verbs := []string{"cancel:  " + v.hint("unstage")}
	if !alone(s) && s.Paused == nil {
		verbs = append([]string{"stop:    " + v.hint("pause")}, verbs...)
	}
	if len(w.Because) == 1 {
		verbs = append([]string{"look:    " + v.hint("status", "--member", w.Because[0])}, verbs...)
	}
	for _, verb := range verbs {
		lines = append(lines, "  "+pad(word, 6)+" "+verb)
		word = ""
	}
	return lines
}

// row is a line below a heading: a word and what there is to say.
func row(v view, word, text string) []string {
	return wrap("  "+pad(word, 6)+" ", "         ", text, v.width)
}

// waitingPlain is a wait on one line, for programs.
func waitingPlain(w *tracking.Waiting) string {
	var parts []string
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+"="+clean(value))
		}
	}
	add("gate", w.Gate)
	add("reason", w.Reason)
	add("because", strings.Join(w.Because, ","))
	add("for", w.Member)
	if !w.Until.IsZero() {
		add("until", stamp(w.Until))
	}
	parts = append(parts, "message="+quote(w.Message))
	if w.Do != "" {
		parts = append(parts, "do="+quote(w.Do))
	}
	return strings.Join(parts, " ")
}
