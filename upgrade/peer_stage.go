package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

const (
	askTime  = 2 * time.Second // for the reports of all others
	lookTime = time.Second     // for a hint to them
)

// othersAnswer refuses unless every other member answers and reads the record
// as it is written here: nothing is put on record before.
func (o *Orchestrator) othersAnswer(ctx context.Context, v view) error {
	if v.alone() {
		return nil
	}
	if o.peers.client == nil {
		return noPeerClient()
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	type answer struct {
		m   cluster.Member
		r   PeerReport
		err error
	}
	answers := make(chan answer)
	for _, m := range v.members {
		go func() {
			a := answer{m: m}
			if string(m.ID) == o.self {
				a.r.Reads = []int{tracking.Format}
			} else {
				a.r, a.err = o.peers.report(ctx, m)
			}
			answers <- a
		}()
	}
	var away, old, closed []string
	var why error
	for range v.members {
		a := <-answers
		var no *Refusal
		switch id := string(a.m.ID); {
		case errors.As(a.err, &no) && no.Kind == NotFound:
			old, why = append(old, id), fmt.Errorf("%w below %s", a.err, o.peers.path)
		case errors.As(a.err, &no) && no.Kind == Forbidden:
			closed, why = append(closed, id), a.err
		case a.err != nil:
			away, why = append(away, id), a.err
		case !slices.Contains(a.r.Reads, tracking.Format):
			old = append(old, id)
		}
	}
	for _, ids := range [][]string{away, old, closed} {
		slices.Sort(ids)
	}
	switch {
	case len(away) > 0:
		return &Refusal{Kind: NotReady, Reason: "MemberUnhealthy", Member: away[0], Err: why,
			Message: strings.Join(away, " ") + " does not answer; an archive is taken only when every member can get it",
			Remedy:  "bring it back, or remove it from the cluster"}
	case len(closed) > 0:
		return &Refusal{Kind: NotReady, Reason: "PeerForbidden", Member: closed[0], Err: why,
			Message: strings.Join(closed, " ") + " does not take the credentials of " + o.self,
			Remedy:  "see that the credentials of Config.PeerClient have the right \"peer\" on all members"}
	case len(old) > 0:
		return &Refusal{Kind: NotReady, Reason: "RecordFormat", Member: old[0], Err: why,
			Message: fmt.Sprintf("%s does not read records of format %d, which are written here", strings.Join(old, " "), tracking.Format),
			Remedy:  "bring it to this release by hand first: the first release with upgrades in it, or with a new record, is rolled by hand"}
	}
	return nil
}

// hint makes the other members look at the record, where that does not tell
// them by itself.
func (o *Orchestrator) hint(ctx context.Context, v view) {
	if v.alone() || o.peers.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	go func() {
		defer cancel()
		var all sync.WaitGroup
		defer all.Wait()
		for _, m := range v.members {
			if string(m.ID) != o.self {
				all.Go(func() { _ = o.peers.look(ctx, m) }) // it is only a hint
			}
		}
	}()
}

// staged waits until every member holds the archive of run.
func (o *Orchestrator) staged(ctx context.Context, run string) error {
	limit := o.c.StageTimeout
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last tracking.Run
	err := o.until(wait, func(r tracking.Run) bool {
		last = r
		return r.ID != run || r.Status != tracking.Staging
	})
	switch {
	case err != nil && wait.Err() == nil: // the record has trouble, and the time is not up
		return unavailable(err)
	case err != nil:
		return o.incomplete(ctx, limit, err)
	case last.ID != run || last.Status == tracking.None:
		return &Refusal{Kind: Conflict, Reason: "Unstaged", Message: "the archive was removed again while members were getting it",
			Remedy: "stage it again"}
	case last.Status == tracking.Failed && last.Staged.IsZero():
		no := &Refusal{Kind: Unavailable, Reason: last.Reason, Member: last.FailedMember}
		errors.As(refuseArchive(&archive.Error{Reason: last.Reason}), &no)
		no.Member, no.Message = last.FailedMember, last.FinalState
		if no.Remedy == "" {
			no.Remedy = "mend the cause on " + last.FailedMember + ", then stage it again"
		}
		return no
	}
	return nil
}

// incomplete is the refusal once the patience for other members is over.
func (o *Orchestrator) incomplete(ctx context.Context, limit time.Duration, err error) error {
	no := &Refusal{Kind: Unavailable, Reason: "ReplicationIncomplete", Err: err,
		Message: fmt.Sprintf("not every member holds the archive yet, after %v", limit),
		Remedy:  "it goes on; send the same archive again to wait for it"}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	v, seen := o.observe(ctx)
	if seen != nil {
		return no
	}
	var lack []string
	for _, m := range v.participants() {
		r := v.reports[string(m.ID)]
		if v.holds(r) {
			continue
		}
		if no.Member == "" {
			no.Member = string(m.ID)
		}
		text := string(m.ID)
		if l := r.Lacks; l != nil && l.Run == v.run.ID {
			text += " (" + l.Text + ")"
		}
		lack = append(lack, text)
	}
	if len(lack) > 0 {
		no.Message = fmt.Sprintf("the archive is not yet held by %s, after %v", strings.Join(lack, ", "), limit)
	}
	return no
}
