package upgradecmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

func (t *tree) stage() *cobra.Command {
	cmd := leaf("stage FILE", "Upload an archive, and have it verified everywhere",
		`Send FILE and return when every member has it and has verified it by itself.
Nothing runs it yet; "start" does that. Staging the archive that is staged
already is fine. Ctrl-C aborts the upload, and the server keeps nothing of it.`)
	cmd.ValidArgsFunction = completeArchive
	cmd.RunE = t.verb(true, runStage)
	return cmd
}

func runStage(ctx context.Context, s *session, args []string) error {
	if len(args) != 1 {
		return usagef("give one FILE to stage")
	}
	file, err := openArchive(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	staged, err := s.send(ctx, c, file, before)
	if err != nil {
		return err
	}
	s.reporter.doing("")
	s.stay(func(v view) []string {
		if isInstalled(before, staged) {
			return []string{nextOfRun(v, before)}
		}
		return []string{"Start it:  " + v.hint("start")}
	})
	return nil
}

// isInstalled reports whether what was to be staged is what a run works on.
func isInstalled(before upgrade.Status, staged upgrade.Staged) bool {
	return staged.Already && before.Status == string(tracking.Working) && before.Run != nil && before.Run.ID == staged.Run
}

// send uploads a file, shows how far it is, and waits until it is staged.
func (s *session) send(ctx context.Context, c client, file *archiveFile, before upgrade.Status) (upgrade.Staged, error) {
	s.ifLeft("The upload is aborted, and the server keeps nothing of it.")
	to := clean(before.ObservedBy)
	if to == "" {
		to = "the server"
	}
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body := newUploadBody(file, func(sent int64) { s.reporter.sending(sent, file.size, to) }, cancel)
	defer body.stop()
	s.reporter.sending(0, file.size, to)
	staged, err := c.Stage(ctx, body, file.size, httpapi.UploadOptions{Digest: file.digest})
	if err != nil {
		if cause := context.Cause(ctx); isStall(cause) {
			return staged, cause
		}
		return staged, err
	}
	s.reporter.doing("")
	if body.sentAll() {
		s.reporter.done(step{"uploaded",
			sizeText(file.size) + " to " + to + " in " + tookText(body.took(began)) + ", sha256 " + shortDigest(string(file.digest), 6, 4),
			map[string]any{"bytes": file.size, "digest": file.digest, "to": before.ObservedBy}})
	}
	text := stagedText(before, staged)
	s.reporter.done(step{"staged", text, map[string]any{"run": staged.Run, "digest": file.digest, "already": staged.Already, "version": staged.Release.Manifest.Version}})
	return staged, nil
}

func stagedText(s upgrade.Status, staged upgrade.Staged) string {
	what := clean(staged.Release.Manifest.Version)
	if what == "" {
		what = shortDigest(string(staged.Release.Archive), 6, 4)
	}
	signed := "signature and digest checked"
	if staged.Release.Unsigned {
		signed = "digest checked, NOT signed"
	}
	switch {
	case isInstalled(s, staged):
		return what + " is what run " + shortRun(staged.Run) + " works on; nothing was staged again"
	case staged.Already:
		return what + " was staged before; " + signed
	case alone(s):
		return what + "; " + signed
	case staged.Release.Unsigned:
		return "on " + memberIDs(s.Members) + "; each checked the digest by itself, NOT signed"
	}
	return "on " + memberIDs(s.Members) + "; each checked signature and digest by itself"
}
