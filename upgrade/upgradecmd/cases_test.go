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

func denyStage(s *script) {
	s.Refuse = map[string]httpapi.Error{"stage": {
		Model: "system", Key: "upgrade", Type: string(upgrade.Untrusted), Code: 403,
		Messages: []string{"the archive is signed by 0000000000000001, which is not trusted here"},
		Reason:   "UnknownKey", Remedy: "sign it with a key that is trusted, or add that key on the server",
	}}
}
