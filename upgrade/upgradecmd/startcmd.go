package upgradecmd

import (
	"context"

	"github.com/spf13/cobra"
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
	if before.Status == "finished" {
		s.reporter.done(step{"finished", "already; nothing was started", map[string]any{"run": before.Run.ID}})
		return nil
	}
	s.sayStarted(before)
	s.stay(func(v view) []string { return []string{"Watch it:  " + v.hint("status", "--watch")} })
	return nil
}
