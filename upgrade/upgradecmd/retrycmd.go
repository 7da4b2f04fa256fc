package upgradecmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) retry() *cobra.Command {
	cmd := leaf("retry", "Go on after an upgrade that failed",
		`Start the upgrade again that failed, with the archive that is staged. Members
that run it already are skipped, and all others are checked again before one is
touched. A member that is gone for good holds nothing up with --forget: nobody
waits for it, and it gets no turn. The command returns at once, or with --watch
when the upgrade finished or failed.

`+outageHelp)
	t.addSuccessor(cmd)
	cmd.RunE = t.verb(true, runRetry)
	return cmd
}

func runRetry(ctx context.Context, s *session, args []string) error {
	c, before, err := s.begin(ctx, args, "retry takes no words; it goes on with what is staged")
	if err != nil {
		return err
	}
	return s.follow(ctx, c, before, successor{
		begin: func(ctx context.Context, c client) (string, error) {
			return c.Retry(ctx, upgrade.RetryOptions{
				Skip: flagList(s.cmd, "skip-check"), Forget: flagList(s.cmd, "forget"), AllowOutage: flagBool(s.cmd, "allow-outage"),
			})
		},
		become: func(run *upgrade.StatusRun, of *string) { run.RetryOf = of },
		mended: "the archive stays staged; when that is mended:  " + s.tree.hint(s.cmd, "retry"),
	})
}
