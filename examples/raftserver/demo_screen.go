package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// A screen shows pictures. On a terminal it draws each over the one before; else
// it prints the line of a member when something about it has changed.
type screen struct {
	out   io.Writer
	width int // of the terminal; 0 if it is none
	drawn int // lines on the terminal
	said  map[string]row
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, said: map[string]row{}}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.width = 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			s.width = w
		}
	}
	fmt.Fprintln(out)
	return s
}

func (s *screen) show(p picture, now time.Time) {
	if s.width == 0 {
		for _, m := range p.members {
			old, since := s.said[m.id], m.since
			if m.sign != "✓" {
				m.since = "" // time alone is no news
			}
			if old == m {
				continue
			}
			s.said[m.id] = m
			m.since = since
			fmt.Fprintln(s.out, strings.TrimRight(now.Format("15:04:05.000")+"  "+m.line(), " "))
		}
		return
	}
	lines := append([]string{p.head, "  MEMBER  VERSION  ROLE       STATE       FOR     WAITS FOR"}, p.lines()...)
	lines = append(lines, p.foot)
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", s.drawn)
	}
	for _, line := range lines {
		b.WriteString(cut(line, s.width) + "\n")
	}
	s.drawn = len(lines)
	io.WriteString(s.out, b.String())
}

// say prints a line that stays; the next picture is drawn below it.
func (s *screen) say(line string) {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\r\x1b[J", s.drawn)
		s.drawn = 0
	}
	fmt.Fprintln(s.out, line)
}

// close leaves what was shown last.
func (s *screen) close() { fmt.Fprintln(s.out) }

func (p picture) lines() (lines []string) {
	for _, m := range p.members {
		lines = append(lines, m.line())
	}
	return lines
}

func (r row) line() string {
	return fmt.Sprintf("%s %-6s  %-7s  %-9s  %-10s  %-6s  %s", r.sign, r.id, r.version, r.role, r.state, r.since, r.waits)
}

// cut shortens a line to a number of columns.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	r := []rune(line)
	return string(r[:width-1]) + "…"
}
