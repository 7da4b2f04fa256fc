package upgradecmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) start() *cobra.Command {
	cmd := leaf("start", "Start the upgrade to what is staged",
		`Start the upgrade to the archive that is staged. The server does the rest: the
command returns at once, or with --watch when the upgrade finished or failed.
Starting an upgrade that is under way is fine, and changes nothing.

`+outageHelp)
	cmd.Aliases = []string{"run"}
	cmd.Flags().Bool("watch", false, "stay and watch until it finished or failed")
	addChecks(cmd)
	addPlan(cmd)
	addOutage(cmd)
	cmd.RunE = t.verb(true, runStart)
	return cmd
}

func runStart(ctx context.Context, s *session, args []string) error {
	if len(args) > 0 {
		return usagef("start takes no words; to stage and start FILE in one:  %s", s.tree.hint(s.cmd, fileWord(args[0])))
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if flagBool(s.cmd, "watch") {
		return s.startAndWatch(ctx, c)
	}
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if err := s.run(ctx, c, before); err != nil {
		return err
	}
	if s.sayThere(before) {
		return nil
	}
	s.sayStarted(before)
	s.stay(func(v view) []string { return []string{"Watch it:  " + v.hint("status", "--watch")} })
	return nil
}

// sayThere says of a run that was there when it was asked for that nothing was
// begun; false if there was none.
func (s *session) sayThere(before upgrade.Status) bool {
	switch {
	case before.Run == nil:
		return false
	case before.Status == string(tracking.Finished):
		s.reporter.done(step{"finished", "already; nothing was started", map[string]any{"run": before.Run.ID}})
	case before.Status == string(tracking.Working):
		s.sayWorking(before)
	default:
		return false
	}
	return true
}

// sayWorking says of a run that was under way when it was asked for that it was
// left alone: one that is paused does not go on by a start.
func (s *session) sayWorking(now upgrade.Status) {
	text := "works already"
	if now.Paused != nil {
		text += ", and is paused"
	}
	s.reporter.done(step{"working", "run " + shortRun(now.Run.ID) + " " + text + "; nothing was started", map[string]any{"run": now.Run.ID}})
	s.stay(func(v view) []string { return []string{nextOfRun(v, now)} })
}

// nextOfRun is what to type next while a run is under way.
func nextOfRun(v view, now upgrade.Status) string {
	if now.Paused != nil {
		return "Go on:  " + v.hint("resume")
	}
	return "Watch it:  " + v.hint("status", "--watch")
}
