package upgrade

import (
	"fmt"

	"github.com/leaderlast/leaderlast/capabilities"
)

// rights are what the process of this program had of capabilities at Boot: later
// ones may have been given up.
type rights struct {
	permitted  capabilities.Set
	attainable capabilities.Set // that its file can give it, where and as it was started
}

// rightsOf are those of this process; nil where they are not known.
func rightsOf(p Program) *rights {
	now, err := capabilities.OfProcess()
	if err != nil {
		return nil
	}
	r := &rights{permitted: now.Permitted, attainable: now.Bounding}
	if ignored, err := ignoresCapabilities(p.Path); err != nil || ignored || now.NoGain {
		r.attainable = 0
	}
	return r
}

// expected are the capabilities that a next program is to have whose file has
// those of the file at path: as far as this one had them itself. None if it is not
// known, or the file has none.
func (r *rights) expected(path string) capabilities.Set {
	if r == nil {
		return 0
	}
	of, err := capabilities.OfFile(path)
	if err != nil {
		return 0
	}
	return of & r.permitted
}

// guard is what the next program has to keep to; in a rollback that is the one
// that is kept, whose file has capabilities of its own. The file of any other gets
// those of this one.
func (o *Orchestrator) guard(back bool) *guard {
	s, g := o.c.Started, o.c.guard()
	if g == nil {
		return nil
	}
	from := s.Program.Path
	if back {
		from = s.Program.PreviousPath()
	}
	g.Args, g.Capabilities = s.args, s.rights.expected(from)
	return g
}

// lacks are those of the expected capabilities that this process has not, and its
// surroundings are no reason for it.
func (r *rights) lacks(expected capabilities.Set) capabilities.Set {
	if r == nil {
		return 0
	}
	return expected & r.attainable &^ r.permitted
}

// unfit says what is wrong with this process however long it lives, if its
// program is the new one of j: it is not the version that it said when it was
// probed, or has lost capabilities. It is the end of a sentence that begins with
// the version, "" if there is nothing.
func (s *Started) unfit(j journal) string {
	if j.Guard == nil {
		return ""
	}
	if v := s.Identity.Version; v != j.NewVersion && j.NewVersion != "" {
		return fmt.Sprintf("says that it is version %q, not %q", v, j.NewVersion)
	}
	if lost := s.rights.lacks(j.Guard.Capabilities); lost != 0 {
		return fmt.Sprintf("runs without %v, which the program before had", lost)
	}
	return ""
}
