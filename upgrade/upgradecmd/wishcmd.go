package upgradecmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) pause() *cobra.Command {
	cmd := leaf("pause", "Let no further member begin",
		`Hold the upgrade that runs: a member that has begun is completed, and no other
one begins until "resume". The command returns as soon as that is on record.
Pausing an upgrade that is paused is fine, and changes nothing.`)
	cmd.RunE = t.verb(true, runPause)
	return cmd
}

func (t *tree) resume() *cobra.Command {
	cmd := leaf("resume", "Let a paused upgrade go on",
		`Let members begin again after "pause". Resuming an upgrade that is not paused is
fine, and changes nothing.`)
	cmd.RunE = t.verb(true, runResume)
	return cmd
}

func runPause(ctx context.Context, s *session, args []string) error {
	c, err := s.connectAlone(ctx, args, "pause takes no words")
	if err != nil {
		return err
	}
	s.ifLeft("Whether it was paused is not known.", "Look:  "+s.tree.hint(s.cmd, "status"))
	s.reporter.doing("pausing")
	if err := c.Pause(ctx); err != nil {
		return err
	}
	text, fields := "no member begins any more", map[string]any{}
	if now, err := c.Status(ctx); err == nil && now.Run != nil { // it is paused, whatever became of this
		fields["run"] = now.Run.ID
		if busy := inFlightIDs(now); len(busy) > 0 {
			fields["in_flight"] = busy
			text = pausedText(busy)
		}
	}
	s.reporter.done(step{"paused", text, fields})
	s.stay(func(v view) []string { return []string{"Go on:  " + v.hint("resume")} })
	return nil
}

func runResume(ctx context.Context, s *session, args []string) error {
	c, err := s.connectAlone(ctx, args, "resume takes no words")
	if err != nil {
		return err
	}
	s.ifLeft("Whether it goes on is not known.", "Look:  "+s.tree.hint(s.cmd, "status"))
	s.reporter.doing("resuming")
	if err := c.Resume(ctx); err != nil {
		return err
	}
	text, fields := "the upgrade goes on", map[string]any{}
	if now, err := c.Status(ctx); err == nil && now.Run != nil {
		fields["run"] = now.Run.ID
		text = "run " + shortRun(now.Run.ID) + " goes on"
	}
	s.reporter.done(step{"resumed", text, fields})
	s.stay(func(v view) []string { return []string{"Watch it:  " + v.hint("status", "--watch")} })
	return nil
}

func inFlightIDs(s upgrade.Status) []string {
	var ids []string
	for _, m := range s.Members {
		if inFlight(m.State) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func pausedText(busy []string) string {
	verb := " is in flight and will be completed"
	if len(busy) > 1 {
		verb = " are in flight and will be completed"
	}
	return clean(strings.Join(busy, " ")) + verb + "; then nothing starts"
}

// pausedLines say that a run is paused, by whom, and how it goes on.
func pausedLines(v view, s upgrade.Status) []string {
	if s.Paused == nil {
		return nil
	}
	line := v.yellow("PAUSED")
	if s.Paused.By != "" {
		line += " by " + clean(s.Paused.By)
	}
	line += " since " + v.clock(s.Paused.Since)
	if busy := inFlightIDs(s); len(busy) > 0 {
		line += "; " + clean(strings.Join(busy, " ")) + " will be completed"
	}
	return wrap(line+"; go on: ", "  ", v.hint("resume"), v.width)
}
