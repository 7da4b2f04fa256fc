package upgradecmd

import (
	"strings"
	"time"
)

// Colours are used for four things only, always beside a sign and a word, and in
// the eight basic shades that the theme of the terminal decides.
const (
	sgrGreen  = "\x1b[32m" // done
	sgrRed    = "\x1b[31m" // failed
	sgrYellow = "\x1b[33m" // waiting, warnings
	sgrReset  = "\x1b[0m"
)

// A style says what a stream can show.
type style struct {
	colour bool
	utf8   bool
	plain  bool // words before signs, no bars
}

func (st style) paint(sgr, s string) string {
	if !st.colour || s == "" {
		return s
	}
	return sgr + s + sgrReset
}

func (st style) green(s string) string  { return st.paint(sgrGreen, s) }
func (st style) red(s string) string    { return st.paint(sgrRed, s) }
func (st style) yellow(s string) string { return st.paint(sgrYellow, s) }

// ok and failed are the two signs, or the words for them.
func (st style) ok() string {
	if st.utf8 {
		return st.green("✓")
	}
	return st.green("ok")
}

func (st style) failed() string {
	if st.utf8 {
		return st.red("✗")
	}
	return st.red("FAILED")
}

// step is the line for a step that is over: its sign, word and text.
func (st style) step(word, text string) string {
	if st.plain {
		return word + ": " + text
	}
	if len(word) > 8 { // a column of words cannot hold it
		return st.ok() + " " + word + ": " + text
	}
	return st.ok() + " " + pad(word, 9) + " " + text
}

// sign puts the sign of success or failure before a line. The word in it says
// the same, so in plain mode there is no sign.
func (st style) sign(good bool, text string) string {
	switch {
	case st.plain:
		return text
	case good:
		return st.ok() + " " + text
	case !st.utf8:
		if rest, ok := strings.CutPrefix(text, "failed"); ok {
			return st.failed() + rest // the sign is that word
		}
	}
	return st.failed() + " " + text
}

// A view is everything that text depends on besides what it shows. With the same
// view the same text comes out.
type view struct {
	style
	width, height int
	now           time.Time // of the server where its times are shown
	loc           *time.Location
	hint          func(words ...string) string // the command to type, in full
}

// clock writes a time of the server as people read it; with the day where it is
// not today.
func (v view) clock(t time.Time) string {
	t, now := t.In(v.loc), v.now.In(v.loc)
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}
