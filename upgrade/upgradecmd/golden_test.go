package upgradecmd

import (
	"testing"

	"github.com/leaderlast/leaderlast/upgrade"
)

func TestGolden(t *testing.T) {
	const file = "./provd-4.12.0.zip"
	js := []string{"-o", "json"}
	for _, c := range []struct {
		name string
		s    setup
		code int
	}{
		{"alone-tty", setup{script: "alone", single: true, width: 80, args: []string{"upgrade", file}}, CodeOK},
		{"alone-plain", setup{script: "alone", single: true, args: []string{"upgrade", file}}, CodeOK},
		{"alone-json", setup{script: "alone", single: true, args: append(js, "upgrade", file)}, CodeOK},
		{"alone-none", setup{script: "alone", single: true, args: []string{"upgrade", file, "--progress=none"}}, CodeOK},
		{"alone-ascii", setup{script: "alone", single: true, width: 80, ascii: true, args: []string{"upgrade", file}}, CodeOK},
		{"alone-failed-tty", setup{script: "alone-failed", single: true, width: 80, args: []string{"upgrade", "start", "--watch"}}, CodeFailed},
		{"cluster-tty", setup{script: "cluster", width: 80, args: []string{"upgrade", file}}, CodeOK},
		{"cluster-plain", setup{script: "cluster", args: []string{"upgrade", file}}, CodeOK},
		{"cluster-failed-tty", setup{script: "cluster-failed", width: 80, args: []string{"upgrade", "start", "--watch"}}, CodeFailed},
		{"cluster-failed-ascii", setup{script: "cluster-failed", width: 80, ascii: true, args: []string{"upgrade", "start", "--watch"}}, CodeFailed},
		{"cluster-failed-json", setup{script: "cluster-failed", args: append(js, "upgrade", "start", "--watch")}, CodeFailed},
		{"put-back-tty", setup{script: "cluster-failed", width: 80, change: putsBack, args: []string{"upgrade", "start", "--watch"}}, CodeFailed},
		{"put-back-unheard", setup{script: "cluster-failed", change: neverHeard, args: []string{"upgrade", "start", "--watch"}}, CodeNeedsHands},
		{"put-back-again", setup{script: "cluster-failed", width: 80, change: putsBack, args: []string{"upgrade", "start", "--watch", "--skip-check", "failed-before"}}, CodeFailed},
		{"cluster-down-tty", setup{script: "cluster-down", width: 80, args: []string{"upgrade", "start", "--watch"}}, CodeNeedsHands},
		{"notready-tty", setup{script: "cluster-notready", width: 80, args: []string{"upgrade", file}}, CodeRefused},

		{"check-tty", setup{script: "cluster-notready", width: 80, args: []string{"upgrade", "check", file}}, CodeRefused},
		{"check-wide", setup{script: "cluster-checks", width: 120, args: []string{"upgrade", "check", "--all", file}}, CodeRefused},
		{"check-one-plain", setup{script: "cluster", change: oneAsked, args: []string{"upgrade", "check"}}, CodeOK},
		{"check-counter-tty", setup{script: "cluster-notready", width: 80, change: olderRelease, args: []string{"upgrade", "check", file}}, CodeRefused},
		{"check-ascii", setup{script: "cluster-notready", width: 80, ascii: true, args: []string{"upgrade", "check", file}}, CodeRefused},
		{"check-plain", setup{script: "cluster-checks", args: []string{"upgrade", "check", file}}, CodeRefused},
		{"check-json", setup{script: "alone", single: true, args: append(js, "upgrade", "check", file)}, CodeOK},
		{"check-alone-tty", setup{script: "alone", single: true, width: 80, args: []string{"upgrade", "check"}}, CodeOK},

		{"plan-tty", setup{script: "cluster", width: 80, args: []string{"upgrade", "plan", file}}, CodeOK},
		{"plan-wide", setup{script: "cluster", width: 120, args: []string{"upgrade", "plan", file}}, CodeOK},
		{"plan-alone-tty", setup{script: "alone", single: true, width: 80, args: []string{"upgrade", "plan"}}, CodeOK},
		{"plan-json", setup{script: "alone", single: true, args: append(js, "upgrade", "plan")}, CodeOK},

		{"stage-tty", setup{script: "alone", single: true, width: 80, args: []string{"upgrade", "stage", file}}, CodeOK},
		{"stage-plain", setup{script: "alone", single: true, args: []string{"upgrade", "stage", file}}, CodeOK},
		{"stage-json", setup{script: "alone", single: true, args: append(js, "upgrade", "stage", file)}, CodeOK},
		{"start-tty", setup{script: "alone-staged", single: true, width: 80, args: []string{"upgrade", "start", "--plan", "5d1e90"}}, CodeOK},
		{"run-plain", setup{script: "alone-staged", single: true, args: []string{"upgrade", "run"}}, CodeOK},
		{"start-json", setup{script: "alone-staged", single: true, args: append(js, "upgrade", "start")}, CodeOK},

		{"status-tty", setup{script: "cluster-working", width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-wide", setup{script: "cluster-working", width: 120, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-ascii", setup{script: "cluster-working", width: 80, ascii: true, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-colour", setup{script: "cluster-working", width: 80, coloured: true, onlyErr: true, env: map[string]string{"FORCE_COLOR": "1"}, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-plain", setup{script: "waiting", args: []string{"upgrade", "status"}}, CodeOK},
		{"status-json", setup{script: "cluster-working", args: append(js, "upgrade", "status")}, CodeOK},
		{"status-member", setup{script: "cluster-working", width: 80, args: []string{"upgrade", "status", "--member", "m3"}}, CodeOK},
		{"status-none", setup{script: "cluster", width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-none-plain", setup{script: "cluster", args: []string{"upgrade", "status"}}, CodeOK},
		{"status-removed-plain", setup{script: "cluster-working", change: isRemoved, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-removed-tty", setup{script: "cluster-working", width: 80, change: isRemoved, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-none-alone", setup{script: "alone", single: true, width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-staged", setup{script: "alone-staged", single: true, width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-finished", setup{script: "alone-finished", single: true, width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-waiting", setup{script: "waiting", width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-exit-code", setup{script: "waiting", width: 80, args: []string{"upgrade", "status", "--exit-code"}}, CodeWaiting},
		{"status-watch-tty", setup{script: "cluster-working", width: 80, change: cancelledByOther, args: []string{"upgrade", "status", "--watch"}}, CodeCancelled},

		{"unstage-staged", setup{script: "alone-staged", single: true, width: 80, args: []string{"upgrade", "unstage"}}, CodeOK},
		{"unstage-finished", setup{script: "alone-finished", single: true, width: 80, args: []string{"upgrade", "remove"}}, CodeOK},
		{"unstage-working", setup{script: "cluster-working", width: 80, stdin: "7K3F\n", args: []string{"upgrade", "unstage"}}, CodeOK},
		{"unstage-declined", setup{script: "cluster-working", width: 80, stdin: "no\n", args: []string{"upgrade", "unstage"}}, CodeRefused},
		{"unstage-unasked", setup{script: "cluster-working", args: []string{"upgrade", "unstage"}}, CodeUsage},
		{"unstage-yes-plain", setup{script: "cluster-working", args: []string{"upgrade", "unstage", "--yes"}}, CodeOK},
		{"unstage-json", setup{script: "cluster-working", args: append(js, "upgrade", "unstage", "--yes")}, CodeOK},

		{"pause-tty", setup{script: "cluster-working", width: 80, change: mayPause, args: []string{"upgrade", "pause"}}, CodeOK},
		{"pause-plain", setup{script: "cluster-working", change: mayPause, args: []string{"upgrade", "pause"}}, CodeOK},
		{"pause-json", setup{script: "cluster-working", change: mayPause, args: append(js, "upgrade", "pause")}, CodeOK},
		{"pause-refused", setup{script: "cluster-working", width: 80, change: refusePause, args: []string{"upgrade", "pause"}}, CodeRefused},
		{"resume-tty", setup{script: "cluster-working", width: 80, change: mayPause, args: []string{"upgrade", "resume"}}, CodeOK},
		{"resume-json", setup{script: "cluster-working", change: mayPause, args: append(js, "upgrade", "resume")}, CodeOK},
		{"status-paused-tty", setup{script: "cluster-working", width: 80, change: isPaused, args: []string{"upgrade", "status", "--exit-code"}}, CodePaused},
		{"status-paused-wide", setup{script: "cluster-working", width: 120, change: isPaused, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-paused-plain", setup{script: "cluster-working", change: isPaused, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-paused-json", setup{script: "cluster-working", change: isPaused, args: append(js, "upgrade", "status")}, CodeOK},
		{"status-failed", setup{script: "cluster-retry", width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-put-back", setup{script: "cluster-retry", width: 80, change: putBack, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-failed-before", setup{script: "cluster-retry", width: 80, change: failedBefore, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-put-back-down", setup{script: "cluster-retry", width: 80, change: putBackDown, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-put-back-plain", setup{script: "cluster-retry", change: putBack, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-down", setup{script: "cluster-retry", width: 80, change: m3Down, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-forgotten", setup{script: "cluster-working", width: 80, change: isForgotten, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-forgotten-wide", setup{script: "cluster-working", width: 120, change: isForgotten, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-forgotten-plain", setup{script: "cluster-working", change: isForgotten, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-ill", setup{script: "waiting", width: 80, change: m2Ill, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-ill-plain", setup{script: "waiting", change: m2Ill, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-staging", setup{script: "cluster-staging", width: 80, args: []string{"upgrade", "status", "--exit-code"}}, CodeStaged},
		{"status-staging-plain", setup{script: "cluster-staging", args: []string{"upgrade", "status"}}, CodeOK},

		{"retry-tty", setup{script: "cluster-retry", width: 80, args: []string{"upgrade", "retry"}}, CodeOK},
		{"retry-watch-tty", setup{script: "cluster-retry", width: 80, args: []string{"upgrade", "retry", "--watch"}}, CodeOK},
		{"retry-watch-plain", setup{script: "cluster-retry", args: []string{"upgrade", "retry", "--watch"}}, CodeOK},
		{"retry-json", setup{script: "cluster-retry", args: append(js, "upgrade", "retry")}, CodeOK},
		{"retry-refused", setup{script: "cluster-retry", width: 80, change: refuseForget, args: []string{"upgrade", "retry", "--forget", "m2"}}, CodeRefused},

		{"rollback-tty", setup{script: "cluster-finished", width: 80, stdin: "y\n", args: []string{"upgrade", "rollback"}}, CodeOK},
		{"rollback-watch-tty", setup{script: "cluster-finished", width: 80, stdin: "Yes\n", args: []string{"upgrade", "rollback", "--watch"}}, CodeOK},
		{"rollback-watch-plain", setup{script: "cluster-finished", args: []string{"upgrade", "rollback", "--watch", "--yes"}}, CodeOK},
		{"rollback-watch-ascii", setup{script: "cluster-finished", width: 80, ascii: true, stdin: "y\n", args: []string{"upgrade", "rollback", "--watch"}}, CodeOK},
		{"rollback-json", setup{script: "cluster-finished", args: append(js, "upgrade", "rollback", "--watch", "--yes")}, CodeOK},
		{"rollback-alone-tty", setup{script: "alone-finished", single: true, width: 80, stdin: "y\n", args: []string{"upgrade", "rollback", "--watch"}}, CodeOK},
		{"rollback-some-tty", setup{script: "cluster-retry", width: 80, stdin: "n\n", args: []string{"upgrade", "rollback"}}, CodeRefused},
		{"rollback-unasked", setup{script: "cluster-finished", args: []string{"upgrade", "rollback", "--watch", "--forget", "m3", "--skip-check", "dir-space", "--allow-outage"}}, CodeUsage},
		{"rollback-committed", setup{script: "cluster-committed", width: 80, args: []string{"upgrade", "rollback"}}, CodeRefused},
		{"rollback-refused", setup{script: "cluster-finished", width: 80, change: refuseBack, args: []string{"upgrade", "rollback", "--yes"}}, CodeRefused},
		{"rollback-refused-json", setup{script: "cluster-finished", change: refuseBack, args: append(js, "upgrade", "rollback", "--yes")}, CodeRefused},
		{"rollback-help", setup{args: []string{"upgrade", "rollback", "--help"}}, CodeOK},
		{"rollback-failed-tty", setup{script: "cluster-finished", width: 80, change: backFails, args: []string{"upgrade", "rollback", "--watch", "--yes"}}, CodeFailed},

		{"commit-tty", setup{script: "cluster-finished", width: 80, stdin: "y\n", args: []string{"upgrade", "commit"}}, CodeOK},
		{"commit-plain", setup{script: "cluster-finished", args: []string{"upgrade", "commit", "--yes"}}, CodeOK},
		{"commit-ascii", setup{script: "cluster-finished", width: 80, ascii: true, stdin: "\n", args: []string{"upgrade", "commit"}}, CodeRefused},
		{"commit-json", setup{script: "cluster-finished", args: append(js, "upgrade", "commit", "--yes")}, CodeOK},
		{"commit-alone-tty", setup{script: "alone-finished", single: true, width: 80, stdin: "y\n", args: []string{"upgrade", "commit"}}, CodeOK},
		{"commit-unasked", setup{script: "cluster-finished", args: []string{"upgrade", "commit"}}, CodeUsage},
		{"commit-working", setup{script: "cluster-working", width: 80, args: []string{"upgrade", "commit"}}, CodeRefused},
		{"commit-nothing", setup{script: "cluster-committed", width: 80, change: refuseCommit, args: []string{"upgrade", "commit"}}, CodeRefused},

		{"status-not-committed", setup{script: "cluster-finished", width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-not-committed-plain", setup{script: "cluster-finished", args: []string{"upgrade", "status"}}, CodeOK},
		{"status-kept", setup{script: "cluster-finished", width: 80, change: isGone, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-committed", setup{script: "cluster-committed", width: 80, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-committed-plain", setup{script: "cluster-committed", args: []string{"upgrade", "status"}}, CodeOK},
		{"status-committed-json", setup{script: "cluster-committed", args: append(js, "upgrade", "status")}, CodeOK},
		{"status-rollback", setup{script: "cluster-rollback", width: 80, change: stillBack, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-rollback-wide", setup{script: "cluster-rollback", width: 120, change: stillBack, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-rollback-plain", setup{script: "cluster-rollback", change: stillBack, args: []string{"upgrade", "status"}}, CodeOK},
		{"status-rollback-watch", setup{script: "cluster-rollback", width: 80, args: []string{"upgrade", "status", "--watch"}}, CodeOK},

		{"two-voters-tty", setup{script: "cluster", width: 80, change: twoVoters(upgrade.Fail), args: []string{"upgrade", file}}, CodeRefused},
		{"two-voters-check", setup{script: "cluster", width: 80, change: twoVoters(upgrade.Fail), args: []string{"upgrade", "check", "--all"}}, CodeRefused},
		{"two-voters-plain", setup{script: "cluster", change: twoVoters(upgrade.Fail), args: []string{"upgrade", "check"}}, CodeRefused},
		{"two-voters-allowed", setup{script: "cluster", width: 80, change: twoVoters(upgrade.Skipped), args: []string{"upgrade", "check", "--allow-outage"}}, CodeOK},
		{"start-help", setup{args: []string{"upgrade", "start", "--help"}}, CodeOK},
		{"retry-help", setup{args: []string{"upgrade", "retry", "--help"}}, CodeOK},

		{"cluster-one-endpoint-tty", setup{script: "cluster", single: true, width: 80, args: []string{"upgrade", file}}, CodeOK},
		{"cluster-one-endpoint-plain", setup{script: "cluster", single: true, args: []string{"upgrade", file}}, CodeOK},

		{"help", setup{args: []string{"upgrade"}}, CodeOK},
		{"unknown-word", setup{args: []string{"upgrade", "strat"}}, CodeUsage},
		{"unknown-flag", setup{args: []string{"upgrade", "status", "--wathc"}}, CodeUsage},
		{"no-terminal", setup{args: []string{"upgrade", "status", "--progress=tty"}}, CodeUsage},
		{"no-archive", setup{script: "alone", width: 80, args: []string{"upgrade", "./notes.txt"}}, CodeRefused},
		{"no-file", setup{script: "alone", width: 80, args: []string{"upgrade", "check", "nosuch.zip"}}, CodeError},
		{"no-server", setup{script: "alone", single: true, width: 80, change: func(s *script) { s.Begin.Down = []string{"m1"} }, args: []string{"upgrade", "status"}}, CodeUnknown},
		{"no-server-json", setup{script: "alone", single: true, change: func(s *script) { s.Begin.Down = []string{"m1"} }, args: append(js, "upgrade", "status")}, CodeUnknown},
		{"refused-tty", setup{script: "alone-staged", single: true, width: 80, change: refuseStart, args: []string{"upgrade", "start"}}, CodeRefused},
		{"refused-json", setup{script: "alone-staged", single: true, change: refuseStart, args: append(js, "upgrade", "start")}, CodeRefused},
		{"refused-file-tty", setup{script: "alone", single: true, width: 80, change: refuseProbe, args: []string{"upgrade", file}}, CodeRefused},
		{"refused-file-plain", setup{script: "cluster", change: refuseProbe, args: []string{"upgrade", file}}, CodeRefused},
		{"unauthenticated-tty", setup{script: "alone", single: true, width: 80, change: unknownToken, args: []string{"upgrade", "unstage"}}, CodeDenied},
		{"denied-tty", setup{script: "alone", single: true, width: 80, change: denyStage, args: []string{"upgrade", "stage", file}}, CodeDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			makeArchive(t)
			r := run(t, c.s)
			if r.code != c.code {
				t.Errorf("exit code %d %s, want %d", r.code, ExitName(r.code), c.code)
			}
			golden(t, c.name, r.text())
		})
	}
}
