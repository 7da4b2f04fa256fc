package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/capabilities"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// prereqLimit bounds a prerequisite that has no limit of its own: a dead network
// file system must delay an answer, never withhold it.
const prereqLimit = 2 * time.Second

// prereqs judges whether an upgrade of the local member can succeed. Judging
// changes nothing that outlives it, save for what probe does, and may be done
// at any time, also while another does.
type prereqs struct {
	Member     string
	Program    Program // zero if it was not found
	Platform   archive.Platform
	Companions []string // base names of files beside the program that are replaced with it
	Copier     capabilities.Copier
	Method     restart.Method
	Store      string           // directory of the archive store; "" if that is not on a local disk
	Staged     bool             // Release lies in the store already
	Release    *archive.Release // to be installed; nil if there is none yet
	Skip       []string         // ids to go on without, accepted by validateSkip
	Lock       *programLock     // from Program.hold; nil if it could not be had
	Journal    error            // why the journal could not be read when the server was started
	Failed     []failedProgram  // that were put back on this machine
	Back       archive.Digest   // of the kept program, if that is to be put in place and no release

	probe func(context.Context) error // starts the new program once; nil where nothing may be started
	root  string                      // where /proc, /run and /var are looked for; "" is the real one
}

// A prereq is one of them. Its id, severity and sentences are fixed; what was
// seen and what to do about it is in the finding.
type prereq struct {
	id        string
	severity  Severity
	skippable bool
	limit     time.Duration // prereqLimit if 0, none if negative: judge bounds itself
	title     string        // when it holds
	why       string        // it is asked for at all
	judge     func(context.Context) finding
}

// A finding is what judging a prereq came to. One that failed has a title of
// its own, and a fix.
type finding struct {
	result Result
	title  string
	seen   string
	fix    Fix
}

func passes(format string, args ...any) finding {
	return finding{result: Pass, seen: fmt.Sprintf(format, args...)}
}

func unjudged(format string, args ...any) finding {
	return finding{result: NotRun, seen: fmt.Sprintf(format, args...)}
}

func fails(title, seen, todo, command string) finding {
	return finding{result: Fail, title: title, seen: seen, fix: Fix{Text: todo, Command: command}}
}

// list returns every prerequisite in the order they are judged and shown. A
// check is skippable where a wrong judgement, or a failure after it, does no
// harm that the upgrade does not undo by itself, or where only the operator can
// know better.
func (p prereqs) list() []prereq {
	return []prereq{
		{id: "binary-path", severity: Blocker, title: "The server knows its own program.",
			why: "the file that runs is the one to be replaced", judge: p.binaryPath},
		{id: "journal", severity: Blocker, title: "The journal beside the program can be read.",
			why: "it holds how far an upgrade of this machine is, and which releases it refuses", judge: p.journal},
		{id: "binary-unchanged", severity: Blocker, title: "The running program is the file on disk.",
			why:   "what somebody else put there would be overwritten, and could not be put back",
			judge: p.binaryUnchanged},
		{id: "file-system", severity: Blocker, title: "Programs can be written to and started from that file system.",
			why: "the new program is prepared, and started, where the old one lies", judge: p.fileSystem},
		{id: "dir-writable", severity: Blocker, title: "The server can create files beside its own program.",
			why: "the new program is put in place by a rename in that directory", judge: p.dirWritable},
		{id: "file-writable", severity: Blocker, title: "The server may replace its own program.",
			why: "a rename takes the place of the old file, which the directory alone does not permit everywhere", judge: p.fileWritable},
		{id: "previous-kept", severity: Blocker, title: "The names beside the program are free.",
			why: "the new program and the one it displaces are kept under them", judge: p.previousKept},
		{id: "capability-method", severity: Blocker, limit: 10 * time.Second, title: "File capabilities can be given to the new program.",
			why: "without those of the old one it could not do what they permit", judge: p.capabilityMethod},
		{id: "no-new-privileges", severity: Blocker, skippable: true, title: "File capabilities take effect here.",
			why: "no-new-privileges keeps sudo from working and file capabilities from being granted", judge: p.noNewPrivileges},
		{id: "dir-space", severity: Blocker, skippable: true, title: "There is room beside the program.",
			why: "the new program and a copy of the old one lie there at the same time", judge: p.dirSpace},
		{id: "store-space", severity: Blocker, skippable: true, title: "There is room in the archive store.",
			why: "the archive and what is unpacked from it are kept there", judge: p.storeSpace},
		{id: "archive-platform", severity: Blocker, title: "The archive has a program for this machine.",
			why: "nothing else can be installed here", judge: p.archivePlatform},
		{id: "failed-before", severity: Blocker, skippable: true, title: "The new program was not put back here before.",
			why: "one that was no good on this machine is hardly better now", judge: p.failedBefore},
		{id: "container", severity: Blocker, skippable: true, title: "The program does not belong to a container image.",
			why: "what is replaced in a container is gone with the container", judge: p.container},
		{id: "binary-shared", severity: Blocker, skippable: true, title: "No other server runs from the same file.",
			why: "it would start with the new program at a time of its own, outside the upgrade", judge: p.binaryShared},
		{id: "binary-in-package", severity: Warning, skippable: true, title: "No package manager claims the program.",
			why: "its next upgrade puts its own version back", judge: p.binaryInPackage},
		{id: "restart-method", severity: Blocker, skippable: true, title: "The server can be started over.",
			why: "the new program runs only after a restart", judge: p.restartMethod},
		{id: "new-program-starts", severity: Blocker, limit: -1, title: "The new program starts on this machine.",
			why: "one that does not would leave the member down until the old one is put back", judge: p.newProgramStarts},
	}
}

