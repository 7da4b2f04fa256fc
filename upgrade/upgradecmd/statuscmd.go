package upgradecmd

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

func (t *tree) status() *cobra.Command {
	cmd := leaf("status", "See how far an upgrade is",
		`Show how far an upgrade is, which member runs what, and what to type next. With
--watch stay until it finished or failed; the exit code then says which. Without
it the exit code is 0 whenever the status could be read, unless --exit-code asks
for more: 0 none or finished, 4 failed, 5 failed with a member down, 9
cancelled, 20 staging or staged, 21 working, 22 waiting, 23 paused.`)
	cmd.Flags().Bool("watch", false, "stay and watch until it finished or failed")
	cmd.Flags().Bool("exit-code", false, "say by the exit code how far it is")
	cmd.Flags().Bool("fresh", false, "no answer rather than an old one, if the cluster does not answer (exit code 7)")
	cmd.Flags().String("member", "", "show this member only")
	_ = cmd.RegisterFlagCompletionFunc("member", t.completeMembers(func(upgrade.StatusMember) bool { return true }))
	once, watch := t.verb(false, runStatus), t.verb(true, watchStatus)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if flagBool(cmd, "watch") {
			return watch(cmd, args)
		}
		return once(cmd, args)
	}
	return cmd
}

func runStatus(ctx context.Context, s *session, args []string) error {
	status, _, err := s.readStatus(ctx, args)
	if err != nil {
		return err
	}
	s.document(status, func() []string {
		v := s.outView(skew(status.ObservedAt, time.Now()))
		v.plain = v.plain || !s.out.tty
		return statusText(v, status)
	})
	if code := stateCode(status); flagBool(s.cmd, "exit-code") && code != CodeOK {
		return &ExitError{Code: code}
	}
	return nil
}

func (s *session) readStatus(ctx context.Context, args []string) (upgrade.Status, client, error) {
	if len(args) > 0 {
		return upgrade.Status{}, nil, usagef("status takes no words")
	}
	c, err := s.connect(ctx)
	if err != nil {
		return upgrade.Status{}, nil, err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return upgrade.Status{}, nil, err
	}
	s.reporter.doing("")
	if status.Stale && flagBool(s.cmd, "fresh") {
		return status, nil, &unknownError{lines: []string{
			"the cluster did not answer; " + clean(status.ObservedBy) + " knows only how it was at " + stamp(status.ObservedAt),
			"  without --fresh:  " + s.tree.hint(s.cmd, "status"),
		}}
	}
	if id := flagText(s.cmd, "member"); id != "" {
		all := len(status.Members)
		status.Members = slices.DeleteFunc(status.Members, func(m upgrade.StatusMember) bool { return m.ID != id })
		if all > 0 && len(status.Members) == 0 {
			return status, nil, usagef("no member is called %s", quote(id))
		}
		status.Transcript.Lines = slices.DeleteFunc(status.Transcript.Lines, func(l tracking.Line) bool { return l.Member != id })
	}
	return status, c, nil
}

func watchStatus(ctx context.Context, s *session, args []string) error {
	if flagText(s.cmd, "member") != "" {
		return usagef("--member does not go with --watch")
	}
	status, c, err := s.readStatus(ctx, args)
	if err != nil {
		return err
	}
	switch {
	case status.Status == string(tracking.Working), status.Status == string(tracking.Staging), status.Status == string(tracking.Staged):
		return (&watch{s: s, c: c, last: status}).toEnd(ctx)
	}
	s.ended(status)
	s.stay(func(v view) []string { return statusText(v, status) })
	if code := stateCode(status); code != CodeOK {
		return &ExitError{Code: code, Err: errors.New("the upgrade ended " + ExitName(code))}
	}
	return nil
}

// stateCode is the exit code that a state has for status --exit-code.
func stateCode(s upgrade.Status) int {
	switch {
	case ended(s):
		return endCode(s)
	case s.Status == string(tracking.Staging), s.Status == string(tracking.Staged):
		return CodeStaged
	case s.Status == string(tracking.Working) && s.Paused != nil:
		return CodePaused
	case s.Status == string(tracking.Working) && s.Waiting != nil:
		return CodeWaiting
	case s.Status == string(tracking.Working):
		return CodeWorking
	}
	return CodeOK
}
