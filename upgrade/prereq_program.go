package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// journal: one that could not be read is not written over either.
func (p prereqs) journal(context.Context) finding {
	if p.Journal == nil {
		return passes("%s", p.Program.journalPath())
	}
	return fails("The journal beside the program cannot be read.", p.Journal.Error(),
		"Mend it, or move it away; start the server again then. Without it releases older than the newest one installed here are no longer refused, nor unsigned ones where those are allowed.",
		shellLine("cat", p.Program.journalPath()))
}

// binaryPath: there is a file to replace, and it is known which.
func (p prereqs) binaryPath(context.Context) finding {
	path := p.Program.Path
	const title = "The server cannot find its own program."
	if path == "" || p.Program.Info == nil {
		seen := "the operating system does not tell from which file this process runs"
		if link, err := os.Readlink("/proc/self/exe"); err == nil {
			seen = "this process runs from " + link
		}
		return fails(title, seen, "Start the server from a program that lies on a disk, by its full path.", "")
	}
	if !p.Program.Info.Mode().IsRegular() {
		return fails(title, fmt.Sprintf("%s is no regular file (%v)", path, p.Program.Info.Mode()),
			"Start the server from a program that lies on a disk, by its full path.", "")
	}
	if now, err := os.Lstat(path); err == nil && now.Mode()&fs.ModeSymlink != 0 {
		target, _ := os.Readlink(path)
		return fails("The path of the program is a symbolic link.", fmt.Sprintf("%s points to %s", path, target),
			"Name the file itself: a rename would replace the link.", shellLine("readlink", "-f", path))
	}
	return passes("running program is %s", path)
}

// binaryUnchanged: the file at the path is still the one that runs.
func (p prereqs) binaryUnchanged(context.Context) finding {
	path := p.Program.Path
	now, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.binaryGone()
	case err != nil:
		return fails("The program cannot be looked at any more.", err.Error(),
			"Make its directory accessible to "+whoRuns()+".", shellLine("namei", "-l", path))
	case now.Mode()&fs.ModeSymlink != 0:
		return unjudged("%s is a symbolic link, see binary-path", path)
	case os.SameFile(now, p.Program.Info):
		if now.Size() != p.Program.Info.Size() {
			return fails("The program was overwritten since the server started.",
				fmt.Sprintf("%s has %d bytes, had %d", path, now.Size(), p.Program.Info.Size()),
				"Restart the server, so that it runs what lies there.", p.restartCommand())
		}
		return passes("%s is the file that runs", path)
	}
	seen := fmt.Sprintf("%s is another file, from %s", path, now.ModTime().UTC().Format(time.RFC3339))
	if kept, err := os.Lstat(p.Program.PreviousPath()); err == nil && os.SameFile(kept, p.Program.Info) {
		seen = fmt.Sprintf("%s; what runs is kept as %s: an upgrade was put in place and the server not restarted",
			seen, p.Program.PreviousPath())
	}
	return fails("The program was replaced since the server started.", seen,
		"Restart the server, so that it runs what lies there, or put back what was there before.", p.restartCommand())
}

// binaryGone finds out what became of a program that has lost its name.
func (p prereqs) binaryGone() finding {
	path := p.Program.Path
	moved := ""
	if link, same := runningFile(p.Program.Info); same {
		if at, err := os.Lstat(link); err == nil && os.SameFile(at, p.Program.Info) {
			moved = link
		}
	}
	if entries, err := os.ReadDir(p.Program.Dir()); moved == "" && err == nil {
		for _, e := range entries {
			if at, err := e.Info(); err == nil && os.SameFile(at, p.Program.Info) {
				moved = filepath.Join(p.Program.Dir(), e.Name())
				break
			}
		}
	}
	if moved != "" {
		return fails("The program was moved since the server started.", fmt.Sprintf("%s is now %s", path, moved),
			"Move it back, or restart the server from where it lies now.", shellLine("sudo", "mv", "-n", moved, path))
	}
	command := ""
	if _, same := runningFile(p.Program.Info); same {
		// The process keeps the file alive, without a name.
		exe := fmt.Sprintf("/proc/%d/exe", os.Getpid())
		command = shellLine("sudo", "cp", "--preserve=all", exe, path)
		if restart := p.restartCommand(); restart != "" {
			command += " && " + restart
		}
	}
	return fails("The program was deleted since the server started.", path+" does not exist any more",
		"Put the program back and restart the server.", command)
}

