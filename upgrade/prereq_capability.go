package upgrade

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/leaderlast/leaderlast/capabilities"
)

// capabilityMethod: what the program has of file capabilities can be given to
// the file that will take its place. It is tried on a file of that name, because
// a rule of sudo may permit that one alone.
func (p prereqs) capabilityMethod(ctx context.Context) finding {
	text, err := capabilities.Text(p.Program.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return unjudged("%s is not there, see binary-unchanged", p.Program.Path)
	case err != nil:
		return fails("The file capabilities of the program cannot be read.", err.Error(),
			"Look at them as root, and give the program ones of the running system.",
			shellLine("sudo", "getcap", "-n", p.Program.Path))
	case text == "":
		return passes("%s has no file capabilities", p.Program.Path)
	}
	const title = "The file capabilities of the program cannot be given to a new one."
	if p.Copier == nil {
		return fails(title, p.Program.Path+" has "+text+", and nothing is configured to give them",
			"Configure a Copier, or have the service manager grant them (AmbientCapabilities= of systemd) and remove them from the file.",
			shellLine("sudo", "setcap", "-r", p.Program.Path))
	}
	next := p.Program.NextPath()
	err = p.Copier.Check(ctx, next, p.Program.Path)
	switch {
	case err == nil:
		return passes("%s can be given", text)
	case errors.Is(err, fs.ErrExist):
		return fails(title, err.Error(), "Remove what an earlier upgrade left behind.", shellLine("sudo", "rm", next))
	case errors.Is(err, fs.ErrPermission) && !capabilityWord(err):
		if mayWrite := tryWrite(p.Program.Dir(), p.tryPrefix()); mayWrite != nil {
			return unjudged("no file can be created to try it on, see dir-writable")
		}
	case errors.Is(err, capabilities.ErrNoNewPrivileges):
		return fails(title, "it takes sudo, which cannot work under no-new-privileges",
			"Have the service manager grant "+text+" instead, and remove it from the file.", p.ambient(text))
	}
	return fails(title, text+": "+err.Error(),
		"Allow "+whoRuns()+" to run just that command without a password.", p.sudoersCommand())
}

// capabilityWord reports whether err comes from giving capabilities, and not
// from creating the file to try it on.
func capabilityWord(err error) bool {
	var path *fs.PathError
	return !errors.As(err, &path) || path.Op != "open"
}

// sudoersCommand installs the rule that the Copier of this library needs. Others
// are not known here.
func (p prereqs) sudoersCommand() string {
	f, ok := p.Copier.(capabilities.File)
	if !ok {
		return ""
	}
	rule, err := f.Rule(p.Program.NextPath(), p.Program.Path)
	if err != nil || rule == "" {
		return ""
	}
	// sudo reads no file with a dot in its name.
	file := "/etc/sudoers.d/" + strings.ReplaceAll(strings.TrimLeft(p.Program.Base(), "."), ".", "-") + "-upgrade"
	write := "printf '%s\\n' " + shellLine(rule)
	return write + " | sudo visudo -cf - && " + write + " | " +
		shellLine("sudo", "install", "-m", "0440", "/dev/stdin", file)
}

// noNewPrivileges: nothing keeps file capabilities from taking effect.
func (p prereqs) noNewPrivileges(context.Context) finding {
	text, err := capabilities.Text(p.Program.Path)
	if err != nil {
		return unjudged("the file capabilities of %s cannot be read, see capability-method", p.Program.Path)
	}
	if text == "" {
		return passes("%s has no file capabilities", p.Program.Path)
	}
	set, err := noNewPrivs()
	switch {
	case err != nil:
		return unjudged("%v", err)
	case !set:
		return passes("no-new-privileges is not set")
	}
	return fails("The program has file capabilities, and the server runs under no-new-privileges.",
		p.Program.Path+" has "+text,
		"Have the service manager grant them instead (AmbientCapabilities= of systemd) and remove them from the file, or unset NoNewPrivileges=.",
		p.ambient(text))
}

// ambient is the command that moves capabilities from the program to its
// service.
func (p prereqs) ambient(text string) string {
	remove := shellLine("sudo", "setcap", "-r", p.Program.Path)
	unit := systemdUnit(p.root)
	if unit == "" {
		return remove
	}
	var names []string
	for clause := range strings.FieldsSeq(text) {
		list, _, _ := strings.Cut(clause, "=")
		for name := range strings.SplitSeq(list, ",") {
			if strings.HasPrefix(name, "cap_") {
				names = append(names, strings.ToUpper(name))
			}
		}
	}
	if len(names) == 0 || os.Geteuid() == 0 {
		return remove
	}
	return remove + " && " + dropIn(unit, "capabilities", "AmbientCapabilities="+strings.Join(names, " "))
}
