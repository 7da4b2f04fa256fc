package upgradecmd

import (
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// Values of --progress.
const (
	modeAuto  = "auto"
	modeTTY   = "tty"
	modePlain = "plain"
	modeNone  = "none"
)

// A reporter shows what goes on while a command works. There is one for each
// mode. Its methods may be called by several goroutines.
type reporter interface {
	doing(text string)                    // what is going on, until the next call
	done(s step)                          // a step of this command is over
	sending(sent, total int64, to string) // bytes of an upload; called for every piece
	status(s upgrade.Status, heard time.Time)
	line(l tracking.Line) // of the transcript, each once and in order
	lost(o outage)        // the connection, and again at every further try
	found(o outage)       // it is back
	close()               // nothing is shown any more
}

// A step of a command that is over, as a word, a text and for programs fields.
type step struct {
	word, text string
	fields     map[string]any
}

// routine says which lines of the transcript a table shows better.
func routine(typ string) bool {
	switch typ {
	case "archive.received", "archive.verified", "run.staging", "run.staged", "run.started", "run.finished", "run.failed",
		"member.granted", "member.claimed", "member.prepared", "member.restarting", "member.rejoining", "member.accepted":
		return true
	}
	return false
}

// silent is the reporter of --progress=none.
type silent struct{}

func (silent) doing(string)                     {}
func (silent) done(step)                        {}
func (silent) sending(int64, int64, string)     {}
func (silent) status(upgrade.Status, time.Time) {}
func (silent) line(tracking.Line)               {}
func (silent) lost(outage)                      {}
func (silent) found(outage)                     {}
func (silent) close()                           {}

// A meter measures the rate of an upload over its last seconds, so that neither
// a slow start nor an old burst misleads.
type meter struct {
	began time.Time
	marks []mark // a tenth of a second apart or more
	now   mark
}

type mark struct {
	at   time.Time
	sent int64
}

const meterWindow = 5 * time.Second

func (m *meter) add(now time.Time, sent int64) {
	m.now = mark{now, sent}
	if m.began.IsZero() {
		m.began = now
	}
	if n := len(m.marks); n > 0 && now.Sub(m.marks[n-1].at) < 100*time.Millisecond {
		return
	}
	m.marks = append(m.marks, m.now)
	for len(m.marks) > 2 && now.Sub(m.marks[1].at) >= meterWindow {
		m.marks = m.marks[1:]
	}
}

// rate returns bytes a second, 0 if it cannot be told yet. While nothing goes it
// sinks.
func (m *meter) rate(now time.Time) float64 {
	if len(m.marks) == 0 {
		return 0
	}
	first := m.marks[0]
	if span := now.Sub(first.at).Seconds(); span >= 0.2 {
		return float64(m.now.sent-first.sent) / span
	}
	return 0
}

// skewLimit is how far two clocks may be apart before it is worth a word.
const skewLimit = 2 * time.Second

// skew returns how far the clock of the server is ahead that observed something
// which was heard at once. What was done since then is not the clock's fault.
func skew(observed, heard time.Time) time.Duration {
	if observed.IsZero() {
		return 0
	}
	if d := observed.Sub(heard); d.Abs() > skewLimit {
		return d
	}
	return 0
}

func skewText(member string, ahead time.Duration) string {
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	return "the clock of " + clean(member) + " is " + shortSpan(ahead.Abs()) + " " + side + " this one; times are the server's"
}
