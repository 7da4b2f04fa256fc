package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// away is about members that are down when something begins, and about one that
// comes in the middle.
func away(t *testing.T, p *proof, size int, _ []string) {
	g := &group{t: t, make: func(t *testing.T) *fleet { return newFleet(t, p.program, size, 1) }}
	g.run("AtStage", (*fleet).absentAtStage)
	g.run("AtStart", (*fleet).absentAtStart)
	g.run("Joins", (*fleet).joins)
}

// follower is one that does not lead.
func (f *fleet) follower() *box {
	leader := f.leader().id
	for _, b := range f.boxes {
		if b.id != leader {
			return b
		}
	}
	return nil
}

// answers waits until the member that is asked first knows whether b answers.
func (f *fleet) answers(b *box, want bool) {
	f.t.Helper()
	ctx, cancel := f.ctx()
	defer cancel()
	for client := f.client(); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		s, err := client.Status(ctx)
		for _, m := range s.Members {
			if err == nil && m.ID == b.id && m.Healthy == want {
				return
			}
		}
	}
	f.t.Fatalf("nobody learns whether %s answers: %v\n%s", b.id, want, f.story())
}

// refused fails unless err is a refusal that names b.
func (f *fleet) refused(what string, err error, b *box) {
	f.t.Helper()
	var no *upgrade.Refusal
	if !errors.As(err, &no) || no.Member != b.id || !strings.Contains(no.Message, b.id) {
		f.problem("%s while %s is down: %v", what, b.id, err)
	}
	f.logf("%s: %v", what, err)
}

func (f *fleet) absentAtStage() {
	l := f.steady()
	b := f.follower()
	b.kill()
	f.answers(b, false)
	next := f.archive(f.next + 1)
	ctx, cancel := f.ctx()
	defer cancel()
	_, err := f.client().Stage(ctx, bytes.NewReader(next), int64(len(next)), httpapi.UploadOptions{})
	f.refused("stage", err, b)
	b.back()
	f.answers(b, true)
	f.stage()
	f.start()
	f.finished(l)
}

func (f *fleet) absentAtStart() {
	l := f.steady()
	f.stage()
	b := f.follower()
	b.stop()
	f.answers(b, false)
	ctx, cancel := f.ctx()
	defer cancel()
	_, err := f.client().Run(ctx, upgrade.StartOptions{})
	f.refused("start", err, b)
	if s, err := f.client().Status(ctx); err != nil || s.Status != "staged" {
		f.problem("the start was refused, and the status is %s (%v)", s.Status, err)
	}
	b.back()
	f.answers(b, true)
	f.start()
	f.finished(l)
}

// joins adds a member that runs the old program while another is in its turn.
func (f *fleet) joins() {
	l := f.steady()
	f.stage()
	trap := f.warden.inState("prepared", 1)
	f.start()
	held := f.await(trap)
	b := f.later[0]
	f.mu.Lock()
	f.boxes = append(f.boxes[:len(f.boxes):len(f.boxes)], b)
	f.mu.Unlock()
	f.allow(true)
	b.start()
	f.eye.listen(b)
	f.record.listen(b)
	b.back() // it has to be a member for that
	f.warden.mu.Lock()
	f.warden.size++
	f.warden.mu.Unlock()
	held.release()
	f.finished(l)
}
