package upgradecmd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/upgrade"
)

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{sizeText(0), "0 bytes"},
		{sizeText(999), "999 bytes"},
		{sizeText(1000), "1.0 kB"},
		{sizeText(999_949), "999.9 kB"},
		{sizeText(999_960), "1.0 MB"},
		{sizeText(41_200_000), "41.2 MB"},
		{sizeText(3 << 40), "3.3 TB"},
		{sizeOf(19_800_000, 41_200_000), "19.8 of 41.2 MB"},
		{sizeOf(500, 41_200_000), "0.0 of 41.2 MB"},
		{sizeOf(12, 900), "12 of 900 bytes"},
		{spanText(-time.Second), "0s"},
		{spanText(59*time.Second + 400*time.Millisecond), "59s"},
		{spanText(59*time.Second + 600*time.Millisecond), "1m 00s"},
		{spanText(242 * time.Second), "4m 02s"},
		{spanText(61 * time.Minute), "1h 01m"},
		{spanText(49 * time.Hour), "2d 01h"},
		{tookText(0), "under 1s"},
		{tookText(999 * time.Millisecond), "under 1s"},
		{tookText(1400 * time.Millisecond), "1s"},
		{tookText(72 * time.Second), "1m 12s"},
		{shortSpan(2140 * time.Millisecond), "2.1s"},
		{shortSpan(12 * time.Second), "12s"},
		{limitText(time.Hour), "60m"},
		{limitText(3 * time.Hour), "3h"},
		{limitText(10 * time.Second), "10s"},
		{limitText(90 * time.Second), "1m30s"},
		{shortRun("01JD7Q8Y7K3F"), "7K3F"},
		{shortRun("6H2A"), "6H2A"},
		{shortDigest("sha256:73cb38aaaaaaaa9ac0", 6, 4), "73cb38..9ac0"},
		{shortDigest("sha256:73cb", 6, 4), "73cb"},
		{plural(1, "check"), "1 check"},
		{plural(0, "check"), "0 checks"},
		{cut("0123456789", 8), "01234..."},
		{cut("0123456789", 10), "0123456789"},
		{cut("\x1b[31m0123456789\x1b[0m", 8), "\x1b[31m01234...\x1b[0m"},
		{cut("\x1b[31m01234567\x1b[0m", 8), "\x1b[31m01234567\x1b[0m"},
		{bar(0, 100), "[>-----------------------------]"},
		{bar(50, 100), "[==============>---------------]"},
		{bar(100, 100), "[==============================]"},
		{bar(200, 100), "[==============================]"},
		{bar(1, 0), "[>-----------------------------]"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Remedies come from the server in one form and from its library in another.
func TestRemedyText(t *testing.T) {
	for remedy, want := range map[string]string{
		"":                                    "",
		"look at its status":                  "look at its status",
		"Check the address.":                  "check the address",
		"TLS is needed.":                      "TLS is needed.",
		"Mend it. Then stage it once more.":   "Mend it. Then stage it once more.",
		"Ask for the right \"run\" or \"x\".": "ask for the right \"run\" or \"x\"",
	} {
		if got := remedyText(&upgrade.Refusal{Remedy: remedy}); got != want {
			t.Errorf("%q: %q", remedy, got)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want []string
	}{
		{"", 20, []string{"do"}},
		{"one two three four", 20, []string{"do one two three", "   four"}},
		{"one   two", 20, []string{"do one   two"}},
		{"one   two", 11, []string{"do one", "   two"}},
		{"averyveryverylongword two", 10, []string{"do averyveryverylongword", "   two"}},
		{"exact is", 11, []string{"do exact is"}},
	} {
		if diff := cmp.Diff(c.want, wrap("do ", "   ", c.text, c.n)); diff != "" {
			t.Errorf("%q at %d (-want +got):\n%s", c.text, c.n, diff)
		}
	}
}

// The region takes away just what it drew, also after a terminal became narrower.
func TestRegion(t *testing.T) {
	s := newScreen(t, 20, 10)
	var r region
	draw := func(lines ...string) { s.Write([]byte(r.draw(lines, s.w, s.h-2))) }
	s.Write([]byte("stays\n"))
	draw("one", "two")
	if got := r.draw([]string{"one", "two"}, 20, 8); got != "" {
		t.Errorf("the same again writes %q", got)
	}
	draw("three")
	if got := s.text(); got != "stays\nthree\n" {
		t.Errorf("after a redraw:\n%s", got)
	}
	draw("a line of more than twenty columns", "b")
	if got := s.text(); got != "stays\na line of more th...\nb\n" {
		t.Errorf("a long line:\n%s", got)
	}
	s.resize(8, 10)
	draw("c")
	if got := s.text(); got != "stays\nc\n" {
		t.Errorf("after a resize:\n%s", got)
	}
	draw(strings.Fields("0 1 2 3 4 5 6 7 8 9 10 11 12")...)
	if got := strings.Count(s.text(), "\n"); got != 9 {
		t.Errorf("%d rows, want 8 of the region and one above:\n%s", got, s.text())
	}
	s.Write([]byte(r.clear(8)))
	if got := s.text(); got != "stays\n" {
		t.Errorf("after the end:\n%s", got)
	}
}

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(0, 0)
	if m.rate(now) != 0 {
		t.Error("a rate before the first byte")
	}
	for i := range 100 {
		m.add(now.Add(time.Duration(i)*100*time.Millisecond), int64(i)*100_000)
	}
	now = now.Add(9900 * time.Millisecond)
	if got := m.rate(now); got != 1_000_000 {
		t.Errorf("rate %v, want 1000000 a second", got)
	}
	if got := m.rate(now.Add(5 * time.Second)); got > 500_001 {
		t.Errorf("rate %v after five seconds of nothing", got)
	}
	if len(m.marks) > 60 {
		t.Errorf("%d marks are kept", len(m.marks))
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 5, time.UTC)
	for text, want := range map[string]string{
		"2027-02-01":           "2027-02-01T23:59:59Z",
		"2027-02-01T10:00:00Z": "2027-02-01T10:00:00Z",
		"90d":                  "2027-02-20T12:00:00Z",
	} {
		got, err := parseExpiry(text, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "90", "-1d", "0d", "90days", "2027-13-01"} {
		if got, err := parseExpiry(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