// run judges every prerequisite, never only those up to the first that fails,
// and one after the other: some start processes that others would see.
func (p prereqs) run(ctx context.Context) []Check {
	var checks []Check
	for _, q := range p.list() {
		c := Check{
			ID: q.id, Member: p.Member, Severity: q.severity, Skippable: q.skippable,
			Title: q.title, Why: q.why,
		}
		f := p.judge(ctx, q)
		c.Result, c.Seen, c.At = f.result, f.seen, time.Now()
		if f.result == Fail {
			c.Title, c.Fix = f.title, f.fix
			c.Fix.Where = p.Member
			if q.skippable && slices.Contains(p.Skip, q.id) {
				c.Result = Skipped
			}
		}
		checks = append(checks, c)
	}
	return checks
}

// judge bounds q. One that does not come back in time is left to itself and has
// failed: an upgrade would wait there too.
func (p prereqs) judge(ctx context.Context, q prereq) finding {
	if p.Program.Path == "" && q.id != "binary-path" {
		return unjudged("the server's own program was not found")
	}
	if ctx.Err() != nil {
		return unjudged("not judged: %v", context.Cause(ctx))
	}
	limit := q.limit
	if limit == 0 {
		limit = prereqLimit
	}
	bounded := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	done := make(chan finding, 1)
	go func() { done <- q.judge(bounded) }()
	select {
	case f := <-done:
		return f
	case <-bounded.Done():
	}
	if ctx.Err() != nil {
		return unjudged("not judged: %v", context.Cause(ctx))
	}
	return fails("This could not be judged in time.", fmt.Sprintf("no answer within %v", limit),
		"See whether the disks of this machine answer, then check again.",
		shellLine("timeout", "5", "stat", "-f", p.Program.Dir()))
}

// refuse returns nil, or the *Refusal that the failed blockers among checks
// come to. It is about the first of them, and carries them all.
func refuse(checks []Check) error {
	var failed []Check
	for _, c := range checks {
		if c.Severity == Blocker && c.Result == Fail {
			failed = append(failed, c)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	first := failed[0]
	what := fmt.Sprintf("%s on %s: %s", first.ID, first.Member, strings.TrimSuffix(first.Title, "."))
	if first.Seen != "" {
		what += " (" + first.Seen + ")"
	}
	if more := len(failed) - 1; more == 1 {
		what += "; 1 more check fails"
	} else if more > 1 {
		what += fmt.Sprintf("; %d more checks fail", more)
	}
	remedy := first.Fix.Text
	if first.Fix.Command != "" {
		remedy = strings.TrimSpace(remedy + " Run: " + first.Fix.Command)
	}
	return &Refusal{
		Kind: NotReady, Reason: "PrerequisiteFailed", Message: what, Remedy: remedy,
		Member: first.Member, Checks: failed,
	}
}

// validateSkip returns nil if every id may be skipped, and otherwise a *Refusal
// that names those that may not.
func validateSkip(ids []string) error {
	var unknown, firm, skippable []string
	known := prereqs{}.list()
	for _, q := range known {
		if q.skippable {
			skippable = append(skippable, q.id)
		}
	}
	for _, id := range ids {
		i := slices.IndexFunc(known, func(q prereq) bool { return q.id == id })
		switch {
		case i < 0:
			unknown = append(unknown, fmt.Sprintf("%q", id))
		case !known[i].skippable:
			firm = append(firm, id)
		}
	}
	remedy := "These may be skipped: " + strings.Join(skippable, ", ") + "."
	if len(unknown) > 0 {
		return &Refusal{Kind: Invalid, Reason: "CheckUnknown", Remedy: remedy,
			Message: "there is no check called " + strings.Join(unknown, ", ")}
	}
	if len(firm) > 0 {
		return &Refusal{Kind: Invalid, Reason: "CheckNotSkippable", Remedy: remedy,
			Message: "an upgrade cannot go on without " + strings.Join(firm, ", ")}
	}
	return nil
}

// notHere reports whether err says that this operating system cannot tell.
func notHere(err error) bool { return errors.Is(err, errors.ErrUnsupported) }
