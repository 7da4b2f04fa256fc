package upgradecmd

import (
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// cancelledByOther is what a watcher sees of a cancel that it did not ask for.
func cancelledByOther(s *script) {
	s.Begin.After = ""
	s.AtOnce = s.Remove
}

func refuseStart(s *script) {
	s.Refuse = map[string]httpapi.Error{"run": {
		Model: "system", Key: "upgrade", Type: string(upgrade.NotReady), Code: 409,
		Messages: []string{"the new program does not start: exec format error"},
		Reason:   "ProbeFailed", Member: "m1", Gate: "A", Until: begun.Add(time.Hour),
		Checks: []upgrade.Check{{ID: "program-starts", Member: "m1", Severity: upgrade.Blocker, Result: upgrade.Fail,
			Title: "The new program was started once, and ended.", Seen: "exec \x1b[31mformat\x1b[0m error\x07",
			Why: "it would not serve", Fix: upgrade.Fix{Text: "pack a program for linux/amd64"}}},
	}}
}

// refuseProbe is a start that is refused as the server words it: what it advises
// is the fix of the check that failed.
func refuseProbe(s *script) {
	fix := "Mend what its last words say. Then unstage, and stage the new archive."
	s.Refuse = map[string]httpapi.Error{"run": {
		Model: "system", Key: "upgrade", Type: string(upgrade.NotReady), Code: 409,
		Messages: []string{"new-program-starts on m1: The new program does not start on this machine (exit status 1)"},
		Reason:   "PrerequisiteFailed", Member: "m1", Remedy: fix,
		Checks: []upgrade.Check{{ID: "new-program-starts", Member: "m1", Severity: upgrade.Blocker, Result: upgrade.Fail,
			Title: "The new program does not start on this machine.", Seen: "exit status 1", Fix: upgrade.Fix{Text: fix}}},
	}}
}

func denyStage(s *script) {
	s.Refuse = map[string]httpapi.Error{"stage": {
		Model: "system", Key: "upgrade", Type: string(upgrade.Untrusted), Code: 403,
		Messages: []string{"the archive is signed by 0000000000000001, which is not trusted here"},
		Reason:   "UnknownKey", Remedy: "sign it with a key that is trusted, or add that key on the server",
	}}
}

func unknownToken(s *script) {
	s.Refuse = map[string]httpapi.Error{"unstage": {
		Model: "system", Key: "upgrade", Type: string(upgrade.Forbidden), Code: 401,
		Messages: []string{"the token has expired"}, Reason: httpapi.ReasonUnauthenticated,
		Remedy: "Send credentials that this server knows; a token may have run out.",
	}}
}

// jane pauses what runs.
var (
	hold = change{
		Status: map[string]any{"phase": "paused", "paused": map[string]any{"by": "jane", "since": "@0s"}},
		Lines:  []map[string]any{{"type": "run.paused", "text": "paused by jane; no member starts, m3 is in flight and will be completed"}},
	}
	goOn = change{
		Status: map[string]any{"phase": nil, "paused": nil},
		Lines:  []map[string]any{{"type": "run.resumed", "text": "resumed by jane"}},
	}
)

func mayPause(s *script) { s.Pause, s.Resume = []change{hold}, []change{goOn} }

// isPaused is what others see of a pause, between two members.
func isPaused(s *script) {
	s.Begin.Status["phase"], s.Begin.Status["paused"] = "paused", map[string]any{"by": "jane", "since": "@-4s"}
	s.Begin.Members["m3"]["state"], s.Begin.Members["m3"]["reason"] = "pending", "Paused"
	s.Begin.Members["m3"]["message"], s.Begin.Members["m3"]["version"] = nil, "4.11.2"
	s.Begin.Status["actions"] = []any{"resume", "unstage"}
}

func refusePause(s *script) {
	s.Refuse = map[string]httpapi.Error{"pause": {Model: "system", Key: "upgrade", Type: string(upgrade.Conflict), Code: 409,
		Messages: []string{"run 7K3F is finished; only one that works can be paused or resumed"}, Reason: "NotWorking", Remedy: "look at its status"}}
}

func refuseForget(s *script) {
	s.Refuse = map[string]httpapi.Error{"retry": {Model: "system", Key: "upgrade", Type: string(upgrade.Conflict), Code: 409, Member: "m2",
		Messages: []string{"m2 answers; only a member that is gone for good can be forgotten"}, Reason: "NotGone", Remedy: "retry without forgetting it"}}
}

// stillBack keeps a rollback where it is.
func stillBack(s *script) { s.AtOnce = nil }

func refuseBack(s *script) {
	s.Refuse = map[string]httpapi.Error{"rollback": {Model: "system", Key: "upgrade", Type: string(upgrade.NotReady), Code: 409, Member: "m3",
		Messages: []string{"there is nothing to go back to on m3"}, Reason: "NoPrevious", Remedy: "build the older state as a newer release, and install that"}}
}

func refuseCommit(s *script) {
	s.Refuse = map[string]httpapi.Error{"commit": {Model: "system", Key: "upgrade", Type: string(upgrade.Conflict), Code: 409,
		Messages: []string{"no member keeps a program from before"}, Reason: "NothingToCommit"}}
}

// backFails ends a rollback at its second member.
func backFails(s *script) {
	for i, c := range s.Back {
		if m := c.Members["m3"]; m["state"] == "restarting" {
			s.Back = append(s.Back[:i:i], change{After: "10s",
				Status:  map[string]any{"status": "failed", "final_state": "failed: m3 cannot go back", "actions": []any{"retry", "rollback", "unstage"}},
				Run:     map[string]any{"finished_at": "@0s", "result": "failed", "reason": "RestartFailed", "failed_member": "m3"},
				Members: map[string]map[string]any{"m3": {"state": "failed", "reason": "RestartFailed", "message": "input/output error"}},
				Lines:   []map[string]any{{"type": "run.failed", "text": "failed: m3 cannot go back"}},
			})
			return
		}
	}
}

// isGone is what is left of a run that finished and was removed uncommitted.
func isGone(s *script) {
	s.Begin.Status["status"] = "none"
	s.Begin.Status["progress"] = map[string]any{"done": 0, "skipped": 0, "total": 0}
	s.Begin.Status["actions"] = []any{"stage", "rollback", "commit"}
}

// isRemoved is what is left of a run that was cancelled: its members still know
// how their turns ended.
func isRemoved(s *script) {
	s.Begin.Status["status"], s.Begin.Status["phase"], s.Begin.Status["waiting"] = "none", nil, nil
	s.Begin.Status["progress"] = map[string]any{"done": 0, "skipped": 0, "total": 0}
	s.Begin.Run["result"], s.Begin.Run["reason"] = "cancelled", "Cancelled"
	s.Begin.Members["m2"]["state"], s.Begin.Members["m3"]["state"] = "done", "done"
}

// m3Down takes the member away whose turn failed.
func m3Down(s *script) { s.Begin.Members["m3"]["healthy"] = false }

// putBack is how a server tells that m3 has put its program back.
func putBack(s *script) {
	why := "put back 4.11.2, which serves: 4.12.0 ended 3 times within 1m0s of its start"
	s.Begin.Status["final_state"] = "failed: m3 " + why + ". Now: m1 4.11.2, m2 4.12.0, m3 4.11.2. " +
		"Next: stage a release without that fault, of which the log of m3 may say more; or retry without the check failed-before, to try the same one again on m3."
	s.Begin.Run["reason"] = "PutBack"
	s.Begin.Members["m3"]["reason"], s.Begin.Members["m3"]["message"] = "PutBack", "m3 "+why
	s.Begin.Lines[len(s.Begin.Lines)-1]["text"] = s.Begin.Status["final_state"]
	s.Begin.Lines = append(s.Begin.Lines, s.Begin.Lines[len(s.Begin.Lines)-1])
	s.Begin.Lines[len(s.Begin.Lines)-2] = map[string]any{"member": "m3", "type": "member.put-back", "text": why}
}

// failedBefore is a retry of that, refused by the member that remembers it.
func failedBefore(s *script) {
	why := "is not ready: failed-before on m3: The new program was put back here before (4.12.0 ended 3 times within 1m0s of its start)"
	s.Begin.Status["final_state"] = "failed: m3 " + why + ". Now: m1 4.11.2, m2 4.12.0, m3 4.11.2. " +
		"Next: stage a release without that fault, of which the log of m3 may say more; or retry without the check failed-before, to try the same one again on m3."
	s.Begin.Run["reason"], s.Begin.Run["failed_check"] = "PrerequisiteFailed", "failed-before"
	s.Begin.Members["m3"]["reason"], s.Begin.Members["m3"]["message"] = "PrerequisiteFailed", "m3 "+why
	s.Begin.Lines[len(s.Begin.Lines)-1]["text"] = s.Begin.Status["final_state"]
}

// oneAsked is a check that one member alone has passed.
func oneAsked(s *script) {
	twoVoters(upgrade.Pass)(s)
	s.Check.Checks[4].ID, s.Check.Checks[4].Title = "quorum-without-one", "Each voter can be spared while it restarts."
}

// olderRelease is an archive that a member does not take, and never will.
func olderRelease(s *script) {
	for i := range s.Check.Checks {
		if c := &s.Check.Checks[i]; c.Result == upgrade.Fail && c.Severity == upgrade.Blocker {
			*c = upgrade.Check{ID: "archive-counter", Member: c.Member, Severity: upgrade.Blocker, Result: upgrade.Fail,
				Title: "This server does not take the archive.", Seen: "its counter is 1; here releases below 2 are not accepted any more (RolledBack)",
				Fix: upgrade.Fix{Text: "use a newer release", Where: c.Member}}
		}
	}
}

// putsBack is how a watch sees that. The member that is asked hears of m3 a moment
// after the end.
func putsBack(s *script) {
	why := "put back 4.11.2, which serves: 4.12.0 ended 3 times within 1m0s of its start"
	end := &s.Run[len(s.Run)-1]
	end.Status["final_state"] = "failed: m3 " + why + ". Now: m1 4.11.2, m2 4.12.0, m3 4.11.2. Next: stage a release without that fault."
	end.Run["reason"] = "PutBack"
	end.Members = map[string]map[string]any{"m3": {"healthy": false, "reason": "PutBack", "message": "m3 " + why}}
	end.Lines[0]["text"] = end.Status["final_state"]
	s.Run[len(s.Run)-2].Lines = []map[string]any{{"member": "m3", "type": "member.put-back", "text": why}}
	s.Run = append(s.Run, change{After: "1s", Members: map[string]map[string]any{"m3": {"healthy": true}}})
}

// neverHeard leaves it at that.
func neverHeard(s *script) {
	putsBack(s)
	s.Run = s.Run[:len(s.Run)-1]
}

func putBackDown(s *script) { putBack(s); m3Down(s) }

// twoVoters is a cluster that can spare nobody.
func twoVoters(result upgrade.Result) func(*script) {
	return func(s *script) {
		s.Check.Ready = result != upgrade.Fail
		s.Check.Members = s.Check.Members[:2]
		s.Check.Checks = append(s.Check.Checks[:4:4], upgrade.Check{
			ID: "two-voters", Severity: upgrade.Blocker, Result: result, Title: "Nobody can write while m1 or m2 restarts.",
			Seen: "2 voters, and 2 of them are needed", Why: "without a quorum nobody can write",
			Fix: upgrade.Fix{Text: "add a voter; or allow the outage (--allow-outage) if your clients can wait until each of them is back"},
		}, upgrade.Check{
			ID: "members-own", Severity: upgrade.Blocker, Result: upgrade.NotRun, Title: "m2: checked on each member before any is touched (at start)",
			Seen: "only m1 was asked about its own machine"})
		delete(s.Begin.Members, "m3")
		s.Begin.Members["m2"]["unhealthy_since"] = nil
	}
}

// isForgotten is a run without the member that is gone.
func isForgotten(s *script) {
	s.Begin.Status["progress"] = map[string]any{"done": 1, "skipped": 1, "total": 3}
	s.Begin.Run["forgotten"], s.Begin.Run["retry_of"], s.Begin.Run["allow_outage"] = []any{"m3"}, "01JD7Q8Y8A1C", true
	s.Begin.Members["m3"] = map[string]any{"url": "https://10.0.0.13:8092", "role": "voter", "healthy": false, "version": "", "state": "skipped",
		"reason": "Forgotten", "message": "gone for good, by the word of an operator"}
}

// m2Ill is a wait of which the record says since when.
func m2Ill(s *script) {
	s.Begin.Members["m2"]["unhealthy_since"] = "@-220s"
	s.Begin.Members["m3"]["message"] = s.Begin.Status["waiting"].(map[string]any)["message"]
}
