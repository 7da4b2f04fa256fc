package upgradecmd

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// An outage is a time without an answer.
type outage struct {
	planned bool
	run     string // what it is called
	product string
	member  string // through which was watched
	single  bool   // there is no other member
	since   time.Time
	tries   int
	next    time.Duration // until the next try
	err     error
	targets string // what is tried

	// Once it is over.
	through string
	took    time.Duration
	missed  int // lines of the transcript that nobody can show any more
	follow  int // lines that were written meanwhile
}

// outageLines are shown while nobody answers, and nobody said that so it would be.
func outageLines(v view, o outage) []string {
	lines := append([]string{""}, wrap("Connection lost at "+v.clock(o.since)+": ", "  ", causeText(o.err), v.width)...)
	where := "cluster"
	if o.single {
		where = "server"
	}
	lines = append(lines, "The "+o.run+" does not need this command; it goes on in the "+where+".")
	line := "Trying " + o.targets + " again"
	if o.tries > 0 {
		line += fmt.Sprintf(", %s so far, next in %s", times(o.tries), spanText(max(o.next, time.Second)))
	}
	return append(lines, line+".   Give up: Ctrl-C")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// foundText says that a server answers again; "" if that was to be expected and
// has been said.
func foundText(o outage) string {
	through := clean(o.through)
	switch {
	case o.planned && o.missed > 0:
		return fmt.Sprintf("again; %s could not be shown any more", plural(o.missed, "line"))
	case o.planned && o.single:
		return ""
	case o.planned:
		return clean(o.member) + " restarts as planned; now through " + through + ", none missed"
	}
	text := "again through " + through + " after " + spanText(o.took)
	switch {
	case o.missed > 0:
		text += fmt.Sprintf("; %s could not be shown any more", plural(o.missed, "line"))
	case o.follow == 1:
		text += ", 1 missed line follows"
	case o.follow > 1:
		text += fmt.Sprintf(", %d missed lines follow", o.follow)
	}
	return text
}

// causeText says what became of a connection, without what was asked over it.
func causeText(err error) string {
	var call *url.Error
	if errors.As(err, &call) {
		if to, bad := url.Parse(call.URL); bad == nil {
			return clean(to.Host + ": " + call.Err.Error())
		}
	}
	return clean(err.Error())
}
