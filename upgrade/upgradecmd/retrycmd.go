package upgradecmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
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
	cmd.Flags().Bool("watch", false, "stay and watch until it finished or failed")
	cmd.Flags().StringArray("forget", nil, "do not wait for this member, it is gone for good; may be repeated, is recorded")
	_ = cmd.RegisterFlagCompletionFunc("forget", t.completeMembers(func(m upgrade.StatusMember) bool { return !m.Healthy }))
	addChecks(cmd)
	addOutage(cmd)
	cmd.RunE = t.verb(true, runRetry)
	return cmd
}

func runRetry(ctx context.Context, s *session, args []string) error {
	if len(args) > 0 {
		return usagef("retry takes no words; it goes on with what is staged")
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	s.ifLeft("Whether it was started is not known.", "Look:  "+s.tree.hint(s.cmd, "status"))
	s.reporter.doing("starting")
	id, err := c.Retry(ctx, upgrade.RetryOptions{
		Skip: flagList(s.cmd, "skip-check"), Forget: flagList(s.cmd, "forget"), AllowOutage: flagBool(s.cmd, "allow-outage"),
	})
	var no *upgrade.Refusal
	switch {
	case errors.As(err, &no) && no.Remedy == "":
		told := *no
		told.Remedy = "the archive stays staged; when that is mended:  " + s.tree.hint(s.cmd, "retry")
		return &told
	case err != nil:
		return err
	}
	failed := ""
	if before.Run != nil && before.Run.ID != id {
		failed = before.Run.ID
	}
	if !flagBool(s.cmd, "watch") {
		s.sayRetried(&upgrade.StatusRun{ID: id}, failed)
		s.stay(func(v view) []string { return []string{"Watch it:  " + v.hint("status", "--watch")} })
		return nil
	}
	// The record holds the new run by now. Nothing of it has been shown yet.
	run := upgrade.StatusRun{}
	if before.Run != nil {
		run = *before.Run
	}
	run.ID, before.Run, before.Status = id, &run, string(tracking.Working)
	w := &watch{s: s, c: c, last: before}
	w.acted = func(now upgrade.Status) {
		if now.Run == nil || now.Run.ID != id {
			now.Run = &run
		}
		s.sayRetried(now.Run, failed)
	}
	return w.toEnd(ctx)
}

// sayRetried says that a run goes on with another one, with as much as is known
// of it.
func (s *session) sayRetried(run *upgrade.StatusRun, failed string) {
	text, fields := "run "+shortRun(run.ID), map[string]any{"run": run.ID}
	if run.StartedBy != "" {
		text += " by " + clean(run.StartedBy)
	}
	if run.Plan != "" {
		text += ", plan " + clean(run.Plan)
	}
	if failed != "" {
		text += ", goes on after " + shortRun(failed)
		fields["retry_of"] = failed
	}
	s.reporter.done(step{"started", text, fields})
}
