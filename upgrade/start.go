package upgrade

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// Start begins the run of what is staged, in the background, and returns its
// name. It is refused while a member does not answer, by its name. All
// prerequisites of this member are looked at first, and the new program is
// started once as a probe; the error is a *Refusal if one of them says no, and
// nothing is changed then. The other members do the same before the first of
// them is touched; what they find ends the run. Starting a run that works or has
// finished returns its name again: a reply may have been lost.
func (o *Orchestrator) Start(ctx context.Context, opt StartOptions) (string, error) {
	return o.launch(ctx, launch{StartOptions: opt}, func(v view) (done bool, err error) {
		back := v.run.Kind == tracking.KindRollback
		switch v.run.Status {
		case tracking.Working:
			if back {
				return false, &Refusal{Kind: Conflict, Reason: "RunInProgress", Message: fmt.Sprintf("run %s is rolling back to %s", v.run.ID, v.run.Archive.Version),
					Remedy: "wait until it has ended, or cancel it with unstage"}
			}
			return true, nil
		case tracking.Finished:
			if !back {
				return true, nil
			}
			return false, &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "stage an archive first"}
		case tracking.None:
			return false, &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "stage an archive first"}
		case tracking.Staging:
			return false, &Refusal{Kind: Conflict, Reason: "StillStaging", Message: "the archive is still being staged", Remedy: "wait until the status is staged"}
		case tracking.Failed:
			return false, &Refusal{Kind: Conflict, Reason: "RunFailed", Message: fmt.Sprintf("run %s has %s", v.run.ID, v.run.FinalState),
				Remedy: "mend the cause, then retry; or unstage and stage again"}
		}
		return false, nil
	})
}

// Retry goes on after a run that failed, as a run of its own with the same
// archive, or as a rollback again: members that run the target already are passed over, and every other
// one is looked at and probed again first. On the terms of Start. Repeating it
// while that run works, or has finished, returns its name again.
func (o *Orchestrator) Retry(ctx context.Context, opt RetryOptions) (string, error) {
	l := launch{StartOptions: StartOptions{By: opt.By, Skip: opt.Skip, AllowOutage: opt.AllowOutage}, forget: opt.Forget, again: true}
	return o.launch(ctx, l, func(v view) (done bool, err error) {
		switch {
		case v.run.RetryOf != "" && (v.run.Status == tracking.Working || v.run.Status == tracking.Finished):
			return true, nil
		case v.run.Status == tracking.None:
			return false, &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "stage an archive first"}
		case v.run.Status != tracking.Failed:
			return false, &Refusal{Kind: Conflict, Reason: "NotFailed", Message: fmt.Sprintf("run %s is %s; only one that has failed can be tried again", v.run.ID, v.run.Status),
				Remedy: "look at its status"}
		case v.run.Wish == tracking.Cancel:
			no := cancelling(v.run)
			no.Remedy = "stage the archive again"
			return false, no
		}
		return false, nil
	})
}

// release returns what is staged, verified by this process.
func (o *Orchestrator) release(ctx context.Context, v view) (archive.Verified, error) {
	var rel archive.Verified
	o.remember(func(m *memory) { rel = m.verified })
	if !rel.IsZero() && string(rel.Release().Sums) == v.run.Archive.Sums {
		return rel, nil
	}
	rel, err := archive.Check(ctx, o.c.Archives, archive.Digest(v.run.Archive.Digest), o.policy())
	if err != nil {
		return rel, refuseArchive(err)
	}
	o.remember(func(m *memory) { m.verified = rel })
	return rel, nil
}

// plan is what a run of rel would freeze now.
func (o *Orchestrator) plan(v view, rel archive.Release) tracking.Plan {
	p := tracking.Plan{Run: v.run.ID, Rules: tracking.Rules{
		MaxUnavailable: 1, MemberTimeout: o.c.MemberTimeout, RestartLease: o.c.RestartLease, MinHealthy: o.c.MinHealthy,
	}}
	h := sha256.New()
	json.NewEncoder(h).Encode(rel.Sums)
	json.NewEncoder(h).Encode(p.Rules)
	for _, m := range v.members {
		p.Members = append(p.Members, string(m.ID))
		program := v.reports[string(m.ID)].Program
		if string(m.ID) == o.self {
			program = v.local.program
		}
		json.NewEncoder(h).Encode([]any{m.ID, m.Voter, program})
	}
	p.ID = hex.EncodeToString(h.Sum(nil))[:8]
	return p
}

