package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// uploadPatience is how long an upload waits for another to end, or for a sweep
// of the store.
const uploadPatience = 2 * time.Second

// Stage takes an archive, verifies it here, and returns once every member holds
// it and has verified it for itself. It is refused before body is read while a
// member does not answer, or cannot read the record. If a member is lost on the
// way, or slow, Stage gives up after Config.StageTimeout; the members go on, and
// staging the same archive again waits for them. The error is a *Refusal where something is wrong with the archive, the
// request or this machine; nothing of the archive is left then. Staging what is
// staged already succeeds. Staging something else is refused while anything is
// staged or works; a run that ended gives way.
func (o *Orchestrator) Stage(ctx context.Context, body io.Reader, opt StageOptions) (Staged, error) {
	if err := o.inRun(); err != nil {
		return Staged{}, err
	}
	defer o.wake()
	select {
	case o.uploads <- struct{}{}:
		defer func() { <-o.uploads }()
	case <-time.After(uploadPatience):
		return Staged{}, &Refusal{Kind: Busy, Reason: "UploadInProgress", Member: o.self,
			Message: "another archive is being uploaded to " + o.self, Remedy: "try again when it is done"}
	}
	v, err := o.observe(ctx)
	if err != nil {
		return Staged{}, unavailable(err)
	}
	if done, err := o.stageable(ctx, v, body, opt); err != nil || done != nil {
		if err != nil {
			return Staged{}, err
		}
		return *done, nil
	}
	max := o.c.MaxArchive
	if max == 0 {
		max = 512 << 20
	}
	if opt.Size > max {
		return Staged{}, tooLarge(opt.Size, max)
	}
	if err := o.othersAnswer(ctx, v); err != nil {
		return Staged{}, err
	}
	checks, _ := o.prerequisites(ctx, archive.Verified{}, nil, false)
	if err := refuse(checks); err != nil {
		return Staged{}, err
	}
	d, err := o.c.Archives.Put(ctx, opt.Digest, &limited{r: body, left: max, max: max, size: opt.Size})
	if err != nil {
		return Staged{}, refuseUpload(err)
	}
	st, err := o.take(ctx, d, opt)
	if err != nil {
		// A store that cannot delete now is swept later.
		if e := o.sweepStore(context.WithoutCancel(ctx)); e != nil {
			o.c.Logger.Warn("remove a refused archive", "error", e)
		}
	}
	return st, err
}

// stageable says whether an upload makes sense in the state of v. It returns
// what is staged if the same archive is.
func (o *Orchestrator) stageable(ctx context.Context, v view, body io.Reader, opt StageOptions) (*Staged, error) {
	switch v.run.Status {
	case tracking.Staging, tracking.Staged, tracking.Working:
	default:
		return nil, nil
	}
	same := func(d archive.Digest) bool { return string(d) == v.run.Archive.Digest }
	back := v.run.Kind == tracking.KindRollback
	if v.run.Status == tracking.Working && (back || !same(opt.Digest)) {
		does := "installing"
		if back {
			does = "rolling back to"
		}
		return nil, &Refusal{Kind: Conflict, Reason: "RunInProgress",
			Message: fmt.Sprintf("run %s is %s %s %s", v.run.ID, does, v.run.Archive.Product, v.run.Archive.Version),
			Remedy:  "wait until it has ended, or cancel it with unstage"}
	}
	if opt.Digest == "" {
		// Only the bytes can tell whether it is the same again.
		h := newHash()
		if _, err := io.Copy(h, &limited{r: body, left: v.run.Archive.Size, max: v.run.Archive.Size, size: opt.Size}); err == nil {
			opt.Digest = h.digest()
		}
	}
	if !same(opt.Digest) {
		return nil, &Refusal{Kind: Conflict, Reason: "AlreadyStaged",
			Message: fmt.Sprintf("%s %s is staged already", v.run.Archive.Product, v.run.Archive.Version),
			Remedy:  "start it, or unstage it first"}
	}
	if err := o.staged(ctx, v.run.ID); err != nil {
		return nil, err
	}
	rel, err := o.release(ctx, v)
	if err != nil {
		return nil, err
	}
	return &Staged{Run: v.run.ID, Release: rel.Release(), Already: true}, nil
}

