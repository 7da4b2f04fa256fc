package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

// judge looks at what is there now, and holds it against the promises.
func (d *demo) judge(ctx context.Context) error {
	c, err := show.NewCaller(filepath.Join(d.Dir, "data"))
	if err != nil {
		return err
	}
	info, err := askInfo(ctx, c)
	if err != nil {
		return err
	}
	d.sum.VersionAfter, d.sum.PIDAfter = info.Version, info.PID
	if d.sum.DigestAfter, err = show.FileDigest(d.Program); err != nil {
		return err
	}
	want, err := show.FileDigest(filepath.Join(d.Dir, "release", "bin", runtime.GOOS, runtime.GOARCH, "kvd"))
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(d.Dir, "installed", "kvctl"), "version").Output()
	if err != nil {
		return fmt.Errorf("kvctl version: %w", err)
	}
	d.sum.Companion = strings.TrimSpace(string(out))
	profile, err := askProfile(ctx, c)
	if err != nil {
		return err
	}
	d.sum.Status, d.sum.FinalState, d.sum.Transcript = profile.Status, profile.FinalState, profile.Transcript

	expect := func(ok bool, format string, args ...any) {
		if !ok {
			d.sum.Problems = append(d.sum.Problems, fmt.Sprintf(format, args...))
		}
	}
	expect(d.sum.VersionBefore == demoOld, "it was version %s before, not %s", d.sum.VersionBefore, demoOld)
	expect(d.sum.VersionAfter == demoNew, "it is version %s now, not %s", d.sum.VersionAfter, demoNew)
	expect(d.sum.DigestAfter == want, "the installed program is %s, not the one in the archive, %s", d.sum.DigestAfter, want)
	expect(d.sum.PIDAfter == d.sum.PIDBefore, "the PID changed from %d to %d", d.sum.PIDBefore, d.sum.PIDAfter)
	expect(d.sum.Companion == demoNew, "kvctl is version %s, not %s", d.sum.Companion, demoNew)
	expect(d.sum.Failed == 0, "%d of %d requests failed, first: %s", d.sum.Failed, d.sum.Requests, d.sum.FirstFailure)
	expect(d.sum.Requests > 0, "no request was sent")
	expect(d.sum.Status == "finished", "the status is %q, not finished", d.sum.Status)
	return nil
}

// report prints the summary; the error, if any, says what was not as promised.
func (d *demo) report(stdout io.Writer) error {
	if d.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d.sum); err != nil {
			return err
		}
	} else if d.sum.VersionAfter != "" {
		d.table()
	}
	if !d.sum.OK {
		return errors.New("not as promised: " + strings.Join(d.sum.Problems, "; "))
	}
	return nil
}

func (d *demo) table() {
	s := d.sum
	row := func(name, format string, args ...any) {
		fmt.Fprintf(d.Out, "  %-24s%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(d.Out, "What happened")
	row("version", "%s -> %s", s.VersionBefore, s.VersionAfter)
	row("digest of the program", "%s -> %s", short(s.DigestBefore), short(s.DigestAfter))
	row("process", "pid %d -> %d%s", s.PIDBefore, s.PIDAfter, map[bool]string{true: " (unchanged)"}[s.PIDBefore == s.PIDAfter])
	row("companion", "kvctl %s -> %s", demoOld, s.Companion)
	row("requests meanwhile", "%d sent, %d failed", s.Requests, s.Failed)
	row("longest without answer", "%d ms (its bare start-up: %d ms)", s.LongestGapMS, s.StartUpMS)
	row("status", "%s", s.Status)
	if s.Kept {
		row("everything lies in", "%s", s.Dir)
		d.next()
		return
	}
	row("everything lay in", "%s, removed (keep it with --keep)", s.Dir)
}

// next says how to go on by hand.
func (d *demo) next() {
	data := filepath.Join(d.Dir, "data")
	kvd := d.Program
	fmt.Fprintf(d.Out, `
The server is still running (pid %d). Go on by hand:
  export KVD_DATA=%s
  %s upgrade status
  %s upgrade unstage
  %s -data %s put color blue
  tail -f %s
End it and remove everything:
  kill %d && rm -r %s
`, d.sum.PIDAfter, data, kvd, kvd, filepath.Join(d.Dir, "installed", "kvctl"), data, filepath.Join(d.Dir, "kvd.log"), d.sum.PIDAfter, d.Dir)
}

func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	if len(digest) < 12 {
		return digest
	}
	return digest[:12]
}
