package upgradecmd

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A screen is as much of a terminal as the commands use: printable characters,
// CR, LF, cursor up, erase to the end and colours. It fails the test on any other
// byte. What scrolled off the top stays readable, as in a real one. The commands
// write LF alone, and the line discipline adds the CR.
type screen struct {
	t testing.TB

	mu     sync.Mutex
	w, h   int
	lines  [][]rune // with what scrolled off
	row    int
	col    int
	esc    string
	rest   string // of a character that was cut
	colour bool   // one is on
	codes  map[string]int
}

func newScreen(t testing.TB, w, h int) *screen {
	return &screen{t: t, w: w, h: h, lines: [][]rune{nil}, codes: map[string]int{}}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rest + string(p) {
		s.put(r)
	}
	return len(p), nil
}

func (s *screen) put(r rune) {
	if s.esc != "" {
		s.esc += string(r)
		if s.esc != "\x1b[" && (r < '0' || r > '9') && r != ';' {
			s.escape(s.esc)
			s.esc = ""
		}
		return
	}
	switch {
	case r == '\x1b':
		s.esc = "\x1b"
	case r == '\n':
		s.col = 0
		s.down()
	case r == '\r':
		s.col = 0
	case r < ' ' || r == 0x7f:
		s.t.Errorf("screen: control character %q", r)
	default:
		if s.col == s.w {
			s.col = 0
			s.down()
		}
		line := s.lines[s.row]
		for len(line) <= s.col {
			line = append(line, ' ')
		}
		line[s.col] = r
		s.lines[s.row] = line
		s.col++
	}
}

func (s *screen) down() {
	s.row++
	if s.row == len(s.lines) {
		s.lines = append(s.lines, nil)
	}
}

func (s *screen) top() int { return max(0, len(s.lines)-s.h) }

func (s *screen) escape(code string) {
	s.codes[code]++
	var n int
	switch last := code[len(code)-1]; {
	case last == 'A':
		if _, err := fmt.Sscanf(code, "\x1b[%dA", &n); err != nil {
			s.t.Errorf("screen: %q", code)
		}
		if s.row-n < s.top() {
			s.t.Errorf("screen: cursor up %d from row %d leaves the screen, whose top is %d", n, s.row, s.top())
		}
		s.row = max(s.row-n, s.top())
	case code == "\x1b[J":
		s.lines[s.row] = s.lines[s.row][:min(s.col, len(s.lines[s.row]))]
		s.lines = s.lines[:s.row+1]
	case last == 'm':
		s.colour = code != "\x1b[0m"
	default:
		s.t.Errorf("screen: escape %q", code)
	}
}

// resize breaks lines anew, as terminals do that keep their history.
func (s *screen) resize(w, h int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines [][]rune
	row := 0
	for i, line := range s.lines {
		if i == s.row {
			row = len(lines)
		}
		for len(line) > w {
			lines = append(lines, line[:w])
			line = line[w:]
		}
		lines = append(lines, line)
	}
	s.w, s.h, s.lines, s.row = w, h, lines, row
}

func (s *screen) size() (int, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w, s.h
}

// count is how often an escape was used.
func (s *screen) count(code string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.codes[code]
	return n
}

// text is all that can be read, history included.
func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, line := range s.lines {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func TestScreen(t *testing.T) {
	s := newScreen(t, 10, 4)
	fmt.Fprint(s, "one\ntwo\n\x1b[1A\r\x1b[Jthree\n0123456789ab\n\x1b[32mok\x1b[0m\n")
	want := "one\nthree\n0123456789\nab\nok\n"
	if got := s.text(); got != want {
		t.Errorf("screen shows\n%s\nwant\n%s", got, want)
	}
	s.resize(4, 4)
	if got, want := s.text(), "one\nthre\ne\n0123\n4567\n89\nab\nok\n"; got != want {
		t.Errorf("after a resize\n%s\nwant\n%s", got, want)
	}
}
