package upgradecmd

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

const groupHelp = `Replace the program of a running server by a newer one.

With FILE, an archive, everything in one: check, upload, start, and watch until
the upgrade finished or failed. FILE has a / in it or ends in .zip, .tgz or
.tar.gz; any other word is a command.

` + outageHelp + `

Exit codes, the same for every command:
    0  ok           did what was asked; for FILE: finished
    1  error        anything not below
    2  usage        wrong flags or words, or --yes is missing without a terminal
    3  refused      a check, gate, plan or conflict said no; nothing was changed
    4  failed       the upgrade failed; every member runs a whole program
    5  needs-hands  the upgrade failed, and a member is down or unclear
    6  denied       not logged in, not allowed, or not signed by a trusted key
    7  unknown      nobody could be reached; an upgrade may go on
    8  timeout      your --timeout ended; an upgrade goes on
    9  cancelled    somebody cancelled the upgrade that was watched
  130  signal       Ctrl-C: stopped watching; an upgrade goes on (143: TERM)`

func (t *tree) group() *cobra.Command {
	cmd := &cobra.Command{
		Use:   t.Name + " [FILE]",
		Short: "Replace the program of a running server",
		Long:  groupHelp,
		Args:  cobra.ArbitraryArgs,

		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		ValidArgsFunction:          completeGroup,
	}
	t.addFlags(cmd)
	addChecks(cmd)
	addPlan(cmd)
	addOutage(cmd)
	whole := t.verb(true, upgradeFile)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return whole(cmd, args)
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return t.verb(false, func(context.Context, *session, []string) error {
			return &usageError{err.Error()}
		})(cmd, nil)
	})
	return cmd
}

