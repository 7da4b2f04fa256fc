package tracking

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxLog  = 48  // lines that a Run keeps
	maxText = 400 // bytes of the text of a line
)

// Add appends a line to the transcript of r. Its number is one more than that
// of the line before; r keeps the newest 48 lines and counts all of them in
// Lines. Whatever would not be printed as it stands (control characters, line
// ends, marks that change the direction of writing, bytes that are not UTF-8)
// is escaped, since text may come from a program that is being replaced and
// ends on terminals. A text of more than 400 bytes is cut and ends in "…".
//
// Copies of a Run made before the call do not change.
func (r *Run) Add(at time.Time, member, typ, text string) {
	r.Lines++
	keep := r.Log[max(0, len(r.Log)-(maxLog-1)):]
	log := make([]Line, 0, len(keep)+1)
	log = append(log, keep...)
	r.Log = append(log, Line{Seq: r.Lines, At: at, Member: member, Type: typ, Text: shorten(oneLine(text))})
}

// Turn returns the turn of member, nil if it has none in flight. The Turn is
// the one in r.Turns, which copies of a Run share: change it only in a Run that
// is yours alone, such as one fresh from DecodeRun.
func (r Run) Turn(member string) *Turn {
	for i := range r.Turns {
		if r.Turns[i].Member == member {
			return &r.Turns[i]
		}
	}
	return nil
}

// oneLine returns s with everything escaped that does not print as itself.
func oneLine(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		switch {
		case c == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(0x100|uint64(s[0]), 16)[1:])
		case unicode.IsPrint(c):
			b.WriteString(s[:n])
		default:
			quoted := strconv.QuoteRuneToASCII(c)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// shorten cuts s, at the beginning of a character, to maxText bytes.
func shorten(s string) string {
	const end = "…"
	if len(s) <= maxText {
		return s
	}
	n := maxText - len(end)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + end
}
