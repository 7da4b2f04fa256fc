package upgrade

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leaderlast/leaderlast/capabilities"
)

// Some capabilities, by the numbers of Linux.
const (
	lowPorts   = capabilities.Set(1 << 10)
	rawSockets = capabilities.Set(1 << 13)
	every      = ^capabilities.Set(0)
)

// A firstStart is one of a new program whose process has to have lowPorts and
// rawSockets.
type firstStart struct {
	calls   string // itself; 1.1.0 if ""
	rights  *rights
	freely  bool // without a guard
	closed  bool // it has closed the way back
	started bool // what lies at the path was, in its place
}

func (c *firstStart) boot(t *testing.T, m *machine) (*Started, error) {
	t.Helper()
	p, err := ProgramAt(m.path)
	if err != nil {
		t.Fatal(err)
	}
	j, err := loadJournal(p)
	if err != nil || j.Guard == nil {
		t.Fatalf("%+v, %v", j, err)
	}
	j.Guard.Capabilities, j.NoWayBack = lowPorts|rawSockets, c.closed
	if c.freely {
		j.Guard = nil
	}
	if err := j.save(p); err != nil {
		t.Fatal(err)
	}
	if c.calls == "" {
		c.calls = "1.1.0"
	}
	s := newStarted(Identity{Product: "kvd", Version: c.calls})
	s.rights = c.rights
	s.process.Start = func(string) error { c.started = true; return errKilled }
	return s, s.bootAs(p)
}

// A start that is no good however long it lasts is not waited for: the program
// from before is put back at once.
func TestUnfit(t *testing.T) {
	for name, c := range map[string]struct {
		firstStart
		why string
	}{
		"another version":      {firstStart{calls: "1.1.0-other"}, `says that it is version "1.1.0-other", not "1.1.0"`},
		"one capability less":  {firstStart{rights: &rights{permitted: every &^ rawSockets, attainable: every}}, "runs without " + rawSockets.String() + ", which"},
		"without capabilities": {firstStart{rights: &rights{attainable: every}}, "runs without " + (lowPorts | rawSockets).String() + ", which the program before had"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := swapped(t)
				if _, err := c.boot(t, m); !errors.Is(err, errKilled) || !strings.HasPrefix(err.Error(), "upgrade: kvd 1.1.0 "+c.why) {
					t.Error(err)
				}
				if !c.started || m.installed() != "1.0.0" {
					t.Errorf("started %v, installed %s", c.started, m.installed())
				}
				wantPutBack(t, m, c.why)
			})
		})
	}
}

// There is no going back from what was not to be guarded, nor where that cannot
// read the data any more.
func TestUnfitStays(t *testing.T) {
	for name, c := range map[string]struct {
		firstStart
		stuck string
	}{
		"no way back": {firstStart{calls: "2", closed: true}, `says that it is version "2", not "1.1.0", and the one before cannot read its data any more`},
		"no guard":    {firstStart{calls: "2", freely: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := swapped(t)
				s, err := c.boot(t, m)
				defer s.trial.end()
				if err != nil || c.started || m.installed() != "1.1.0" || s.Stuck != c.stuck {
					t.Errorf("started %v, installed %s, stuck %q: %v", c.started, m.installed(), s.Stuck, err)
				}
			})
		})
	}
}

// A process that lacks nothing that its program is to blame for is on trial like
// any other.
func TestFit(t *testing.T) {
	for name, r := range map[string]*rights{
		"all that it has to have": {permitted: lowPorts | rawSockets, attainable: every},
		"more than that":          {permitted: every, attainable: every},
		"less, as no file gives":  {permitted: lowPorts, attainable: lowPorts},
		"none, as no file gives":  {},
		"not known":               nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := swapped(t)
				s, err := (&firstStart{rights: r}).boot(t, m)
				defer s.trial.end()
				if err != nil || s.UpgradedFrom != "1.0.0" || s.Stuck != "" {
					t.Errorf("upgraded from %q, stuck %q: %v", s.UpgradedFrom, s.Stuck, err)
				}
			})
		})
	}
}