// leaf is a command of the group; its errors are told by its session.
func leaf(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args:              cobra.ArbitraryArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func addChecks(cmd *cobra.Command) {
	cmd.Flags().StringArray("skip-check", nil, "go on without this check, by its id; may be repeated, is recorded")
	_ = cmd.RegisterFlagCompletionFunc("skip-check", cobra.NoFileCompletions)
}

// outageHelp is what --allow-outage means, for the commands that take it.
const outageHelp = `A cluster of two voters cannot write while one of them restarts: no client can,
from the exit of a member to its return, once for each of the two. Such an
upgrade is refused unless --allow-outage says that your clients can wait.`

func addOutage(cmd *cobra.Command) {
	cmd.Flags().Bool("allow-outage", false, "go on although nobody can write while a member restarts (two voters); is recorded")
}

func addPlan(cmd *cobra.Command) {
	cmd.Flags().String("plan", "", "start only what the plan with this id said")
	_ = cmd.RegisterFlagCompletionFunc("plan", cobra.NoFileCompletions)
}

func flagText(cmd *cobra.Command, name string) string {
	v, _ := cmd.Flags().GetString(name)
	return v
}

func flagList(cmd *cobra.Command, name string) []string {
	v, _ := cmd.Flags().GetStringArray(name)
	return v
}

func flagBool(cmd *cobra.Command, name string) bool {
	v, _ := cmd.Flags().GetBool(name)
	return v
}

// unknownWord says that a word is neither a command nor a file.
func (s *session) unknownWord(word string) error {
	text := "unknown command " + quote(word)
	if near := s.root.SuggestionsFor(word); len(near) > 0 {
		text += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s\nA file has a / in it or ends in .zip, .tgz or .tar.gz:  %s",
		text, s.tree.hint(s.cmd, fileWord(word)))
}

// upgradeFile is "upgrade FILE": all in one.
func upgradeFile(ctx context.Context, s *session, args []string) error {
	if !isArchiveName(args[0]) {
		return s.unknownWord(args[0])
	}
	if len(args) > 1 {
		return usagef("one FILE at a time, and flags go after it")
	}
	file, err := openArchive(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	switch same := before.Run != nil && before.Run.Archive == string(file.digest); {
	case same && before.Status == string(tracking.Working):
		s.reporter.done(step{word: "running", text: "run " + shortRun(before.Run.ID) + " of this archive is under way; nothing is sent"})
		return (&watch{s: s, c: c, last: before}).toEnd(ctx)
	case same && before.Status == string(tracking.Staging):
		// Members are still fetching it, which would stand in the way of its own check.
		if _, err := s.send(ctx, c, file, before); err != nil {
			return err
		}
		if err := s.checkFirst(ctx, c, nil); err != nil {
			return err
		}
	case same && before.Status == string(tracking.Staged):
		if err := s.checkFirst(ctx, c, nil); err != nil {
			return err
		}
		s.reporter.done(step{word: "staged", text: "this archive is staged already; nothing is sent"})
	default:
		if err := s.checkFirst(ctx, c, file); err != nil {
			return err
		}
		if _, err := s.send(ctx, c, file, before); err != nil {
			return err
		}
	}
	return s.startAndWatch(ctx, c)
}

// checkFirst runs the checks, against file or what is staged, and stops at a no.
func (s *session) checkFirst(ctx context.Context, c client, file *archiveFile) error {
	s.ifLeft("Nothing was changed.")
	s.reporter.doing("checking")
	o := upgrade.CheckOptions{Skip: flagList(s.cmd, "skip-check"), AllowOutage: flagBool(s.cmd, "allow-outage")}
	if file != nil {
		o.Head = &file.head
	}
	report, err := c.Check(ctx, o)
	if err != nil {
		return err
	}
	if report.Ready {
		text, warned := readyText(report)
		s.reporter.done(step{"checked", text, map[string]any{"warnings": warned}})
		return nil
	}
	s.reporter.doing("")
	no := &upgrade.Refusal{Kind: upgrade.NotReady, Reason: "NotReady", Message: notReadyText(report), Checks: problems(report.Checks)}
	s.stay(func(v view) []string {
		var lines []string
		for _, c := range no.Checks {
			lines = append(append(lines, checkLines(v, c)...), "")
		}
		lines = append(lines, no.Message+" Nothing was changed.")
		if file != nil {
			return append(lines, againLine(v, no.Checks, fileWord(file.name)))
		}
		return append(lines, "The archive stays staged. "+againLine(v, no.Checks, "start"))
	})
	return &ExitError{Code: codeOfChecks(no.Checks), Err: no}
}

// startAndWatch starts what is staged, and stays until it is over.
func (s *session) startAndWatch(ctx context.Context, c client) error {
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if before.Run == nil || before.Status != string(tracking.Staged) {
		// There is nothing to watch yet, or something else is going on: whether
		// that can be started is for the server to say.
		if err := s.run(ctx, c, before); err != nil {
			return err
		}
		return (&watch{s: s, c: c, last: before, acted: s.sayStarted}).toEnd(ctx)
	}
	w := &watch{s: s, c: c, last: before, seq: before.Transcript.Total}
	w.act = func(ctx context.Context, now upgrade.Status) error {
		if now.Status == string(tracking.Staged) {
			if err := s.run(ctx, c, now); err != nil {
				return err
			}
		}
		s.ifLeft("The upgrade goes on.", "Come back:  "+s.tree.hint(s.cmd, "status", "--watch"))
		w.acted = s.sayStarted
		return nil
	}
	return w.toEnd(ctx)
}

// run asks for the start.
func (s *session) run(ctx context.Context, c client, before upgrade.Status) error {
	s.ifLeft("Whether it was started is not known.", "Look:  "+s.tree.hint(s.cmd, "status"))
	s.reporter.doing("starting")
	_, err := c.Run(ctx, upgrade.StartOptions{
		Plan: flagText(s.cmd, "plan"), Skip: flagList(s.cmd, "skip-check"), AllowOutage: flagBool(s.cmd, "allow-outage"),
	})
	var no *upgrade.Refusal
	if errors.As(err, &no) && before.Status == string(tracking.Staged) && staysStaged(no.Kind) {
		return &notStarted{no}
	}
	return err
}

// notStarted is a refusal to start what is staged. That nothing was changed by
// the request is not the whole of it: the same command may have staged it.
type notStarted struct{ *upgrade.Refusal }

func (e *notStarted) Unwrap() error { return e.Refusal }

// staysStaged reports whether a refusal of that kind to start what was staged
// leaves it so. After the others, somebody was quicker, or it is not known.
func staysStaged(k upgrade.Kind) bool {
	switch k {
	case upgrade.NotFound, upgrade.Conflict, upgrade.Unavailable:
		return false
	}
	return true
}

// sayStarted says that what was staged has begun.
func (s *session) sayStarted(now upgrade.Status) {
	run := now.Run
	if run == nil {
		run = &upgrade.StatusRun{}
	}
	s.sayRun(run, nil, alone(now))
}
