package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
	"github.com/leaderlast/leaderlast/examples/internal/web"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

func (b *box) isAllowed(digest string) bool {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	return b.allowed[digest]
}

// versionOf names a program, for people.
func (f *fleet) versionOf(digest string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n, d := range f.digests {
		if d == digest {
			return versionName(n)
		}
	}
	return digest
}

// everybodyRuns looks at the processes when the record says that a run has
// finished. One that the test has just ended has the program at its path.
func (f *fleet) everybodyRuns(version string) {
	f.mu.Lock()
	paths := map[string]string{}
	for _, b := range f.boxes {
		paths[b.id] = b.program
		if b.pid != 0 {
			paths[b.id] = fmt.Sprintf("/proc/%d/exe", b.pid)
		}
	}
	f.mu.Unlock()
	for id, path := range paths {
		if d, _, err := f.eye.digest(path); err != nil || f.versionOf(d) != version {
			f.problem("finished, but %s has %s, not %s (%v)", id, f.versionOf(d), version, err)
		}
	}
}

// steady begins a light load on all members; the demo's checker judges it.
func (f *fleet) steady() *load {
	nodes := []*node{}
	for _, b := range f.boxes {
		nodes = append(nodes, b.node)
	}
	ctx, abort := context.WithCancel(f.t.Context())
	l := &load{name: fmt.Sprintf("v%d", f.next), nodes: nodes, abort: abort, stop: make(chan struct{}), acked: map[string]string{}, lastAck: time.Now()}
	client := func(fresh bool) *http.Client {
		return show.Client(fresh, web.Trust(filepath.Join(f.boxes[0].dir, "data")))
	}
	for i := range nodes {
		h := &hand{load: l, home: i, kind: i % 2, http: client(i%2 == 0)}
		l.done.Go(func() {
			defer h.http.CloseIdleConnections()
			for ; ctx.Err() == nil; h.count++ {
				select {
				case <-l.stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				l.write(ctx, h)
				l.read(ctx, h)
			}
		})
	}
	return l
}

// settle ends a scenario: everybody serves, nothing that was acknowledged is
// lost, all members tell the same, and the eye has seen nothing wrong.
func (f *fleet) settle(l *load, s upgrade.Status) {
	f.t.Helper()
	l.end()
	ctx, cancel := f.ctx()
	defer cancel()
	lost, first, err := l.lost(ctx, l.nodes)
	if err != nil || lost > 0 || l.missing > 0 {
		f.problem("%d acknowledged writes are lost (%s), %d reads did not find theirs; %v", lost, first, l.missing, err)
	}
	if l.writes.Sent == 0 || l.writes.Failed > 0 {
		f.problem("%d writes sent, %d never acknowledged", l.writes.Sent, l.writes.Failed)
	}
	f.logf("%d writes, longest gap %v", l.writes.Sent, l.gap.Round(time.Millisecond))
	for _, b := range f.boxes {
		own, _, err := b.record(ctx, "")
		if err != nil || own.Revision < s.Revision || fmt.Sprint(own.FinalState != nil, own.Run.ID) != fmt.Sprint(s.FinalState != nil, s.Run.ID) {
			f.problem("%s tells another story: %+v, %v", b.id, own, err)
		}
	}
	f.judgeExits()
	f.judgeExecs()
	f.warden.mu.Lock()
	for _, w := range f.warden.wrong {
		f.problem("%s", w)
	}
	f.warden.mu.Unlock()
	f.judge()
}

// finished ends a scenario in which everybody got the next version, and removes
// what was staged.
func (f *fleet) finished(l *load) {
	f.t.Helper()
	s := f.over()
	if s.Status != string(tracking.Finished) {
		f.t.Fatalf("the run ends %s: %v\n%s", s.Status, *s.FinalState, f.story())
	}
	ids := []string{}
	for _, b := range f.boxes {
		b.version = f.next
		ids = append(ids, b.id)
	}
	want := fmt.Sprintf("finished: %s %s on %s in ", product, versionName(f.next), strings.Join(ids, " "))
	if !strings.HasPrefix(*s.FinalState, want) {
		f.problem("the final line is %q, want %q", *s.FinalState, want)
	}
	f.runs()
	f.settle(l, s)
	f.unstage()
	f.clean()
	f.allow(false)
	f.runs()
	f.judge()
}

func (f *fleet) unstage() {
	f.t.Helper()
	ctx, cancel := f.ctx()
	defer cancel()
	if err := f.client().Unstage(ctx); err != nil {
		f.t.Fatalf("unstage: %v\n%s", err, f.story())
	}
}

// runs compares what members have to run with what they do, have at their path,
// and say of themselves.
func (f *fleet) runs() {
	f.t.Helper()
	for _, b := range f.boxes {
		want := versionName(b.version)
		path, _, err1 := f.eye.digest(b.program)
		exe, _, err2 := f.eye.digest(fmt.Sprintf("/proc/%d/exe", b.runs()))
		ctx, cancel := f.ctx()
		i, err3 := b.info(ctx, b.fresh)
		cancel()
		if f.versionOf(path) != want || f.versionOf(exe) != want || i.Version != want {
			f.problem("%s has %s at its path, runs %s, and says %s; want %s (%v, %v, %v)",
				b.id, f.versionOf(path), f.versionOf(exe), i.Version, want, err1, err2, err3)
		}
	}
}
