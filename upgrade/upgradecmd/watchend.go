package upgradecmd

import (
	"context"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// toEnd watches until the run is over, says how it ended, and returns its code.
func (w *watch) toEnd(ctx context.Context) error {
	w.s.ifLeft("The "+called(w.last.Run)+" goes on.", "Come back:  "+w.s.tree.hint(w.s.cmd, "status", "--watch"))
	status, over, err := w.follow(ctx)
	if err != nil {
		return err
	}
	if over {
		status = w.heardOf(ctx, status)
	}
	w.s.reporter.doing("")
	w.s.ended(status)
	if !over && status.Run != nil && w.runID() != "" {
		did := ""
		switch {
		case deref(status.Run.RetryOf) == w.runID():
			did = "failed, and was started again"
		case isRollback(status.Run) && !isRollback(w.last.Run):
			did = "is rolled back"
		}
		if did != "" {
			w.s.stay(func(v view) []string { return stamped(v, status, followedText(v, w.last, status)) })
			return &ExitError{Code: CodeFailed, Err: &upgrade.Refusal{Kind: upgrade.Conflict, Reason: "Failed", Message: "the run that was watched " + did}}
		}
	}
	if !over {
		w.s.stay(func(v view) []string { return stamped(v, status, goneText(v, w.last, status, w.cancel)) })
		return &ExitError{Code: CodeCancelled, Err: &upgrade.Refusal{Kind: upgrade.Conflict, Reason: "Cancelled", Message: "the run that was watched was cancelled"}}
	}
	w.s.stay(func(v view) []string {
		lines := stamped(v, status, endingText(v, status))
		if !v.plain && !alone(status) {
			lines = append([]string{""}, lines...) // apart from the lines about members
		}
		return lines
	})
	if code := endCode(status); code != CodeOK {
		return &ExitError{Code: code, Err: endError(status)}
	}
	return nil
}

// backPatience is how long after the end of a run its members may take to hear of
// one that is back.
const backPatience = 3 * time.Second

// heardOf waits a moment if a member that put its program back does not answer, by
// the word of the one that is asked: it has said so itself, and serves.
func (w *watch) heardOf(ctx context.Context, s upgrade.Status) upgrade.Status {
	for limit := time.Now().Add(backPatience); wasPutBack(s) && whoIsBack(s) == "" && time.Now().Before(limit); {
		select {
		case <-time.After(backPatience / 15):
		case <-ctx.Done():
			return s
		}
		now, err := w.c.Status(ctx)
		if err != nil || now.Run == nil || now.Run.ID != s.Run.ID || now.Status != s.Status {
			return s
		}
		s = now
	}
	return s
}

// toCancelled watches until the run that is being cancelled is gone.
func (w *watch) toCancelled(ctx context.Context) error {
	status, over, err := w.follow(ctx)
	if err != nil {
		return err
	}
	w.s.reporter.doing("")
	w.s.ended(status)
	w.s.stay(func(v view) []string {
		if over && deref(status.Run.Result) != "cancelled" { // it had come too far
			return stamped(v, status, endingText(v, status))
		}
		return stamped(v, status, cancelledText(v, status))
	})
	return nil
}

// stamped puts the time before the first line where lines are a log.
func stamped(v view, s upgrade.Status, lines []string) []string {
	if v.plain && len(lines) > 0 {
		at := v.now
		if s.Run != nil && s.Run.FinishedAt != nil {
			at = *s.Run.FinishedAt
		}
		lines[0] = stamp(at) + " " + lines[0]
	}
	return lines
}

func endError(s upgrade.Status) error {
	no := &upgrade.Refusal{Kind: upgrade.Conflict, Reason: "Failed", Message: "the " + called(s.Run) + " failed"}
	if s.Run != nil && deref(s.Run.Reason) != "" {
		no.Reason = *s.Run.Reason
	}
	if s.FinalState != nil && *s.FinalState != "" {
		no.Message = *s.FinalState
	}
	return no
}

// runID is the run that is watched, "" if there was none yet.
func (w *watch) runID() string {
	if w.last.Run == nil {
		return ""
	}
	return w.last.Run.ID
}

// followedText says that somebody was quicker than this watch.
func followedText(v view, before, now upgrade.Status) []string {
	text := "failed: run " + shortRun(before.Run.ID) + ", and goes on as run " + shortRun(now.Run.ID)
	if isRollback(now.Run) && !isRollback(before.Run) {
		text = "rolled back: run " + shortRun(before.Run.ID) + ", as run " + shortRun(now.Run.ID)
	}
	return []string{v.sign(false, text+byWhom(now.Run.StartedBy)+"."), "  Watch it:  " + v.hint("status", "--watch")}
}

func goneText(v view, before, now upgrade.Status, cancel *tracking.Line) []string {
	text := "cancelled: run " + shortRun(before.Run.ID)
	if cancel != nil {
		_, said := lineWords(*cancel)
		said, _, _ = strings.Cut(said, ";")
		text += ", " + said + " at " + v.clock(cancel.At)
	}
	return append(wrap(v.sign(false, text+". "), "  ", whatRuns(now), v.width), "  Look:  "+v.hint("status"))
}
