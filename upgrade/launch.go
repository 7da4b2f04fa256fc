package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

// A launch is how a run begins.
type launch struct {
	StartOptions
	again  bool // after a run that failed
	back   bool // to the program from before
	forget []string
}

// decide puts what the operator decided into the plan, and its id.
func (l launch) decide(p *tracking.Plan) {
	p.Forgotten, p.Rules.AllowOutage = l.forget, l.AllowOutage
	if l.AllowOutage || len(l.forget) > 0 {
		h := sha256.New()
		json.NewEncoder(h).Encode([]any{p.ID, p.Forgotten, p.Rules})
		p.ID = hex.EncodeToString(h.Sum(nil))[:8]
	}
}

// launch begins a run; may looks at the state first, and is done if the run that
// is wanted exists.
func (o *Orchestrator) launch(ctx context.Context, l launch, may func(view) (done bool, err error)) (string, error) {
	select {
	case o.starts <- struct{}{}:
		defer func() { <-o.starts }()
	case <-ctx.Done():
		return "", unavailable(context.Cause(ctx))
	}
	if err := validateSkip(l.Skip); err != nil {
		return "", err
	}
	if err := o.inRun(); err != nil {
		return "", err
	}
	for {
		v, err := o.observe(ctx)
		if err != nil {
			return "", unavailable(err)
		}
		if done, err := may(v); done || err != nil {
			return v.run.ID, err
		}
		if err := v.startable(l); err != nil {
			return "", err
		}
		r, rel, err := o.outset(ctx, v, l)
		if err != nil {
			return "", err
		}
		plan := o.plan(v, rel.Release())
		if l.Plan != "" && l.Plan != plan.ID {
			return "", &Refusal{Kind: NotReady, Reason: "PlanChanged",
				Message: fmt.Sprintf("plan %s is no longer what would be done; it is %s now", l.Plan, plan.ID),
				Remedy:  "look at the plan again and start that one"}
		}
		l.decide(&plan)
		checked, err := o.fit(ctx, v, r, rel, l)
		if err != nil {
			// What was looked at may have been removed meanwhile.
			if now, e := o.Record(ctx); e == nil && (now.ID != v.run.ID || now.Status != v.run.Status) {
				continue
			}
			return "", err
		}
		switch id, err := o.begin(ctx, v, r, plan, checked, l); {
		case errors.Is(err, tracking.ErrConflict):
			continue
		case err != nil:
			return "", unavailable(err)
		default:
			return id, nil
		}
	}
}

// outset is the run that is to begin, and the release that it is about; a
// rollback has none.
func (o *Orchestrator) outset(ctx context.Context, v view, l launch) (r tracking.Run, rel archive.Verified, err error) {
	old := v.run
	again := l.again || l.back && old.Kind == tracking.KindRollback && old.Status == tracking.Failed
	switch {
	case again:
		r = tracking.Run{
			RetryOf: old.ID, Origin: old.Chain(), RollbackOf: old.RollbackOf, Kind: old.Kind, Archive: old.Archive, Staged: old.Staged,
			From: old.From,
		}
	case l.back:
		o.askOthers(ctx, v)
		r, err = o.undone(ctx, v)
	default:
		r = v.next()
	}
	if err == nil && r.Kind == tracking.KindRollback && old.Status == tracking.None {
		err = o.othersAnswer(ctx, v) // nothing was written since they did so last
	}
	if r.ID == "" {
		r.ID, r.Takeover, r.Leader, r.Boot, r.Rev, r.Extra = runID(), old.Takeover, old.Leader, old.Boot, old.Rev, old.Extra
	}
	if err == nil && r.Kind != tracking.KindRollback {
		rel, err = o.release(ctx, v)
		r.From = v.local.version
	}
	return r, rel, err
}

// fit looks at this machine for the run r that is to begin.
func (o *Orchestrator) fit(ctx context.Context, v view, r tracking.Run, rel archive.Verified, l launch) (tracking.Checked, error) {
	if r.Kind == tracking.KindRollback {
		c, no := o.wayBack(ctx, v, r, l.Skip)
		if no != nil {
			return c, no
		}
		return c, nil
	}
	checks, target := o.prerequisites(ctx, rel, l.Skip, true)
	return tracking.Checked{Run: r.ID, Target: string(target)}, refuse(checks)
}

