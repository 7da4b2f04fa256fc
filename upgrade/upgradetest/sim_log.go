package upgradetest

import (
	"fmt"
	"strings"
	"time"
)

// An eventLog keeps the last events of a simulation.
type eventLog struct {
	begin time.Time
	lines []string
	total int
}

const logLines = 250

func (l *eventLog) add(who, format string, args ...any) {
	if len(l.lines) >= 2*logLines {
		l.lines = append(l.lines[:0], l.lines[len(l.lines)-logLines:]...)
	}
	l.total++
	at := time.Since(l.begin).Round(time.Millisecond)
	l.lines = append(l.lines, fmt.Sprintf("%12v %-6s %s", at, who, fmt.Sprintf(format, args...)))
}

func (l *eventLog) String() string {
	last := l.lines[max(0, len(l.lines)-logLines):]
	head := fmt.Sprintf("the last %d of %d events:\n", len(last), l.total)
	return head + strings.Join(last, "\n") + "\n"
}
