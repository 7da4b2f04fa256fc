package upgradecmd

import (
	"fmt"
	"slices"
	"strings"
)

// A region is the part of a terminal that is drawn again and again, below the
// last line that stays. It writes nothing itself: its methods return the bytes
// for the terminal, which depend on what was drawn before and on nothing else.
// The cursor rests at the beginning of the line below the region.
type region struct {
	drawn []string // lines on the screen now
}

// draw replaces what is on the screen by lines, each cut to width columns, and
// all of them to height lines. Where nothing would change it returns "".
func (r *region) draw(lines []string, width, height int) string {
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	next := make([]string, len(lines))
	for i, line := range lines {
		next[i] = cut(line, width)
	}
	if slices.Equal(next, r.drawn) && r.rows(width) == len(next) {
		return ""
	}
	out := r.clear(width)
	for _, line := range next {
		out += line + "\n"
	}
	r.drawn = next
	return out
}

// clear takes the region off a screen that is now width columns wide. A terminal
// that became narrower has broken the lines that no longer fit.
func (r *region) clear(width int) string {
	rows := r.rows(width)
	r.drawn = nil
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", rows)
}

// rows counts the rows that the region takes at a width.
func (r *region) rows(cols int) int {
	n := 0
	for _, line := range r.drawn {
		n++
		if w := width(line); cols > 0 && w > cols {
			n += (w - 1) / cols
		}
	}
	return n
}

// barCells is how long the bar of an upload is.
const barCells = 30

// bar draws how much of a whole is there.
func bar(part, whole int64) string {
	n := 0
	if whole > 0 {
		n = int(min(max(part, 0), whole) * barCells / whole)
	}
	switch {
	case n >= barCells:
		return "[" + strings.Repeat("=", barCells) + "]"
	case n == 0:
		return "[>" + strings.Repeat("-", barCells-1) + "]"
	}
	return "[" + strings.Repeat("=", n-1) + ">" + strings.Repeat("-", barCells-n) + "]"
}
