package upgradecmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) commit() *cobra.Command {
	cmd := leaf("commit", "Give up the way back after an upgrade",
		`Settle on the version that runs: every member gives up the program that it keeps
from before, and from then on there is no rollback. What is given up is shown
first and asked about; --yes answers. Committing what is committed is fine, and
changes nothing.`)
	cmd.RunE = t.verb(true, runCommit)
	return cmd
}

func runCommit(ctx context.Context, s *session, args []string) error {
	c, before, err := s.begin(ctx, args, "commit takes no words")
	if err != nil {
		return err
	}
	if before.Status == string(tracking.Working) && before.Run != nil {
		return s.advise(&upgrade.Refusal{Kind: upgrade.Conflict, Reason: "NotFinished",
			Message: "run " + shortRun(before.Run.ID) + " works; only one that has finished can be committed"})
	}
	kept := keptOn(before)
	if before.Run == nil || before.Run.CommittedAt == nil {
		if err := s.confirmCommit(ctx, before, kept); err != nil {
			return err
		}
	}
	s.ifLeft("Whether it was committed is not known.", "Look:  "+s.tree.hint(s.cmd, "status"))
	s.reporter.doing("committing")
	if err := c.Commit(ctx); err != nil {
		return s.advise(err)
	}
	fields := map[string]any{}
	if before.Run != nil {
		fields["run"] = before.Run.ID
	}
	text := "there is no way back"
	if len(kept) > 0 {
		given := map[string][]string{}
		for _, k := range kept {
			given[k.version] = k.members
		}
		fields["given_up"] = given
		text = "the way back to " + keptList(before, kept, " is given up", ", to ", "")
	}
	s.reporter.done(step{"committed", text, fields})
	return nil
}

func (s *session) confirmCommit(ctx context.Context, before upgrade.Status, kept []keep) error {
	to, means := "", "No member is known to keep a program from before. What is kept all the same, this gives up."
	if len(kept) > 0 {
		to = " to " + kept[0].version
		means = "This gives up " + keptList(before, kept, ", kept", "; ", " beside the program") + ". After that there is no rollback to it."
	}
	return s.confirm(ctx, consent{
		unasked:  "there is no terminal to ask on whether to give up the way back" + to,
		to:       "To give it up unasked",
		means:    []string{means},
		question: "Commit? [y/N] ",
		stays:    "to commit after all:  " + s.tree.hint(s.cmd, "commit"),
	})
}
