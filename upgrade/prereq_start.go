package upgrade

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// archivePlatform: the release has this program for this machine.
func (p prereqs) archivePlatform(context.Context) finding {
	if p.Release == nil {
		return unjudged("there is no archive yet")
	}
	base := p.Program.Base()
	if f, ok := p.Release.For(p.Platform)[base]; ok {
		return passes("%s, %s", f.Name, spaceText(f.Size))
	}
	var has []string
	for _, f := range p.Release.Files {
		if path.Base(f.Name) == base && f.Platform.OS != "" && !slices.Contains(has, f.Platform.String()) {
			has = append(has, f.Platform.String())
		}
	}
	slices.Sort(has)
	seen := fmt.Sprintf("no %s for %s", base, p.Platform)
	if len(has) > 0 {
		seen += ", only for " + strings.Join(has, ", ")
	} else {
		seen += ", nor for any other platform"
	}
	return fails("The archive has no program for this machine.", seen,
		fmt.Sprintf("Upload an archive that has bin/%s/%s.", p.Platform, base), "")
}

// binaryShared: no other server holds the lock. Processes that run the same
// file without holding one are commands; they are only mentioned.
func (p prereqs) binaryShared(context.Context) finding {
	if p.Lock == nil {
		return unjudged("the program is not locked: the server is not running, or its file system keeps no locks")
	}
	shared, err := p.Lock.shared()
	if err != nil {
		return unjudged("%v", err)
	}
	servers, others, _ := othersRunning(p.Program.Info)
	if !shared {
		if n := len(others); n > 0 {
			return passes("no other server; %d other process(es) of the same program: %s", n, pids(others))
		}
		return passes("no other process runs it")
	}
	seen, command := p.Program.Path+" is locked by another server", shellLine("sudo", "fuser", "-v", p.Program.Path)
	if len(servers) > 0 {
		seen += ": process " + pids(servers)
		command = shellLine("ps", "-o", "pid,user,lstart,args", "-p", strings.ReplaceAll(pids(servers), " ", ""))
	}
	return fails("Another server runs from the same file.", seen,
		"Give each server a copy of the program in a directory of its own, or stop the other one.", command)
}

func pids(all []int) string {
	var s []string
	for _, n := range all {
		s = append(s, fmt.Sprint(n))
	}
	return strings.Join(s, ", ")
}

// A method may find fault with a child process that is about to end, perhaps one
// that another check started; only a fault that lasts is one.
const (
	restartTries = 4
	restartPause = 200 * time.Millisecond
)

// restartMethod: the method itself expects to work. Live children under exec in
// place are among what it finds; therefore it can be skipped.
func (p prereqs) restartMethod(ctx context.Context) finding {
	if p.Method.Restart == nil {
		return fails("The server cannot be started over.", "no way to restart is configured",
			"Configure one: exec in place, exit for a supervisor, or a command.", "")
	}
	if p.Method.Check == nil {
		return unjudged("%s cannot tell beforehand", p.Method.Name)
	}
	err := p.Method.Check(ctx, p.Program.Path)
	for range restartTries - 1 {
		if err == nil {
			break
		}
		select {
		case <-time.After(restartPause):
			err = p.Method.Check(ctx, p.Program.Path)
		case <-ctx.Done():
		}
	}
	if err != nil {
		return fails("The server cannot be started over.", fmt.Sprintf("%s: %v", p.Method.Name, err),
			"Do as it says, or configure another way to restart.", p.restartHint())
	}
	return passes("%s", p.Method.Name)
}

// restartHint is how to see the children, and the rights, that a method may
// have found fault with.
func (p prereqs) restartHint() string {
	return shellLine("ps", "-o", "pid,ppid,stat,args", "--pid", fmt.Sprint(os.Getpid()), "--ppid", fmt.Sprint(os.Getpid()))
}

// newProgramStarts: it was started once and answered.
func (p prereqs) newProgramStarts(ctx context.Context) finding {
	if p.probe == nil {
		return unjudged("nothing is started before a run")
	}
	if err := p.probe(ctx); err != nil && p.Back != "" {
		return fails("The program from before does not start on this machine any more.", err.Error(),
			"Mend what its last words say, or install a release that starts.", "")
	} else if err != nil {
		return fails("The new program does not start on this machine.", err.Error(),
			fmt.Sprintf("Mend what its last words say: upgrade.Probe is the first line of its main, and it is built for %s as this machine has it (C library, processor level). Then unstage, and stage the new archive.", p.Platform), "")
	}
	return passes("it started as a probe and answered")
}

// failedBefore: the program of the release is not one that was put back here.
func (p prereqs) failedBefore(context.Context) finding {
	todo := "Build another release. If what went wrong was not the program's fault, skip this check."
	next := p.Back
	switch {
	case next != "":
		todo = "Install a release that works. If what went wrong was not the program's fault, skip this check."
	case p.Release == nil:
		return unjudged("there is no archive yet")
	default:
		f, ok := p.Release.For(p.Platform)[p.Program.Base()]
		if !ok {
			return unjudged("the archive has no program for this machine")
		}
		next = f.Digest
	}
	if len(p.Failed) == 0 {
		return passes("none was put back here")
	}
	for _, was := range slices.Backward(p.Failed) {
		if was.Program == next {
			return fails("The new program was put back here before.", fmt.Sprintf("%s %s", was.Version, was.Why),
				todo, "")
		}
	}
	return passes("%s", next)
}
