package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// Pause lets no further member begin its turn; a turn in flight is completed.
// It returns once that is on record. Pausing what is paused succeeds.
func (o *Orchestrator) Pause(ctx context.Context, opt PauseOptions) error {
	return o.wish(ctx, func(v view, r *tracking.Run) bool {
		if r.Wish == tracking.Pause {
			return false
		}
		r.Wish, r.PausedBy, r.PausedAt = tracking.Pause, opt.By, v.now
		text := "paused" + by(opt.By) + "; no member starts"
		for _, t := range r.Turns {
			text += fmt.Sprintf(", %s is in flight and will be completed", t.Member)
		}
		r.Add(v.now, "", "run.paused", text)
		return true
	})
}

// Resume lets a paused run go on. Resuming one that is not paused succeeds.
func (o *Orchestrator) Resume(ctx context.Context, opt PauseOptions) error {
	return o.wish(ctx, func(v view, r *tracking.Run) bool {
		if r.Wish != tracking.Pause {
			return false
		}
		r.Wish, r.PausedBy, r.PausedAt = tracking.Go, "", time.Time{}
		r.Add(v.now, "", "run.resumed", "resumed"+by(opt.By))
		return true
	})
}

// wish edits the wish of the run that works; edit returns false if there is
// nothing to write.
func (o *Orchestrator) wish(ctx context.Context, edit func(view, *tracking.Run) bool) error {
	for {
		v, err := o.observe(ctx)
		if err != nil {
			return unavailable(err)
		}
		r := v.next()
		r.Waiting = v.run.Waiting
		switch {
		case r.Status == tracking.None:
			return &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "stage an archive and start it"}
		case r.Status != tracking.Working:
			return &Refusal{Kind: Conflict, Reason: "NotWorking", Message: fmt.Sprintf("run %s is %s; only one that works can be paused or resumed", r.ID, r.Status),
				Remedy: "look at its status"}
		case r.Wish == tracking.Cancel:
			return &Refusal{Kind: Conflict, Reason: "Cancelling", Message: fmt.Sprintf("run %s is being cancelled%s", r.ID, by(r.CancelledBy)),
				Remedy: "wait until it has ended"}
		case !edit(v, &r):
			return nil
		}
		if err := o.swapRun(ctx, v, r); err == nil {
			return nil
		} else if !errors.Is(err, tracking.ErrConflict) {
			return unavailable(err)
		}
	}
}
