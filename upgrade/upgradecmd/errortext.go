package upgradecmd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
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
		start   *notStarted
		led     *advised
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
	case errors.As(err, &start):
		lines := refusalLines(v, code, start.Refusal, "No member was touched; the archive stays staged.")
		lines = append(lines, row(v, "then", "when that is mended:  "+v.hint("start"))...)
		return append(lines, row(v, "or", "remove the archive:  "+v.hint("unstage"))...)
	case errors.As(err, &refusal):
		left := ""
		if code == CodeRefused {
			left = "Nothing was changed."
		}
		told := *refusal
		if errors.As(err, &led) && led.instead {
			told.Remedy = ""
		}
		lines := refusalLines(v, code, &told, left)
		if led != nil {
			lines = append(lines, row(v, "then", led.next)...)
		}
		return lines
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

// refusalLines show a "no" of the server, and how it left things.
func refusalLines(v view, code int, no *upgrade.Refusal, left string) []string {
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
	if left != "" {
		text += " " + left
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
	if no.Remedy != "" && !fixesSay(no.Checks, no.Remedy) {
		lines = append(lines, row(v, "do", remedyText(no))...)
	}
	return lines
}

// remedyText is what to do about a "no", in the form that the commands use: no
// sentence, unless there are several. How a command sends credentials, the server
// cannot know.
func remedyText(no *upgrade.Refusal) string {
	text := clean(no.Remedy)
	if no.Reason == httpapi.ReasonUnauthenticated {
		return "log in again, or give a token that this server knows: --token-file FILE; one may have run out"
	}
	one, whole := strings.CutSuffix(text, ".")
	if whole && !strings.Contains(one, ". ") && len(one) > 1 && isUpper(one[0]) && !isUpper(one[1]) {
		return strings.ToLower(one[:1]) + one[1:]
	}
	return text
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// fixesSay reports whether the remedy of a refusal is that of one of its checks,
// which is shown with it.
func fixesSay(checks []upgrade.Check, remedy string) bool {
	return slices.ContainsFunc(checks, func(c upgrade.Check) bool {
		rest, text := strings.CutPrefix(remedy, c.Fix.Text)
		rest, command := strings.CutSuffix(rest, c.Fix.Command)
		rest = strings.TrimSpace(rest)
		return text && command && (rest == "" || rest == "Run:")
	})
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
