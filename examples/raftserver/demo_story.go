package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/tracking"
)

// tell prints a line between two pictures of the screen.
func (d *demo) tell(mark, format string, args ...any) {
	line := mark + " " + fmt.Sprintf(format, args...)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.screen != nil {
		d.screen.say(line)
		return
	}
	fmt.Fprintln(d.Out, line)
}

// ended is called when a server has ended, and is started again.
func (d *demo) ended(n *node, restarts int) {
	if breaks[d.broken].spoil != spoil.Good && d.watch != nil {
		d.tell("↻", "ended     %s by itself; its supervisor starts it again (%d)", n.id, restarts)
	}
}

// story tells a revert from its beginning, by what was seen of it.
func (d *demo) story() (steps []string) {
	s, b := &d.sum, breaks[d.broken]
	m := s.member(s.FailedMember)
	if m == nil || b.spoil == spoil.Good || slices.ContainsFunc(s.Findings, func(f finding) bool { return !f.Seen }) {
		return nil // what was not as promised is told as that
	}
	step := func(format string, args ...any) { steps = append(steps, fmt.Sprintf(format, args...)) }
	others := []string{}
	for _, o := range s.Members {
		if o.ID != m.ID {
			others = append(others, o.ID)
		}
	}
	both := strings.Join(others, " and ")

	step("%s was built spoilt: %s. Its archive is signed and whole, and a trial start answers, so no check could know.", demoNew, b.fails)
	step("%s was the first to get its turn, and started over as %s. %s kept %s, and waited.", m.ID, demoNew, both, demoOld)
	if m.Restarts > 0 {
		step("%s ended there %s, each time at once. Its supervisor (here the demo; elsewhere systemd or the like) started it again.", demoNew, times(m.Restarts))
		step("The start after that was one too many: the guard, which is in every program that calls upgrade.Boot, counts those that do not last. It put %s back in place and became it, before anything was opened.", demoOld)
	} else {
		step("%s came up there and joined the cluster, but said that it was not ready. %s, which leads, did not accept it, and waited.", demoNew, s.LeaderBefore)
		step("%s after its start the guard in %s itself gave it up: so long a new version has to get well (half of what a member may take). It put %s back in place and became it, in the same process.", ms(d.memberTimeout/2), demoNew, demoOld)
	}
	if l := d.watch.line("member.put-back"); l != nil {
		step("%s, on %s again, told the cluster itself: %q.", m.ID, demoOld, l.Text)
	}
	step("With that the run ended failed, %s after it began. Nobody else got a turn: %s are the processes that they were. Clients sent %d writes; %d are lost.", s.Total, both, s.Writes.Sent, s.Lost)
	step("%s is remembered on %s by its digest, and refused there from now on unless somebody insists.", demoNew, m.ID)
	return steps
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// tellStory prints the steps, in lines of a width that is read with ease.
func (d *demo) tellStory() {
	if len(d.sum.Story) == 0 {
		return
	}
	fmt.Fprintln(d.Out, "\nWhat happened, step by step")
	for i, text := range d.sum.Story {
		fmt.Fprintln(d.Out, strings.Join(folded(fmt.Sprintf("  %d  ", i+1), text, 100), "\n"))
	}
	fmt.Fprintln(d.Out, "\nWhat an operator does next")
	for _, next := range [][2]string{
		{"upgrade unstage", "all is as before; remove the archive"},
		{"upgrade FILE", "go on with a release that has not that fault"},
		{"upgrade retry --skip-check failed-before", "or try this one again, if the fault was not its own"},
	} {
		fmt.Fprintf(d.Out, "  %-51s%s\n", product+" "+next[0], next[1])
	}
}

// folded breaks a text into lines, all but the first indented like its beginning.
func folded(first, text string, width int) (lines []string) {
	line, indent := first, strings.Repeat(" ", len(first))
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = indent + word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// line is the first of that type, nil if there is none.
func (w *watcher) line(typ string) *tracking.Line {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.IndexFunc(w.lines, func(l tracking.Line) bool { return l.Type == typ }); i >= 0 {
		return &w.lines[i]
	}
	return nil
}
