package upgrade

import (
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// maxAttempts is how often one turn may come back as the old program and go on.
const maxAttempts = 3

// member decides what the local member does in its own turn, and for the run as
// a whole. It acts only on what is committed in the run.
func (v view) member() step {
	r, own := v.run, v.reports[v.self]
	if r.Removed.IsZero() && (own.Boot != v.boot || v.untold(own) || own.Addr != v.local.addr || !r.Committed.IsZero() && own.Previous != v.local.previous) {
		return step{do: actReport}
	}
	t := r.Turn(v.self)
	if t == nil && v.local.untidy {
		return step{do: actTidy}
	}
	if t != nil && r.Status == tracking.Working {
		// What became of the restart comes before anything else about this member.
		if s := v.ownWord(*t); s.do != actNothing {
			return s
		}
	}
	switch r.Status {
	case tracking.Staging, tracking.Staged, tracking.Working:
		switch {
		case !v.needsRelease(t):
		case !v.local.pulling:
			return step{do: actHold}
		case t == nil || v.run.Wish != tracking.Cancel:
			return step{} // until it is here
		}
	}
	if v.local.litter && t == nil {
		return step{do: actSweep}
	}
	if v.givesUp() {
		return step{do: actForget}
	}
	if r.Status != tracking.Working {
		return step{}
	}
	if t != nil {
		return v.turn(*t)
	}
	if v.checked(v.self) == nil && v.lastWord(v.self) == nil {
		return step{do: actCheck}
	}
	return step{}
}

// needsRelease reports whether the local member still has to get or verify the
// release. A member that runs it holds it: the new program may trust other keys
// than those that signed it.
func (v view) needsRelease(t *tracking.Turn) bool {
	if v.run.Kind == tracking.KindRollback {
		return false // there is none
	}
	if v.local.holds == v.run.Archive.Sums || v.lastWord(v.self) != nil {
		return false
	}
	if l := v.local.lacks; l != nil && l.Refused && t == nil {
		return false // it is not taken
	}
	return t == nil || t.Digest != v.local.program
}

// untold reports whether own, our report, says something else of the release
// than what is so.
func (v view) untold(own tracking.Report) bool {
	if v.local.holds != "" && v.local.holds == v.run.Archive.Sums {
		return own.Holds != v.local.holds || own.HoldsFor != v.run.ID || own.Lacks != nil
	}
	if v.local.lost && v.holds(own) {
		return true
	}
	was, is := own.Lacks, v.local.lacks
	if was != nil && was.Run != v.run.ID {
		was = nil
	}
	// Words that change with each try are not worth a write.
	return (was == nil) != (is == nil) || was != nil && (was.Reason != is.Reason || was.Refused != is.Refused)
}

// holds reports whether r says that its member holds the release of this run.
// What was held for an earlier run may be gone.
func (v view) holds(r tracking.Report) bool {
	return r.Holds != "" && r.Holds == v.run.Archive.Sums && r.HoldsFor == v.run.ID
}

// linePutBack is the type of the line with which a member says that its program
// was put back; its turn has failed with that.
const linePutBack = "member.put-back"

// ownWord is what the local member knows of the end of its turn t and nobody else
// does: its program was put back, cannot be, or could not be restarted.
func (v view) ownWord(t tracking.Turn) step {
	target := t.Digest == v.local.program
	switch {
	case t.State == tracking.TurnFailed:
	case v.local.putBack != "" && !target:
		s := v.failTurn(t, "PutBack", fmt.Sprintf("put back %s, which serves: %s %s", v.local.version, v.into(v.self), v.local.putBack))
		s.run.Log[len(s.run.Log)-1].Type = linePutBack
		return s
	case v.local.stuck != "" && target && t.State != tracking.Accepted:
		return v.failTurn(t, "NoWayBack", fmt.Sprintf("runs %s, which %s", v.local.version, v.local.stuck))
	case v.local.trouble != "" && !target:
		return v.failTurn(t, "RestartFailed", "could not be restarted: "+v.local.trouble)
	}
	return step{}
}

// turn decides the next step of the local member's own turn.
func (v view) turn(t tracking.Turn) step {
	target := t.Digest == v.local.program
	cancelled := v.run.Wish == tracking.Cancel
	switch t.State {
	case tracking.Granted:
		if cancelled {
			return step{} // the coordinator takes the grant back
		}
		return v.turnStep(v.self, tracking.Claimed, "claimed its turn", func(n *tracking.Turn) {
			n.OldBoot, n.From = v.boot, v.local.version
		})
	case tracking.Claimed, tracking.Prepared, tracking.Restarting:
		if target {
			return v.turnStep(v.self, tracking.Rejoining, "rejoining, runs "+v.into(v.self), func(n *tracking.Turn) {
				n.NewBoot, n.Asked, n.Answer = v.boot, "", ""
			})
		}
	}
	switch t.State {
	case tracking.Claimed:
		switch {
		case cancelled:
			return v.dropTurn(v.self, "member.discarded", "gave its turn back; nothing was replaced")
		case t.OldBoot != v.boot:
			return v.again(t, "the process ended before the new program was in place")
		}
		return step{do: actPrepare}
	case tracking.Prepared:
		return v.prepared(t)
	case tracking.Restarting:
		switch {
		case t.OldBoot != v.boot:
			return v.again(t, "came back as "+v.local.version+": the process ended before the new program was in place")
		case t.Answer == v.local.nonce && v.local.nonce != "" && !v.local.stale && !v.mustHandOver(t):
			return step{do: actLeave}
		}
		return v.lapse(t)
	case tracking.Rejoining:
		return v.rejoining(t)
	case tracking.Accepted:
		if w := v.lastWord(v.self); w == nil || w.Attempt != t.Attempt {
			return step{do: actReport}
		}
	}
	return step{}
}

// refusedB reports whether gate B has refused the restart that the turn asked
// for, and still does.
func (v view) refusedB(t tracking.Turn) bool {
	w := v.run.Waiting
	return t.Asked != "" && w != nil && w.Gate == "B" && w.Member == t.Member
}

// lapse gives a permission to restart back, and says why it is not used.
func (v view) lapse(t tracking.Turn) step {
	why := "it answers an earlier question" // of another process, or from before clients were let in again
	switch {
	case v.mustHandOver(t):
		why = "leadership came here"
	case v.local.stale:
		why = "it was asked for too long ago"
	}
	return v.turnStep(v.self, tracking.Prepared, "let the permission to restart lapse: "+why+"; asks again", func(n *tracking.Turn) {
		n.Asked, n.Answer = "", ""
	})
}

// prepared decides between leaving and staying: the new program lies beside the
// old one, and nothing else has happened yet.
func (v view) prepared(t tracking.Turn) step {
	switch {
	case t.OldBoot != v.boot:
		return v.again(t, "the process ended before the new program was in place")
	case v.run.Wish == tracking.Cancel:
		return v.dropTurn(v.self, "member.discarded", "gave its turn back; nothing was replaced")
	case v.mustHandOver(t) && v.local.drained:
		return step{do: actLetIn} // leadership came to it since; who takes it over may be long in coming
	case v.mustHandOver(t):
		return v.handOver(t)
	case !v.alone() && v.run.Boot == v.boot && !v.leads():
		// It let go, and nobody has taken over in the record yet. Should nobody do
		// so, leadership falls back to it.
		return step{wait: v.pace()}
	case v.local.grace > 0:
		return step{wait: v.local.grace}
	case v.refusedB(t):
		// Clients do not wait for what is in the way. When it is gone the question
		// is answered, and asked once more because nobody is drained then.
		if v.local.drained {
			return step{do: actLetIn}
		}
		return step{}
	case !v.local.drained || v.local.nonce == "" || t.Asked != v.local.nonce || v.local.stale:
		return step{do: actAsk}
	}
	return step{} // asked; the coordinator answers
}

// again goes back to the beginning of a turn that an end of the process
// interrupted, as often as maxAttempts.
func (v view) again(t tracking.Turn, why string) step {
	if t.Attempt >= maxAttempts {
		return v.failTurn(t, "RestartFailed", fmt.Sprintf("%s, %d times", why, t.Attempt))
	}
	return v.turnStep(v.self, tracking.Claimed, why+"; tries again", func(n *tracking.Turn) {
		n.OldBoot, n.Asked, n.Answer = v.boot, "", ""
		n.Attempt++
	})
}

// rejoining gathers the evidence that the coordinator judges.
func (v view) rejoining(t tracking.Turn) step {
	if t.Digest != v.local.program {
		return v.failTurn(t, "WrongDigest", "runs "+v.local.version+" again, which is not the program of this run")
	}
	if t.NewBoot != v.boot {
		return v.turnStep(v.self, tracking.Rejoining, "rejoining, started once more", func(n *tracking.Turn) { n.NewBoot = v.boot })
	}
	if seen := v.reports[v.self].Rejoin; v.local.rejoin != nil && (seen == nil || *seen != *v.local.rejoin) {
		return step{do: actReport}
	}
	if e := v.local.rejoin; e != nil && e.Trouble == "" {
		return step{wait: v.healthyPace()} // to see whether it stays well
	}
	// Soon at first, so that a quick start is not held up; then ever less often.
	return step{wait: min(max(v.now.Sub(t.Since)/20, 50*time.Millisecond), time.Second)}
}
