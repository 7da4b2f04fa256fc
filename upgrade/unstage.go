package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// Unstage cancels the run that works, or removes what is staged or ended: the
// archive, what was unpacked from it, and the record. It returns when that is
// done here; or, if the turn of this member can no longer be stopped, when the
// cancellation is on record. Repeating it within a minute of the removal succeeds.
func (o *Orchestrator) Unstage(ctx context.Context, opt UnstageOptions) error {
	for {
		v, err := o.observe(ctx)
		if err != nil {
			return unavailable(err)
		}
		r := v.next()
		switch r.Status {
		case tracking.None:
			if !r.Removed.IsZero() && v.now.Sub(r.Removed) < removedRepeat {
				return nil
			}
			return &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "leave it so"}
		case tracking.Working:
			if r.Wish != tracking.Cancel {
				r.Wish, r.CancelledBy, r.Waiting = tracking.Cancel, opt.By, v.run.Waiting
				r.Add(v.now, "", "run.cancelling", "cancelling"+by(opt.By)+"; no member starts any more")
				if err := o.swapRun(ctx, v, r); errors.Is(err, tracking.ErrConflict) {
					continue
				} else if err != nil {
					return unavailable(err)
				}
			}
			return o.cancelled(ctx, r.ID)
		}
		err = o.swapRun(ctx, v, v.tombstone(opt.By).run)
		if errors.Is(err, tracking.ErrConflict) {
			continue
		}
		if err != nil {
			return unavailable(err)
		}
		select {
		case o.uploads <- struct{}{}:
			defer func() { <-o.uploads }()
			return o.sweepStore(ctx)
		case <-time.After(uploadPatience): // the upload sweeps
			return nil
		case <-ctx.Done():
			return unavailable(context.Cause(ctx))
		}
	}
}

// removedRepeat is for how long a DELETE of what is gone is taken for the
// repetition of one whose reply was lost: drpcli repeats for 20 s.
const removedRepeat = time.Minute

// cancelled waits until the cancelled run is gone, or until this member is about
// to restart: then the caller must not hold it up.
func (o *Orchestrator) cancelled(ctx context.Context, run string) error {
	err := o.until(ctx, func(r tracking.Run) bool {
		if t := r.Turn(o.self); t != nil && t.State != tracking.Granted && t.State != tracking.Claimed {
			return true
		}
		return r.ID != run || r.Status == tracking.None
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// tombstone is the run once it is removed. What it was stays readable.
func (v view) tombstone(who string) step {
	r := v.next()
	what := fmt.Sprintf("archive of %s %s and the record", r.Archive.Product, r.Archive.Version)
	if r.Kind == tracking.KindRollback {
		what = fmt.Sprintf("the record of the rollback to %s %s", r.Archive.Product, r.Archive.Version)
	}
	r.Add(v.now, "", "run.removed", fmt.Sprintf("removed%s: %s. Now: %s", by(who), what, v.versions()))
	r.Status, r.Wish, r.Phase, r.Turns, r.Removed = tracking.None, tracking.Go, "", nil, v.now
	r.Archive = tracking.Archive{Product: r.Archive.Product, Version: r.Archive.Version}
	return commit(r)
}

// sweepStore deletes every blob that the record does not name.
func (o *Orchestrator) sweepStore(ctx context.Context) error {
	r, err := o.Record(ctx)
	if err != nil {
		return err
	}
	keep, err := o.kept(ctx, r)
	if err != nil {
		return err
	}
	for info, err := range o.c.Archives.List(ctx) {
		if err != nil {
			return fmt.Errorf("upgrade: sweep the archive store: %w", err)
		}
		if keep != nil && !keep[info.Digest] {
			if err := o.c.Archives.Delete(ctx, info.Digest); err != nil {
				return fmt.Errorf("upgrade: sweep the archive store: %w", err)
			}
		}
	}
	o.remember(func(m *memory) { m.sweptFor = sweepKey(r) })
	return nil
}

// kept returns the blobs that the record names; nil if that cannot be told now.
func (o *Orchestrator) kept(ctx context.Context, r tracking.Run) (map[archive.Digest]bool, error) {
	keep := map[archive.Digest]bool{}
	if r.Archive.Digest == "" {
		o.remember(func(m *memory) { m.verified = archive.Verified{} })
		return keep, nil
	}
	keep[archive.Digest(r.Archive.Digest)] = true
	var rel archive.Verified
	o.remember(func(m *memory) { rel = m.verified })
	if rel.IsZero() || string(rel.Release().Sums) != r.Archive.Sums {
		var err error
		rel, err = archive.Check(ctx, o.c.Archives, archive.Digest(r.Archive.Digest), o.policy())
		switch ended := r.Status == tracking.Finished || r.Status == tracking.Failed; {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && ended: // nothing will be installed from it any more
			return keep, nil
		case err != nil:
			return nil, nil
		}
	}
	for _, d := range rel.Release().Blobs() {
		keep[d] = true
	}
	return keep, nil
}

// sweepIdle sweeps the store unless an upload is under way, which does so itself.
func (o *Orchestrator) sweepIdle(ctx context.Context) error {
	select {
	case o.uploads <- struct{}{}:
		defer func() { <-o.uploads }()
		return o.sweepStore(ctx)
	default:
		return nil // the upload sweeps
	}
}

// sweepKey names the state of the record that a sweep was for.
func sweepKey(r tracking.Run) string { return r.ID + " " + r.Archive.Digest }
