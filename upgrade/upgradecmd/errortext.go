package upgradecmd

import (
	"context"
	"errors"
	"strings"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// errorLines say on stderr why a command did not do what was asked: what
// happened, what that means, and what to do.
func (s *session) errorLines(ctx context.Context, code int, err error) []string {
	v := s.errView(0)
	s.mu.Lock()
	leaving := s.leaving
	s.mu.Unlock()
	if ctx.Err() != nil {
		lines := []string{leftText(ctx)}
		if len(leaving) > 0 {
			lines = append([]string{leftText(ctx) + " " + leaving[0]}, leaving[1:]...)
		}
		return lines
	}
	var (
		usage   *usageError
		unknown *unknownError
		refusal *upgrade.Refusal
		bad     *archive.Error
	)
	switch {
	case errors.As(err, &usage):
		lines := strings.Split(usage.text, "\n")
		lines[0] = "usage: " + lines[0]
		return append(lines, "Help:  "+s.typed(s.cmd)+" --help")
	case errors.As(err, &unknown):
		lines := wrap(v.sign(false, ""), "  ", unknown.lines[0], v.width)
		return append(lines, unknown.lines[1:]...)
	case errors.As(err, &refusal):
		return refusalLines(v, code, refusal)
	case errors.As(err, &bad):
		return archiveErrorLines(v, code, bad)
	case isConnection(err):
		lines := wrap(v.sign(false, "no answer: "), "  ", clean(err.Error()), v.width)
		lines = append(lines, row(v, "tried", clean(strings.Join(s.endpoints, " ")))...)
		return append(lines, row(v, "do", "see that the server runs, and that the endpoint is right (--endpoint URL)")...)
	}
	return wrap(v.sign(false, "error: "), "  ", clean(err.Error()), v.width)
}

func leftText(ctx context.Context) string {
	var late *timeoutCause
	if errors.As(context.Cause(ctx), &late) {
		return "Stopped: " + late.text + "."
	}
	return "Stopped."
}

// refusalLines show a "no" of the server.
func refusalLines(v view, code int, no *upgrade.Refusal) []string {
	word := "refused"
	switch code {
	case CodeDenied:
		word = "denied"
	case CodeUnknown:
		word = "no answer"
	}
	text := strings.TrimSuffix(clean(no.Message), ".")
	if text == "" && no.Err != nil {
		text = clean(no.Err.Error())
	}
	if no.Reason != "" {
		text += " (" + clean(no.Reason) + ")"
	}
	text += "."
	if code == CodeRefused {
		text += " Nothing was changed."
	}
	if !strings.HasPrefix(text, word) {
		text = word + ": " + text
	}
	lines := wrap(v.sign(false, ""), "  ", text, v.width)
	if no.Member != "" {
		member := clean(no.Member)
		if no.Gate != "" {
			member += ", gate " + clean(no.Gate)
		}
		lines = append(lines, row(v, "member", member)...)
	}
	if !no.Until.IsZero() {
		lines = append(lines, row(v, "until", v.clock(no.Until))...)
	}
	for _, c := range no.Checks {
		lines = append(lines, checkLines(v, c)...)
	}
	if no.Remedy != "" {
		lines = append(lines, row(v, "do", clean(no.Remedy))...)
	}
	return lines
}

// archiveErrorLines show what is wrong with an archive on this machine.
func archiveErrorLines(v view, code int, bad *archive.Error) []string {
	word := "refused"
	if code == CodeDenied {
		word = "denied"
	}
	text := clean(bad.Detail)
	if bad.Name != "" {
		text = quote(bad.Name) + " " + text
	}
	if bad.Err != nil {
		text += ": " + clean(bad.Err.Error())
	}
	lines := wrap(v.sign(false, word+": "), "  ", text+" ("+clean(bad.Reason)+"). Nothing was changed.", v.width)
	if do := bad.Remedy(); do != "" {
		lines = append(lines, row(v, "do", clean(do))...)
	}
	return lines
}
