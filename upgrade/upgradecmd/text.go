package upgradecmd

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// clean makes text that came from elsewhere fit for one line of a terminal.
// Control and formatting characters, and everything whose width or direction a
// terminal may see differently, is written as an escape.
func clean(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r >= 0xC0 && r <= 0x24F && unicode.IsLetter(r): // Latin letters
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xFFFF:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

// quote is clean between quotation marks, for words of somebody else.
func quote(s string) string { return `"` + strings.ReplaceAll(clean(s), `"`, `\"`) + `"` }

// sizeText writes a number of bytes: 41.2 MB.
func sizeText(n int64) string {
	v, unit := sizeIn(n)
	return v + " " + unit
}

// sizeOf writes a part of a number of bytes in the unit of the whole: 12.4 of 41.2 MB.
func sizeOf(part, whole int64) string {
	total, unit := sizeIn(whole)
	for i, u := range sizeUnits {
		if u == unit {
			return sizeAs(part, i) + " of " + total + " " + unit
		}
	}
	return ""
}

var sizeUnits = [...]string{"bytes", "kB", "MB", "GB", "TB"}

func sizeIn(n int64) (value, unit string) {
	i := 0
	for v := n; v >= 1000 && i < len(sizeUnits)-1; v /= 1000 {
		i++
	}
	value = sizeAs(n, i)
	if value == "1000.0" && i < len(sizeUnits)-1 {
		i++
		value = sizeAs(n, i)
	}
	return value, sizeUnits[i]
}

func sizeAs(n int64, unit int) string {
	if unit == 0 {
		return fmt.Sprint(n)
	}
	v := float64(n)
	for range unit {
		v /= 1000
	}
	return fmt.Sprintf("%.1f", v)
}

// spanText writes a duration for people: 9s, 1m 12s, 2h 05m.
func spanText(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// tookText writes how long something took: under 1s, 9s.
func tookText(d time.Duration) string {
	if d < time.Second {
		return "under 1s"
	}
	return spanText(d)
}

// shortSpan writes short durations more finely: 2.1s.
func shortSpan(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", max(d, 0).Seconds())
	}
	return spanText(d)
}

// limitText writes a limit as it was set: 60m, 3h, 10s.
func limitText(d time.Duration) string {
	switch {
	case d >= 2*time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.Round(100 * time.Millisecond).String()
}

// plainSpan writes a duration without blanks, for lines that programs read.
func plainSpan(d time.Duration) string { return max(d, 0).Round(time.Second).String() }

// stamp is a time in lines that programs read.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// shortRun is the name of a run as people type it: the end of a long id.
func shortRun(id string) string {
	id = clean(id)
	if len(id) > 8 {
		return id[len(id)-4:]
	}
	return id
}

// shortDigest keeps the ends of a digest: 73cb38..9ac0.
func shortDigest(d string, head, tail int) string {
	d = clean(strings.TrimPrefix(d, "sha256:"))
	if len(d) <= head+tail+2 {
		return d
	}
	return d[:head] + ".." + d[len(d)-tail:]
}

// plural writes a count and its noun: 1 check, 2 checks.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// width counts the columns of a line: escapes of colour take none.
func width(s string) int {
	n, esc := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			esc = true
		case esc:
			esc = r != 'm'
		default:
			n++
		}
	}
	return n
}

// pad fills a line with blanks to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }

// cut shortens a line to n columns, with a mark where something is missing.
func cut(s string, n int) string {
	if n <= 0 || width(s) <= n {
		return s
	}
	mark := "..."
	if n <= len(mark) {
		mark = ""
	}
	keep, esc, coloured := n-len(mark), false, false
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\x1b':
			esc, coloured = true, true
		case esc:
			esc = r != 'm'
		case keep == 0:
			if coloured {
				mark += sgrReset
			}
			return strings.TrimRight(b.String(), " ") + mark
		default:
			keep--
		}
		b.WriteRune(r)
	}
	return b.String()
}

// flow breaks a line only where it has a wide gap.
func flow(line string, n int) []string {
	const gap = "   "
	var lines []string
	for i, part := range strings.Split(line, gap) {
		switch last := len(lines) - 1; {
		case i == 0:
			lines = append(lines, part)
		case width(lines[last])+len(gap)+width(part) > n:
			lines = append(lines, "  "+part)
		default:
			lines[last] += gap + part
		}
	}
	return lines
}

// wrap breaks text between words into lines of at most n columns, each of which
// gets hang in front. The first line gets first instead. A word that is longer
// than a line is kept whole: it may be something to paste. Blanks within a line
// stay as they are.
func wrap(first, hang, text string, n int) []string {
	var lines []string
	line, empty := first, true
	for text = strings.TrimSpace(text); text != ""; {
		gap := len(text) - len(strings.TrimLeft(text, " "))
		end := strings.IndexByte(text[gap:], ' ')
		if end < 0 {
			end = len(text) - gap
		}
		blanks, word := text[:gap], text[gap:gap+end]
		text = text[gap+end:]
		if !empty && width(line)+gap+width(word) > n {
			lines = append(lines, line)
			line, blanks = hang, ""
		}
		line, empty = line+blanks+word, false
	}
	return append(lines, strings.TrimRight(line, " "))
}