// take verifies the archive d, which lies in the store, and puts it on record.
func (o *Orchestrator) take(ctx context.Context, d archive.Digest, opt StageOptions) (Staged, error) {
	got, err := archive.Check(ctx, o.c.Archives, d, o.policy())
	if err != nil {
		return Staged{}, refuseArchive(err)
	}
	rel := got.Release()
	if rel.Unsigned {
		o.c.Logger.Warn("takes an archive that nobody signed", "digest", d, "by", opt.By)
	}
	// Whether one that was put back here is tried again is for whoever starts it.
	checks, _ := o.prerequisites(ctx, got, []string{"failed-before"}, false)
	if err := refuse(checks); err != nil {
		return Staged{}, err
	}
	run := runID()
	for {
		v, err := o.observe(ctx)
		if err != nil {
			return Staged{}, unavailable(err)
		}
		switch v.run.Status {
		case tracking.Staging, tracking.Staged, tracking.Working:
			return Staged{}, &Refusal{Kind: Conflict, Reason: "AlreadyStaged",
				Message: fmt.Sprintf("%s %s was staged at the same time", v.run.Archive.Product, v.run.Archive.Version),
				Remedy:  "start it, or unstage it first"}
		}
		r := tracking.Run{
			Takeover: v.run.Takeover, Leader: v.run.Leader, Boot: v.run.Boot,
			ID: run, Kind: tracking.KindUpgrade, Status: tracking.Staging, By: opt.By, From: o.c.Started.Identity.Version,
			Archive: tracking.Archive{
				Digest: string(d), Sums: string(rel.Sums), Size: rel.Size, Product: rel.Manifest.Product,
				Version: rel.Manifest.Version, Counter: rel.Manifest.Counter, SignedBy: rel.SignedBy, Unsigned: rel.Unsigned,
			},
		}
		r.Add(v.now, o.self, "archive.verified", fmt.Sprintf("%s %s, %d bytes, received%s", rel.Manifest.Product, rel.Manifest.Version, rel.Size, by(opt.By)))
		o.remember(func(m *memory) { m.verified = got })
		switch err := o.swapRun(ctx, v, r); {
		case errors.Is(err, tracking.ErrConflict):
			continue
		case err != nil:
			return Staged{}, unavailable(err)
		}
		o.hint(ctx, v)
		break
	}
	if err := o.sweepStore(ctx); err != nil { // of what this one took the place of
		o.c.Logger.Warn("remove an earlier archive", "error", err)
	}
	if err := o.staged(ctx, run); err != nil {
		return Staged{}, err
	}
	return Staged{Run: run, Release: rel}, nil
}

// until waits until the run is as ok wants it.
func (o *Orchestrator) until(ctx context.Context, ok func(tracking.Run) bool) error {
	for {
		_, place, err := o.c.Tracking.Wait(ctx, "")
		if err != nil {
			return err
		}
		r, err := o.Record(ctx)
		if err != nil || ok(r) {
			return err
		}
		if _, _, err := o.c.Tracking.Wait(ctx, place); err != nil {
			return err
		}
	}
}

// Record returns the run on record.
func (o *Orchestrator) Record(ctx context.Context) (tracking.Run, error) {
	data, _, err := o.c.Tracking.Load(ctx, tracking.KeyRun)
	if err != nil {
		return tracking.Run{}, unavailable(err)
	}
	r, err := tracking.DecodeRun(data)
	if err != nil {
		return r, unavailable(err)
	}
	return r, nil
}

// Wait returns once the record has changed after since, a place that an earlier
// Wait returned; with "" it returns at once.
func (o *Orchestrator) Wait(ctx context.Context, since tracking.Revision) (tracking.Revision, error) {
	_, now, err := o.c.Tracking.Wait(ctx, since)
	return now, err
}
