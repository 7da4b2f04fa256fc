package upgradecmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) rollback() *cobra.Command {
	cmd := leaf("rollback", "Go back to the version from before",
		`Go back to the program that each member keeps from before the upgrade. That is
a run as any other: one member at a time, with the same gates and limits, the
leader last; members that run the old program already are skipped. There is a
way back until "commit" gives it up or the next upgrade takes its place. What it
means is shown first and asked about; --yes answers. The command returns at
once, or with --watch when all are back or the run failed.

`+outageHelp)
	t.addSuccessor(cmd)
	cmd.RunE = t.verb(true, runRollback)
	return cmd
}

func runRollback(ctx context.Context, s *session, args []string) error {
	c, before, err := s.begin(ctx, args, "rollback takes no words; it goes back to what each member keeps")
	if err != nil {
		return err
	}
	done := isRollback(before.Run) && (before.Status == string(tracking.Working) || before.Status == string(tracking.Finished) && before.Run.CommittedAt == nil)
	if !done { // else there is nothing left to decide
		if err := s.advise(noWayBack(before)); err != nil {
			return err
		}
		if err := s.confirmRollback(ctx, before); err != nil {
			return err
		}
	}
	return s.follow(ctx, c, before, successor{
		way: backOf(before).back,
		begin: func(ctx context.Context, c client) (string, error) {
			return c.Rollback(ctx, upgrade.RollbackOptions{
				Skip: flagList(s.cmd, "skip-check"), Forget: flagList(s.cmd, "forget"), AllowOutage: flagBool(s.cmd, "allow-outage"),
			})
		},
		become: func(run *upgrade.StatusRun, of *string) {
			if idle(before) || run.RetryOf != nil {
				of = nil // what was removed may never have begun, and of those that went on it is the first
			}
			*run = upgrade.StatusRun{ID: run.ID, Kind: kindRollback, From: run.To, To: run.From, RollbackOf: of}
		},
		mended: "when that is mended:  " + s.tree.hint(s.cmd, "rollback"),
	})
}

// kindRollback is the Kind of a run that goes back.
const kindRollback = "rollback"

func isRollback(run *upgrade.StatusRun) bool { return run != nil && run.Kind == kindRollback }

// called is what a run is called in sentences.
func called(run *upgrade.StatusRun) string {
	if isRollback(run) {
		return "rollback"
	}
	return "upgrade"
}

// noWayBack is why there can be no rollback now, as far as the status says so. It
// goes before the question: to be refused after a yes is of no use.
func noWayBack(s upgrade.Status) error {
	no := &upgrade.Refusal{Kind: upgrade.Conflict}
	switch run := s.Run; {
	case run == nil:
		return nil
	case s.Status == string(tracking.Working):
		no.Reason, no.Message = "RunInProgress", "run "+shortRun(run.ID)+" works; only what has ended can be rolled back"
	case s.Status == string(tracking.Staging), s.Status == string(tracking.Staged):
		no.Reason, no.Message = "AlreadyStaged", "an archive is staged, "+clean(run.To)+"; it would be in the way of a rollback"
	case run.CommittedAt != nil:
		no.Reason, no.Message = "Committed", "the way back was given up"+byWhom(run.CommittedBy)+" at "+stamp(*run.CommittedAt)
	default:
		return nil
	}
	return no
}

func (s *session) confirmRollback(ctx context.Context, before upgrade.Status) error {
	b := backOf(before)
	where := ""
	if len(b.back) > 0 {
		where = " from " + b.back[0].from + " to " + b.back[0].to
	}
	return s.confirm(ctx, consent{
		unasked:  "there is no terminal to ask on whether to go back" + where,
		to:       "To go back unasked",
		means:    b.text(before),
		question: "Go back? [y/N] ",
		stays:    "to go back after all:  " + s.tree.hint(s.cmd, "rollback"),
	})
}

// A wayBack says who would go where in a rollback.
type wayBack struct {
	back []leg
	home []string // members that run the old program already
	lost []string // members that are not known to keep one
}

type leg struct {
	from, to string
	members  []string
}

// fields are those of a leg for programs.
func (l leg) fields() map[string]any {
	return map[string]any{"from": l.from, "to": l.to, "members": l.members}
}

// backOf reads from a status what a rollback would do. Who is at home follows from
// the run, if there was one that began: what was staged since tells nothing. A
// rollback that was removed is undone as any other run.
func backOf(s upgrade.Status) wayBack {
	var b wayBack
	gone := idle(s)
	for _, m := range s.Members {
		id, now, kept := clean(m.ID), versionOf(m), clean(deref(m.Previous))
		home := now == kept
		if s.Run != nil && s.Run.StartedAt != nil && (!gone || s.Versions[s.Run.To] > 0) {
			home = (now == clean(s.Run.To)) == (isRollback(s.Run) && !gone)
		}
		switch {
		case home && m.Version != "":
			b.home = append(b.home, id)
		case kept == "":
			b.lost = append(b.lost, id)
		default:
			last := len(b.back) - 1
			if last < 0 || b.back[last].from != now || b.back[last].to != kept {
				b.back = append(b.back, leg{from: now, to: kept})
				last++
			}
			b.back[last].members = append(b.back[last].members, id)
		}
	}
	return b
}

// text says it to the operator, a paragraph each.
func (b wayBack) text(s upgrade.Status) []string {
	var parts []string
	for _, l := range b.back {
		where := "beside the program"
		if !alone(s) {
			where = "on " + strings.Join(l.members, " ")
		}
		parts = append(parts, "from "+l.from+" to "+l.to+", kept "+where)
	}
	var said []string
	if len(parts) > 0 {
		said = append(said, "Back "+strings.Join(parts, "; ")+".")
		if idle(s) && isRollback(s.Run) && b.back[0].from == clean(s.Run.To) {
			said = append(said, "That undoes the last rollback.")
		}
	}
	if len(b.home) > 0 {
		said = append(said, strings.Join(b.home, " ")+verb(b.home, " runs", " run")+" the old program already.")
	}
	if len(b.lost) > 0 {
		said = append(said, strings.Join(b.lost, " ")+verb(b.lost, " is", " are")+" not known to keep a program to go back to.")
	}
	rules := "Same gates, same limits; the leader goes last."
	if alone(s) {
		rules = "Same checks, same limits."
	}
	return []string{strings.Join(append(said, rules), " ")}
}

// wayText says who goes from what to what, in one line.
func wayText(way []leg, one bool) string {
	parts := make([]string, len(way))
	for i, l := range way {
		parts[i] = "from " + l.from + " to " + l.to
		if !one {
			parts[i] += " on " + strings.Join(l.members, " ")
		}
	}
	return strings.Join(parts, ", ")
}

// verb is the form that goes with so many.
func verb(of []string, one, more string) string {
	if len(of) == 1 {
		return one
	}
	return more
}

func byWhom(name string) string {
	if name == "" {
		return ""
	}
	return " by " + clean(name)
}