// begin lets the run r work, and returns its name. One swap decides: of two
// operators at the same moment one wins, with all of what it asked for.
func (o *Orchestrator) begin(ctx context.Context, v view, r tracking.Run, plan tracking.Plan, checked tracking.Checked, l launch) (string, error) {
	o.remember(func(m *memory) { m.checked = map[string]tracking.Checked{r.ID: checked} })
	r.Status, r.Started, r.By, r.Overrides = tracking.Working, v.now, l.By, l.Skip
	r.Plan, r.Rules, r.Forgotten = plan.ID, plan.Rules, plan.Forgotten
	verb := "started"
	switch {
	case r.RetryOf != "":
		verb = "goes on after " + r.RetryOf
	case r.RollbackOf != "":
		verb = "rollback of " + r.RollbackOf + " started"
	}
	text := fmt.Sprintf("%s%s: %s -> %s, plan %s", verb, by(l.By), r.From, r.Archive.Version, plan.ID)
	if len(l.Skip) > 0 {
		text += ", without " + strings.Join(l.Skip, " ")
	}
	if len(l.forget) > 0 {
		text += ", " + strings.Join(l.forget, " ") + " forgotten"
	}
	if l.AllowOutage {
		text += ", with an outage of writes while a member restarts"
	}
	r.Add(v.now, "", "run.started", text)
	err := o.swapRun(ctx, v, r)
	if err == nil && v.run.Status == tracking.None {
		o.hint(ctx, v)
	}
	return r.ID, err
}

// freeze writes down the plan of the run that was started: what was decided
// then, and who belongs to the cluster now.
func (o *Orchestrator) freeze(ctx context.Context, v view) error {
	p := tracking.Plan{Run: v.run.ID, ID: v.run.Plan, Rules: v.run.Rules, Forgotten: v.run.Forgotten}
	for _, m := range v.members {
		p.Members = append(p.Members, string(m.ID))
	}
	data, rev, err := o.c.Tracking.Load(ctx, tracking.KeyPlan)
	if err != nil {
		return fmt.Errorf("upgrade: read the plan: %w", err)
	}
	// Somebody else may have led meanwhile, and another run may have begun: after
	// this look a swap from rev replaces nothing that was frozen later.
	now, err := o.Record(ctx)
	if err != nil {
		return err
	}
	if old, err := tracking.DecodePlan(data); err != nil || old.Run == v.run.ID || now.ID != v.run.ID {
		return err
	}
	if data, err = p.Encode(); err != nil {
		return err
	}
	if _, err := o.c.Tracking.Swap(ctx, tracking.KeyPlan, rev, data); err != nil {
		return fmt.Errorf("upgrade: write the plan: %w", err)
	}
	return nil
}

// startable says what in the cluster is in the way of a run.
func (v view) startable(l launch) error {
	if err := v.forgettable(l.forget); err != nil {
		return err
	}
	members := slices.Clone(v.members)
	var down []string
	for i, m := range members {
		gone := slices.Contains(l.forget, string(m.ID))
		if !m.Healthy && string(m.ID) != v.self && !gone {
			down = append(down, string(m.ID))
		}
		members[i].Healthy = !gone
	}
	if len(down) > 0 {
		return &Refusal{Kind: NotReady, Reason: "MemberUnhealthy", Member: down[0],
			Message: strings.Join(down, " ") + " does not answer; a run begins only when all members do",
			Remedy:  "bring it back, or remove it from the cluster"}
	}
	if l.AllowOutage || v.alone() {
		return nil
	}
	for _, m := range members {
		err := cluster.SafeToStop(members, m.ID)
		var risk *cluster.QuorumError
		switch {
		case !errors.As(err, &risk) || !m.Healthy:
		case risk.Voters == 2:
			return &Refusal{Kind: NotReady, Reason: "TwoVoters",
				Message: "of two voters none can be spared: nobody could write while one of them restarts",
				Remedy:  "add a voter; or allow the outage (--allow-outage) if your clients can wait for two restarts"}
		default:
			return &Refusal{Kind: NotReady, Reason: "QuorumAtRisk", Member: string(m.ID), Err: err,
				Message: "nobody could write while " + string(m.ID) + " restarts",
				Remedy:  "bring back or add a voter; or allow the outage (--allow-outage) if your clients can wait"}
		}
	}
	return nil
}

// forgettable says why a member cannot be given up.
func (v view) forgettable(forget []string) error {
	for _, id := range forget {
		m, found := v.memberOf(id)
		switch {
		case found && (m.Healthy || id == v.self):
			return &Refusal{Kind: Conflict, Reason: "NotGone", Member: id, Message: id + " answers; only a member that is gone for good can be forgotten",
				Remedy: "retry without forgetting it"}
		case !found && !slices.Contains(v.plan.Members, id):
			return &Refusal{Kind: Invalid, Reason: "NoSuchMember", Member: id, Message: "there is no member " + id, Remedy: "the members are: " + names(v.members)}
		}
	}
	return nil
}
