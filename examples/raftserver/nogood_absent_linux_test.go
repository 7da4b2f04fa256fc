package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/examples/internal/show"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// absentFrom is about members that come back, or wake up, when the run has failed
// without them: they change nothing any more, and clean up what is theirs.
func absentFrom(g *group) {
	g.run("killed/prepared", func(f *fleet) { f.comesLate("prepared", (*box).kill, (*box).back) })
	g.run("frozen/restarting", func(f *fleet) {
		f.comesLate("restarting", (*box).freeze, func(b *box) { b.thaw(); b.back() })
	})
	g.run("killed/swapped", (*fleet).comesLateAsNew)
}

// comesLate has a member that is in a state of its turn miss the end of the run.
func (f *fleet) comesLate(state string, leave, back func(*box)) {
	l, was := f.steady(), f.look()
	f.way = spoil.Good
	f.stage()
	trap := f.warden.inState(state, 0)
	f.start()
	held := f.await(trap)
	b := f.box(held.whom)
	leave(b)
	held.release()
	s := f.record.await(f.t, "the run fails", func(s upgrade.Status) bool { return s.Status == string(tracking.Failed) })
	f.failedWith(s, "MemberTimeout", "was "+state+" when its time of 7s was up; .* Next: look at the log of "+b.id)
	if left := b.leftovers(); len(left) == 0 {
		f.problem("%s was away, and has nothing to clean up", b.id)
	}
	back(b)
	f.inPlace(l, was, s, b)
}

// comesLateAsNew has a member die when the new program is in place and does not run
// yet. It comes back with that when the run has failed; a retry leaves it as it is.
func (f *fleet) comesLateAsNew() {
	l := f.steady()
	f.way = spoil.Good
	f.stage()
	trap := f.warden.inState("swapped", 0)
	f.start()
	held := f.await(trap)
	b := f.box(held.whom)
	b.kill()
	held.release()
	s := f.record.await(f.t, "the run fails", func(s upgrade.Status) bool { return s.Status == string(tracking.Failed) })
	f.failedWith(s, "MemberTimeout", "was restarting when its time of 7s was up")
	b.back()
	b.version = f.next
	f.answers(b, true)
	f.runs()
	boot := f.look()[b.id].Boot
	f.warden.begin()
	f.warden.had(b.id)
	f.ended(f.begins(f.client().Retry(f.t.Context(), retrying())))
	f.finished(l)
	if now := f.look()[b.id]; now.Boot != boot {
		f.problem("%s ran it already, and had another turn", b.id)
		f.judge()
	}
}

// corrupted upgrades to a version that overwrites the data of its member, for good:
// the old program is back at its path, and says by name what it lacks and what to
// do. Done so, the member has everything again from the others.
func corrupted(g *group) {
	g.run("data", (*fleet).corrupts)
}

func (f *fleet) corrupts() {
	l, was := f.steady(), f.look()
	f.way = spoil.Corrupts
	f.stage()
	id := f.begins(f.client().Run(f.t.Context(), startPlainly))
	s := f.ended(id)
	b := f.failedWith(s, "MemberTimeout", "was restarting when its time of 7s was up; it waited because m. is restarting, and does not answer")
	if d, _, err := f.eye.digest(b.program); err != nil || f.versionOf(d) != versionName(b.version) {
		f.problem("%s has %s at its path (%v)", b.id, f.versionOf(d), err)
	}
	for limit := time.Now().Add(waitLimit); ; time.Sleep(restartPause / 10) {
		log, err := os.ReadFile(filepath.Join(b.dir, product+".log"))
		f.must(err)
		if strings.Contains(string(log), raftnode.ErrDamaged.Error()) && strings.Contains(string(log), "/api/v3/members/"+b.id+"; move ") {
			break
		}
		if time.Now().After(limit) {
			f.t.Fatalf("%s does not say what its data lack\n%s", b.id, f.story())
		}
	}

	// What it says is done.
	b.kill()
	helper := f.boxes[0]
	if helper == b {
		helper = f.boxes[1]
	}
	ctx, cancel := f.ctx()
	defer cancel()
	var status *show.StatusError
	if err := helper.caller.Call(ctx, helper.fresh, http.MethodDelete, "/api/v3/members/"+b.id, "", nil); !errors.As(err, &status) || status.Code != http.StatusNoContent {
		f.t.Fatalf("remove %s: %v\n%s", b.id, err, f.story())
	}
	f.must(os.Rename(filepath.Join(b.dir, "data", "raft"), filepath.Join(b.f.d.Dir, "damaged")))
	for i, arg := range b.args {
		if strings.HasPrefix(arg, b.id+"=") {
			b.args[i] += ",later"
		}
	}
	b.back()
	f.answers(b, true)
	f.inPlace(l, was, s, b)
}
