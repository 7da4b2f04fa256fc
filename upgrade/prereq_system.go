package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fileSystem: it can be written to, and starts programs.
func (p prereqs) fileSystem(context.Context) finding {
	dir := p.Program.Dir()
	m, err := mountOf(dir)
	switch {
	case notHere(err):
		return unjudged("this operating system is not asked for its mounts")
	case errors.Is(err, fs.ErrNotExist):
		return unjudged("%s is not there, see binary-unchanged", dir)
	case err != nil:
		return fails("The file system of the program cannot be looked at.", err.Error(),
			"See whether that disk answers.", shellLine("findmnt", "-T", dir))
	}
	where := fmt.Sprintf("%s (%s)", m.Point, m.Type)
	if m.Point == "" {
		where = dir
	}
	unit := systemdUnit(p.root)
	switch {
	case m.ReadOnly && !m.Whole && unit != "":
		// Only this service sees it so: ProtectSystem= and the like.
		return fails("The directory of the program is read-only for the server.", where+" is mounted read-only for "+unit,
			"Let the service write to that directory, or move the program to its state directory.",
			dropIn(unit, "upgrade", "ReadWritePaths="+dir))
	case m.ReadOnly:
		return fails("The file system of the program is read-only.", where+" is mounted read-only",
			"Mount it for writing, or install the program on another file system.", remount("rw", m, dir))
	case m.NoExec:
		return fails("No program can be started from the file system of the program.", where+" is mounted noexec",
			"Mount it without noexec, or install the program on another file system.", remount("exec", m, dir))
	}
	return passes("%s on %s", dir, where)
}

func remount(option string, m hostMount, dir string) string {
	if m.Point == "" {
		return shellLine("findmnt", "-T", dir)
	}
	if option == "rw" && !m.Whole {
		option = "bind,rw" // the file system is writable, this mount of it is not
	}
	return shellLine("sudo", "mount", "-o", "remount,"+option, m.Point)
}

// container: the program lies in an image, whose next instance has the old one
// again. The file system below it is the best witness; the usual marks are of
// use where that is an ordinary one. A mark that is found on ordinary machines
// as well does not speak alone, and on a volume mounted into the container a
// new program lasts.
func (p prereqs) container(context.Context) finding {
	m, err := mountOf(p.Program.Path)
	if err != nil {
		m, err = mountOf(p.Program.Dir())
	}
	if err != nil && !notHere(err) {
		return unjudged("%v", err)
	}
	strong, weak := p.marks()
	return judgeContainer(m, p.Program.Path, strong, weak)
}

func judgeContainer(m hostMount, path string, strong, weak []string) finding {
	layered := m.Type == "overlay" || m.Type == "aufs" || m.Type == "fuse.fuse-overlayfs"
	all := slices.Concat(strong, weak)
	if layered {
		all = append([]string{m.Type + " file system under " + path}, all...)
	}
	seen := strings.Join(all, ", ")
	if layered || (m.Point == "/" || m.Point == "") && (len(strong) > 0 || len(weak) > 1) {
		return fails("The program belongs to a container image.", seen,
			"Build an image with the new program and replace the container, or keep the program on a volume.", "")
	}
	switch {
	case len(all) == 0:
		return passes("no mark of a container")
	case len(strong) > 0 || len(weak) > 1:
		return passes("in a container (%s), but on what is mounted at %s", seen, m.Point)
	}
	return passes("%s alone proves nothing", seen)
}

// marks returns what container managers leave to be seen. Managers of whole
// machines (LXC, nspawn), whose file systems last, are not among them.
func (p prereqs) marks() (strong, weak []string) {
	at := func(path string) string { return filepath.Join("/", p.root, path) }
	if _, err := os.Lstat(at("run/.containerenv")); err == nil {
		strong = append(strong, "/run/.containerenv")
	}
	if text, err := os.ReadFile(at("run/systemd/container")); err == nil {
		switch name := strings.TrimSpace(string(text)); name {
		case "docker", "podman", "oci", "rkt", "wsl-docker":
			strong = append(strong, "/run/systemd/container ("+name+")")
		}
	}
	for _, file := range []string{"proc/self/cgroup", "proc/1/cgroup"} {
		text, err := os.ReadFile(at(file))
		if err != nil {
			continue
		}
		if word := cgroupMark(string(text)); word != "" {
			strong = append(strong, "/"+file+" ("+word+")")
			break
		}
	}
	if _, err := os.Lstat(at(".dockerenv")); err == nil {
		weak = append(weak, "/.dockerenv")
	}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		weak = append(weak, "KUBERNETES_SERVICE_HOST")
	}
	return strong, weak
}

// cgroupMark returns the element of a control group's path by which a container
// manager gives itself away. A manager's own service, docker.service, does not.
func cgroupMark(text string) string {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for element := range strings.SplitSeq(f[2], "/") {
			if element == "docker" || element == "kubepods" || element == "kubepods.slice" {
				return element
			}
			for _, prefix := range []string{"docker-", "libpod-", "cri-containerd-", "crio-"} {
				if strings.HasPrefix(element, prefix) && !strings.HasSuffix(element, ".service") {
					return element
				}
			}
		}
	}
	return ""
}

// binaryInPackage asks the databases of dpkg and rpm.
func (p prereqs) binaryInPackage(ctx context.Context) finding {
	path := p.Program.Path
	const title, todo = "A package manager claims the program.", "Upgrade it as a package, or keep the package manager from touching it."
	if name := dpkgOwner(ctx, p.root, path); name != "" {
		return fails(title, path+" belongs to the Debian package "+name, todo, shellLine("sudo", "apt-mark", "hold", name))
	}
	if name := rpmOwner(ctx, p.root, path); name != "" {
		return fails(title, path+" belongs to the RPM package "+name, todo, shellLine("sudo", "dnf", "versionlock", "add", name))
	}
	if ctx.Err() != nil {
		return unjudged("the databases of packages did not answer in time")
	}
	return passes("no package has %s", path)
}

// dpkgOwner returns the Debian package that lists path. A package may still
// name /bin/x where /bin has become a link to /usr/bin.
func dpkgOwner(ctx context.Context, root, path string) string {
	names := []string{"\n" + path + "\n"}
	if short, ok := strings.CutPrefix(path, "/usr"); ok {
		names = append(names, "\n"+short+"\n")
	}
	lists, _ := filepath.Glob(filepath.Join("/", root, "var/lib/dpkg/info/*.list"))
	for _, list := range lists {
		if ctx.Err() != nil {
			return ""
		}
		text, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, n := range names {
			if bytes.Contains(text, []byte(n)) {
				return strings.TrimSuffix(filepath.Base(list), ".list")
			}
		}
	}
	return ""
}

// rpmOwner asks rpm, whose database has a form of its own, if this machine
// has one.
func rpmOwner(ctx context.Context, root, path string) string {
	found := false
	for _, db := range []string{"var/lib/rpm", "usr/lib/sysimage/rpm"} {
		files, _ := filepath.Glob(filepath.Join("/", root, db, "[Prp]*"))
		found = found || len(files) > 0
	}
	tool, err := exec.LookPath("rpm")
	if !found || err != nil {
		return ""
	}
	cmd := exec.CommandContext(ctx, tool, "-qf", "--queryformat", "%{NAME}", path)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "" // no package has it, or nobody knows: this is only a warning
	}
	return strings.TrimSpace(string(out))
}
