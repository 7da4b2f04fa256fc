package upgradecmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) unstage() *cobra.Command {
	cmd := leaf("unstage", "Remove what is staged, or cancel the upgrade that runs",
		`Remove the archive and the record of the upgrade, everywhere. While an upgrade
runs this cancels it: a member that has left already is completed, no other one
begins, and nothing is put back. That is asked about; --yes answers.`)
	cmd.Aliases = []string{"remove"}
	cmd.RunE = t.verb(true, runUnstage)
	return cmd
}

func runUnstage(ctx context.Context, s *session, args []string) error {
	c, before, err := s.begin(ctx, args, "unstage takes no words")
	if err != nil {
		return err
	}
	s.reporter.doing("")
	working := before.Status == string(tracking.Working) && before.Run != nil
	if working {
		if err := s.confirmCancel(ctx, before); err != nil {
			return err
		}
	}
	s.ifLeft("Whether it was removed is not known.", "Look:  "+s.tree.hint(s.cmd, "status"))
	if !working {
		s.reporter.doing("removing")
		if err := c.Unstage(ctx); err != nil {
			return err
		}
		s.reporter.done(step{"removed", removedText(before), nil})
		return nil
	}
	w := &watch{s: s, c: c, last: before, seq: before.Transcript.Total}
	w.act = func(ctx context.Context, now upgrade.Status) error {
		if ended(now) || w.gone(now) {
			return nil
		}
		return c.Unstage(ctx)
	}
	return w.toCancelled(ctx)
}

func removedText(s upgrade.Status) string {
	where := ""
	if !alone(s) {
		where = ", on " + memberIDs(s.Members)
	}
	text := "the archive and the record"
	if stagedWord(s) == "record" {
		text = "the record"
	}
	text += where
	if kept := keptText(s); kept != "" && ended(s) {
		text += "; " + strings.TrimSuffix(kept, ".")
	}
	return text
}

// confirmCancel has the operator type the name of the run that is cancelled.
func (s *session) confirmCancel(ctx context.Context, before upgrade.Status) error {
	name := shortRun(before.Run.ID)
	return s.confirm(ctx, consent{
		unasked:  "run " + name + " is working, and there is no terminal to ask on whether to cancel it",
		to:       "To cancel it unasked",
		means:    []string{"Run " + name + " is working" + whoseTurn(before) + ".", cancelMeans(before)},
		question: "Cancel it? Type the run's name, " + name + ": ",
		word:     []string{name, before.Run.ID},
		not:      "is not the name of the run, " + name,
		stays:    "the " + called(before.Run) + " goes on; watch it:  " + s.tree.hint(s.cmd, "status", "--watch"),
	})
}

// whoseTurn says where the members are: ": m2 is done, m3 is restarting".
func whoseTurn(s upgrade.Status) string {
	var parts []string
	for _, m := range s.Members {
		state := "is " + clean(m.State)
		if m.State == string(tracking.Pending) {
			state = "has not begun"
		}
		parts = append(parts, clean(m.ID)+" "+state)
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

func cancelMeans(s upgrade.Status) string {
	var leaving, done []string
	for _, m := range s.Members {
		switch tracking.State(m.State) {
		case tracking.Restarting, tracking.Rejoining, tracking.Accepted:
			leaving = append(leaving, clean(m.ID))
		case tracking.Done:
			done = append(done, clean(m.ID))
		}
	}
	text := "Cancelling "
	if len(leaving) > 0 {
		text += "lets " + strings.Join(leaving, " ") + " finish, "
	}
	if keep := append(done, leaving...); len(keep) > 0 {
		text += "keeps " + clean(s.Run.To) + " on " + strings.Join(keep, " ") + ", and "
	}
	return text + "removes the archive everywhere. Nothing is put back."
}
