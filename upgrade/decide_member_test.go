package upgrade

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/tracking"
)

// The member's own part, as m2 sees it.
func TestDecideMember(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*view)
		want outcome
	}{
		"granted: claims":               {func(v *view) { v.turnOf2(tracking.Granted, nil) }, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:claimed"}},
		"granted and cancelled: waits":  {func(v *view) { v.turnOf2(tracking.Granted, nil); v.run.Wish = tracking.Cancel }, outcome{}},
		"claimed: prepares":             {func(v *view) { v.turnOf2(tracking.Claimed, nil) }, outcome{Do: actPrepare}},
		"claimed and cancelled":         {func(v *view) { v.turnOf2(tracking.Claimed, nil); v.run.Wish = tracking.Cancel }, outcome{Do: actSwap, Status: tracking.Working}},
		"claimed by an earlier process": {func(v *view) { v.turnOf2(tracking.Claimed, func(t *tracking.Turn) { t.OldBoot = "b0" }) }, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:claimed"}},
		"interrupted too often": {func(v *view) {
			v.turnOf2(tracking.Claimed, func(t *tracking.Turn) { t.OldBoot, t.Attempt = "b0", maxAttempts })
		}, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:failed"}},
		"claimed, runs the new one": {func(v *view) { v.turnOf2(tracking.Claimed, nil); v.local.program = "new" }, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:rejoining"}},
		"prepared: asks":            {func(v *view) { v.turnOf2(tracking.Prepared, nil) }, outcome{Do: actAsk}},
		"prepared, in grace":        {func(v *view) { v.turnOf2(tracking.Prepared, nil); v.local.grace = time.Second }, outcome{}},
		"asked: waits": {func(v *view) {
			v.turnOf2(tracking.Prepared, func(t *tracking.Turn) { t.Asked = "n" })
			v.local.drained, v.local.nonce = true, "n"
		}, outcome{}},
		"asked too long ago: asks again": {func(v *view) {
			v.turnOf2(tracking.Prepared, func(t *tracking.Turn) { t.Asked = "n" })
			v.local.drained, v.local.nonce, v.local.stale = true, "n", true
		}, outcome{Do: actAsk}},
		"answered: leaves": {func(v *view) {
			v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.Asked, t.Answer = "n", "n" })
			v.local.drained, v.local.nonce = true, "n"
		}, outcome{Do: actLeave}},
		"answered to another process of ours": {func(v *view) {
			v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.Asked, t.Answer = "n", "n" })
		}, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:prepared"}},
		"answered too late": {func(v *view) {
			v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.Asked, t.Answer = "n", "n" })
			v.local.drained, v.local.nonce, v.local.stale = true, "n", true
		}, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:prepared"}},
		"restart given up": {func(v *view) {
			v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.OldBoot = "b0" })
			v.local.trouble = "exec format error"
		}, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:failed"}},
		"put back: that is its first word, whatever else it lacks": {func(v *view) {
			v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.OldBoot = "b0" })
			v.local.putBack, v.local.holds, v.local.litter = "ended 3 times", "", true
		}, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:failed"}},
		"no way back: likewise": {func(v *view) {
			v.turnOf2(tracking.Restarting, func(t *tracking.Turn) { t.OldBoot = "b0" })
			v.local.program, v.local.stuck, v.local.litter = "new", "ended 3 times, and no program is kept", true
		}, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:failed"}},
		"rejoining, the old program": {func(v *view) { v.turnOf2(tracking.Rejoining, nil) }, outcome{Do: actSwap, Status: tracking.Working, Turns: "m2:failed"}},
		"rejoining: shows evidence": {func(v *view) {
			v.turnOf2(tracking.Rejoining, func(t *tracking.Turn) { t.NewBoot = "b2" })
			v.local.program, v.local.rejoin = "new", &tracking.Rejoin{Run: "R", Boot: "b2"}
		}, outcome{Do: actReport}},
		"accepted: last word":              {func(v *view) { v.turnOf2(tracking.Accepted, nil); v.local.program = "new" }, outcome{Do: actReport}},
		"lacks the release":                {func(v *view) { v.local.holds = "" }, outcome{Do: actHold}},
		"runs it, so it holds it":          {func(v *view) { v.turnOf2(tracking.Accepted, nil); v.local.program, v.local.holds = "new", "" }, outcome{Do: actReport}},
		"not looked at yet":                {func(v *view) { v.report("m2", func(r *tracking.Report) { r.Checked = nil }) }, outcome{Do: actCheck}},
		"turn gone, something left behind": {func(v *view) { v.local.untidy = true }, outcome{Do: actTidy}},
	} {
		t.Run(name, func(t *testing.T) {
			v := three()
			v.self, v.boot, v.local.addr = "m2", "b2", "http://m2"
			c.edit(&v)
			if diff := cmp.Diff(c.want, outcomeOf(v)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A member that is alone and does not lead yet looks again: no change of the
// record tells it that it does.
func TestDecideAloneWithoutLeader(t *testing.T) {
	for _, leader := range []string{"m2", ""} {
		v := three()
		v.self, v.boot, v.local.addr, v.members = "m2", "b2", "http://m2", v.members[1:2]
		v.lead(leader)
		v.turnOf2(tracking.TurnFailed, nil)
		switch s := decide(v); {
		case leader == "" && (s.do != actNothing || s.wait <= 0):
			t.Errorf("nobody leads: does %q, looks again after %v", s.do, s.wait)
		case leader != "" && s.do != actSwap:
			t.Errorf("it leads: does %q", s.do)
		}
	}
}