// Legacy stages an archive and starts it, as one request of a single server.
func (o *Orchestrator) Legacy(ctx context.Context, body io.Reader, opt StageOptions) (Staged, error) {
	members, err := o.c.Cluster.Members(ctx)
	if err != nil {
		return Staged{}, unavailable(err)
	}
	if err := notClustered(members); err != nil {
		return Staged{}, err
	}
	st, err := o.Stage(ctx, body, opt)
	if err != nil {
		return st, err
	}
	if _, err := o.Start(ctx, StartOptions{By: opt.By}); err != nil {
		// One request, one outcome: what it staged goes with it.
		if !st.Already {
			if e := o.Unstage(context.WithoutCancel(ctx), UnstageOptions{By: opt.By}); e != nil {
				o.c.Logger.Warn("remove what could not be started", "error", e)
			}
		}
		return Staged{}, err
	}
	return st, nil
}

func notClustered(members []cluster.Member) error {
	if len(members) == 1 {
		return nil
	}
	return &Refusal{Kind: Unsupported, Reason: "LegacyInCluster",
		Message: fmt.Sprintf("this server belongs to a cluster of %d; the single-step upgrade is for a server that is alone", len(members)),
		Remedy:  "stage the archive (POST …/stage) and start it (POST …/run): the members then go one by one"}
}

// Installed reports whether what is staged is what this member runs.
func (o *Orchestrator) Installed(ctx context.Context) (bool, error) {
	v, err := o.observe(ctx)
	if err != nil {
		return false, unavailable(err)
	}
	switch v.run.Status {
	case tracking.None, tracking.Staging:
		return false, &Refusal{Kind: NotFound, Reason: "NothingStaged", Message: "nothing is staged", Remedy: "stage an archive first"}
	case tracking.Finished:
		return true, nil
	}
	if v.run.Kind == tracking.KindRollback {
		return v.finished(o.self), nil
	}
	rel, err := o.release(ctx, v)
	if err != nil {
		return false, err
	}
	return string(o.target(rel)) == v.local.program, nil
}

// target is the digest of the program that this machine must run of rel.
func (o *Orchestrator) target(rel archive.Verified) archive.Digest {
	if rel.IsZero() {
		return ""
	}
	return rel.Release().For(o.c.Started.Platform())[o.c.Started.Program.Base()].Digest
}

// prerequisites judges this machine; rel may be zero. With start, the new
// program is started once as a probe.
func (o *Orchestrator) prerequisites(ctx context.Context, rel archive.Verified, skip []string, start bool) ([]Check, archive.Digest) {
	p := o.prereqs(nil, skip)
	target := o.target(rel)
	if !rel.IsZero() {
		r := rel.Release()
		p.Release, p.Staged = &r, true
		if start && target != "" {
			p.probe = func(ctx context.Context) error { return o.probe(ctx, rel) }
		}
	}
	return o.judge(ctx, p), target
}

// judge runs the prerequisites while nothing is prepared: both use one path, the
// one that capabilities may be given to.
func (o *Orchestrator) judge(ctx context.Context, p prereqs) []Check {
	o.beside <- struct{}{}
	defer func() { <-o.beside }()
	return p.run(ctx)
}

// prereqs is how the prerequisites of this machine are judged.
func (o *Orchestrator) prereqs(rel *archive.Release, skip []string) prereqs {
	p := prereqs{
		Member: o.self, Program: o.c.Started.Program, Platform: o.c.Started.Platform(), Companions: o.c.Companions,
		Copier: o.c.Capabilities, Method: o.c.Restart, Store: o.c.StoreDir, Release: rel, Skip: skip,
	}
	j := o.journal()
	p.Journal, p.Failed = j.broken, j.Failed
	o.remember(func(m *memory) { p.Lock = m.lock })
	return p
}

// probe starts the program of rel once, from a file of its own beside the
// running one: the store may lie where nothing can be executed.
func (o *Orchestrator) probe(ctx context.Context, rel archive.Verified) (err error) {
	r := rel.Release()
	file := r.For(o.c.Started.Platform())[o.c.Started.Program.Base()]
	src, _, err := rel.Open(ctx, file.Name)
	if err != nil {
		return err
	}
	defer src.Close()
	path := o.c.Started.Program.probePath()
	if err := removeOwn(path); err != nil {
		return err
	}
	dst, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	awaitForks()
	a, err := probe(ctx, path, o.c.ProbeTimeout)
	if err != nil {
		return err
	}
	return a.fits(o.c.Started.Identity.Product, r.Manifest.Version, file.Platform.Variant)
}

// runID returns a name for a run that people can say: eight digits and letters
// without those that look alike.
func runID() string {
	const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	b := make([]byte, 8)
	rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}