// restartCommand starts the service over, "" if it is not known how.
func (p prereqs) restartCommand() string {
	if unit := systemdUnit(p.root); unit != "" {
		return shellLine("sudo", "systemctl", "restart", unit)
	}
	return ""
}

// dirWritable: files can be made, renamed and removed beside the program. It is
// tried, since modes say little about what a kernel will permit.
func (p prereqs) dirWritable(context.Context) finding {
	dir := p.Program.Dir()
	const title = "The server cannot create files beside its own program."
	owned := p.describe(dir)
	if immutable, appendOnly := fileFlags(dir); immutable || appendOnly {
		// Not tried: in an append-only one the attempt could not be removed.
		return fails(title, owned+"; "+flagNames(immutable, appendOnly),
			"Remove the attribute from the directory.", unflag(dir, immutable, appendOnly))
	}
	err := tryWrite(dir, p.tryPrefix())
	switch {
	case err == nil:
		return passes("%s", owned)
	case errors.Is(err, fs.ErrNotExist):
		return unjudged("%s is not there, see binary-unchanged", dir)
	case errors.Is(err, syscall.EROFS):
		if m, merr := mountOf(dir); merr == nil && m.ReadOnly {
			return unjudged("%s is read-only, see file-system", dir)
		}
		return fails(title, err.Error(), "Make "+dir+" writable.", shellLine("findmnt", "-T", dir))
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fails(title, err.Error(), "Make room for files, not only for bytes, or raise the quota.",
			shellLine("df", "-h", dir)+" && "+shellLine("df", "-i", dir))
	}
	seen := fmt.Sprintf("%s; the server runs as %s", owned, whoRuns())
	if systemDir(dir) {
		return fails(title, seen, "Move the program to a directory of its own that the server's user may write, and start it from there.",
			p.moveAway())
	}
	return fails(title, seen, "Give the directory to the server's user.",
		shellLine("sudo", "chown", fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid()), dir))
}

// tryPrefix begins the names of the files that are made to see whether they can be.
func (p prereqs) tryPrefix() string { return "." + p.Program.Base() + ".check-" }

// tryWrite makes a file in dir, renames it and removes it, and sweeps what an
// attempt left behind that was killed half-way.
func tryWrite(dir, prefix string) (err error) {
	left, _ := filepath.Glob(filepath.Join(dir, globQuote(prefix)+"*"))
	for _, l := range left {
		if info, err := os.Lstat(l); err == nil && time.Since(info.ModTime()) > time.Minute {
			os.Remove(l)
		}
	}
	f, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return err
	}
	name := f.Name()
	defer func() {
		if rerr := os.Remove(name); err == nil {
			err = rerr
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(name, name+"-renamed"); err != nil {
		return err
	}
	name += "-renamed"
	return nil
}

// globQuote makes a pattern that matches s alone.
func globQuote(s string) string {
	var b []rune
	for _, r := range s {
		if slices.Contains([]rune(`*?[\`), r) {
			b = append(b, '\\')
		}
		b = append(b, r)
	}
	return string(b)
}

// systemDir reports whether other programs live in dir, so that its owner is
// not ours to change.
func systemDir(dir string) bool {
	return slices.Contains([]string{"/", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin",
		"/usr/local/sbin", "/usr/libexec", "/usr/lib", "/opt", "/srv", "/etc", "/tmp", "/var/tmp"}, dir)
}

// moveAway is the command that gives the program a directory of its own.
func (p prereqs) moveAway() string {
	dir := filepath.Join("/opt", p.Program.Base())
	if dir == p.Program.Path {
		dir = filepath.Join("/srv", p.Program.Base())
	}
	return shellLine("sudo", "install", "-d", "-o", fmt.Sprint(os.Geteuid()), "-g", fmt.Sprint(os.Getegid()), dir) +
		" && " + shellLine("sudo", "cp", "--preserve=all", p.Program.Path, dir+"/")
}

// describe tells owner and mode of path: "/opt/provd is root:root 0755".
func (p prereqs) describe(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return err.Error()
	}
	mode := uint32(info.Mode().Perm())
	if info.Mode()&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	if uid, gid, ok := fileOwner(info); ok {
		return fmt.Sprintf("%s is %s:%s %04o", path, userName(uid), groupName(gid), mode)
	}
	return fmt.Sprintf("%s is %04o", path, mode)
}
