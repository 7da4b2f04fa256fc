package upgradecmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A successor is a run that follows one that ended: a retry goes on with it, a
// rollback takes it back.
type successor struct {
	begin  func(context.Context, client) (run string, err error)
	way    []leg                                    // that it takes members, where that is not what the record says of it
	become func(run *upgrade.StatusRun, of *string) // makes of the run of, nil if unknown, what is known of this one
	mended string                                   // what a refusal without advice is followed by: a command
}

// addSuccessor adds the flags of commands that begin one.
func (t *tree) addSuccessor(cmd *cobra.Command) {
	cmd.Flags().Bool("watch", false, "stay and watch until it finished or failed")
	cmd.Flags().StringArray("forget", nil, "do not wait for this member, it is gone for good; may be repeated, is recorded")
	_ = cmd.RegisterFlagCompletionFunc("forget", t.completeMembers(func(m upgrade.StatusMember) bool { return !m.Healthy }))
	addChecks(cmd)
	addOutage(cmd)
}

// follow begins the run that follows the one of before, and with --watch stays
// until it is over.
func (s *session) follow(ctx context.Context, c client, before upgrade.Status, next successor) error {
	s.ifLeft("Whether it was started is not known.", "Look:  "+s.tree.hint(s.cmd, "status"))
	s.reporter.doing("starting")
	id, err := next.begin(ctx, c)
	if err = s.advise(err); err != nil {
		var led *advised
		var no *upgrade.Refusal
		if !errors.As(err, &led) && errors.As(err, &no) && no.Remedy == "" {
			told := *no
			told.Remedy = next.mended
			return &told
		}
		return err
	}
	watches := flagBool(s.cmd, "watch")
	if before.Run != nil && before.Run.ID == id { // somebody was quicker, or a reply was lost
		if watches && before.Status == string(tracking.Working) {
			s.reporter.done(step{word: "running", text: "run " + shortRun(id) + " is under way; nothing was started"})
			return (&watch{s: s, c: c, last: before}).toEnd(ctx)
		}
		if s.sayThere(before) {
			return nil
		}
	}
	run, of := upgrade.StatusRun{}, (*string)(nil)
	if before.Run != nil {
		run, of = *before.Run, &before.Run.ID
	}
	run.ID = id
	next.become(&run, of)
	if !watches {
		run.StartedBy, run.Plan = "", "" // that only the record says
		s.sayRun(&run, next.way, alone(before))
		s.stay(func(v view) []string { return []string{"Watch it:  " + v.hint("status", "--watch")} })
		return nil
	}
	// The record holds the new run by now. Nothing of it has been shown yet.
	before.Run, before.Status = &run, string(tracking.Working)
	w := &watch{s: s, c: c, last: before}
	w.acted = func(now upgrade.Status) {
		if now.Run == nil || now.Run.ID != id {
			now.Run = &run
		}
		s.sayRun(now.Run, next.way, alone(before))
	}
	return w.toEnd(ctx)
}

// sayRun says that a run has begun, with as much as is known of it; and which way
// it takes the members, or the one that there is.
func (s *session) sayRun(run *upgrade.StatusRun, way []leg, one bool) {
	text, fields := "the upgrade", map[string]any{}
	if run.ID != "" {
		text, fields["run"] = "run "+shortRun(run.ID), run.ID
	}
	if run.StartedBy != "" {
		text += " by " + clean(run.StartedBy)
	}
	plan := flagText(s.cmd, "plan")
	if plan == "" {
		plan = run.Plan
	}
	if plan != "" {
		text += ", plan " + clean(plan)
	}
	if of := deref(run.RollbackOf); of != "" {
		text += ", rollback of " + shortRun(of)
		fields["rollback_of"] = of
	}
	if failed := deref(run.RetryOf); failed != "" {
		text += ", goes on after " + shortRun(failed)
		fields["retry_of"] = failed
	}
	if len(way) > 0 {
		legs := make([]map[string]any, len(way))
		for i, l := range way {
			legs[i] = l.fields()
		}
		text += ", back " + wayText(way, one)
		fields["back"] = legs
	}
	s.reporter.done(step{"started", text, fields})
}
