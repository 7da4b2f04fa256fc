package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/leaderlast/leaderlast/capabilities"
)

// fileWritable: a rename may take the place of the program and its companions.
// Being able to write into the file, which the reference asks for, is neither
// needed nor of use: a running program refuses it. A file that belongs to
// somebody else is no obstacle, only the new one will be ours.
func (p prereqs) fileWritable(context.Context) finding {
	paths := []string{p.Program.Path}
	for _, c := range p.Companions {
		path := filepath.Join(p.Program.Dir(), c)
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			paths = append(paths, path)
		}
	}
	seen := p.describe(p.Program.Path)
	for _, path := range paths {
		err := mayReplace(path)
		switch {
		case err == nil:
		case notHere(err):
			return unjudged("this operating system tells only when it is done")
		case errors.Is(err, fs.ErrNotExist):
			return unjudged("%s is not there, see binary-unchanged", path)
		case errors.Is(err, syscall.EROFS):
			return unjudged("%s is read-only, see file-system", p.Program.Dir())
		case errors.Is(err, syscall.EACCES):
			return unjudged("%s may not be written, see dir-writable", p.Program.Dir())
		default:
			return p.irreplaceable(path, err)
		}
		if m, err := mountOf(path); err == nil && m.Point == path {
			return fails("The program is mounted as a single file.", path+" is a mount point",
				"Mount the directory that holds it instead: nothing can be renamed over a mount point.",
				shellLine("findmnt", path))
		}
		seen += p.fallbacks(path)
	}
	return passes("%s", seen)
}

// fallbacks says what becomes of the owner of a file that is not ours, and how
// it is kept.
func (p prereqs) fallbacks(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	uid, _, ok := fileOwner(info)
	if !ok || uid == os.Geteuid() || os.Geteuid() == 0 {
		return ""
	}
	what := fmt.Sprintf("; %s may replace it, since the directory permits it, but not give it back: the new file will be its own",
		whoRuns())
	if linkForbidden(path, uid) {
		what += ", and the old one is kept as a copy"
	}
	return what
}

// irreplaceable says why the kernel does not let go of a file in a directory
// that is writable.
func (p prereqs) irreplaceable(path string, err error) finding {
	const title = "The server may not put another file in the place of its program."
	dir := filepath.Dir(path)
	if immutable, appendOnly := fileFlags(path); immutable || appendOnly {
		return fails(title, path+" is "+flagNames(immutable, appendOnly),
			"Remove the attribute from the file.", unflag(path, immutable, appendOnly))
	}
	if immutable, appendOnly := fileFlags(dir); immutable || appendOnly {
		return unjudged("%s may not be written, see dir-writable", dir)
	}
	if info, serr := os.Lstat(dir); serr == nil && info.Mode()&fs.ModeSticky != 0 {
		seen := fmt.Sprintf("%s, sticky; %s; the server runs as %s", p.describe(dir), p.describe(path), whoRuns())
		command := shellLine("sudo", "chown", fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid()), path)
		if text, cerr := capabilities.Text(path); cerr == nil && text != "" {
			command += " && " + shellLine("sudo", "setcap", text, path) // chown takes them away
		}
		return fails(title, seen, "In a sticky directory a file can be replaced by its owner alone: "+
			"give the program to the server's user, or move it to a directory of its own.", command)
	}
	return fails(title, err.Error(), "Move the program to a directory of its own that the server's user may write, and start it from there.",
		p.moveAway())
}

// previousKept: nothing but files of ours lies where files of ours are to go.
func (p prereqs) previousKept(context.Context) finding {
	for _, path := range []string{
		p.Program.NextPath(), p.Program.PreviousPath(), p.Program.keptPath(), p.Program.listPath(),
		p.Program.retiredPath(), p.Program.probePath(), p.Program.journalPath(), p.Program.sparePath(),
	} {
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			return fails("Something else lies where the upgrade keeps a file.",
				fmt.Sprintf("%s is no regular file (%v)", path, info.Mode()),
				"Move it out of the way.", shellLine("sudo", "mv", "-n", path, path+".moved"))
		}
	}
	if info, err := os.Lstat(p.Program.PreviousPath()); err == nil {
		return passes("a previous program is kept, %s", spaceText(info.Size()))
	}
	return passes("no previous program is kept yet")
}

func flagNames(immutable, appendOnly bool) string {
	var names []string
	if immutable {
		names = append(names, "immutable (chattr +i)")
	}
	if appendOnly {
		names = append(names, "append-only (chattr +a)")
	}
	return strings.Join(names, " and ")
}

func unflag(path string, immutable, appendOnly bool) string {
	flags := "-"
	if immutable {
		flags += "i"
	}
	if appendOnly {
		flags += "a"
	}
	return shellLine("sudo", "chattr", flags, path)
}
