package upgrade

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kballard/go-shellquote"
)

// A hostMount is the mount that a file lies on.
type hostMount struct {
	Point    string // where it is mounted
	Type     string // "ext4", "overlay"
	ReadOnly bool
	NoExec   bool
	Whole    bool // if ReadOnly: the file system itself, not this view of it
}

// A hostSpace is what a file system has left for the server.
type hostSpace struct {
	Free   int64 // bytes
	Total  int64
	Inodes int64 // free ones; -1 if the file system does not count them
	Dev    uint64
}

// mountLine is one line of mountinfo; see proc_pid_mountinfo(5).
type mountLine struct {
	id         uint64
	point, typ string
	options    []string // of this mount
	super      []string // of the file system
}

func parseMounts(text []byte) []mountLine {
	var all []mountLine
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		// The fields before " - " vary in number.
		left, right, ok := strings.Cut(lines.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 2 {
			continue
		}
		id, err := strconv.ParseUint(l[0], 10, 64)
		if err != nil {
			continue
		}
		m := mountLine{id: id, point: unoctal(l[4]), typ: r[0], options: strings.Split(l[5], ",")}
		if len(r) > 2 {
			m.super = strings.Split(r[2], ",")
		}
		all = append(all, m)
	}
	return all
}

// mountAt returns the mount with that id or, if id is 0, the one that is
// nearest to path. Of several at one place the last hides the others.
func mountAt(all []mountLine, id uint64, path string) (mountLine, bool) {
	var best mountLine
	found := false
	for _, m := range all {
		if id != 0 {
			if m.id == id {
				return m, true
			}
			continue
		}
		under := m.point == "/" || path == m.point || strings.HasPrefix(path, m.point+"/")
		if under && len(m.point) >= len(best.point) {
			best, found = m, true
		}
	}
	return best, found
}

// unoctal undoes the escapes of spaces, tabs, line ends and backslashes.
func unoctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// hostName returns the name that file, of the form of /etc/passwd and
// /etc/group, has for id, or the number. A directory service is not asked: it
// may not answer.
func hostName(file string, id int) string {
	number := strconv.Itoa(id)
	text, err := os.ReadFile(file)
	if err != nil {
		return number
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == number {
			return f[0]
		}
	}
	return number
}

func userName(id int) string  { return hostName("/etc/passwd", id) }
func groupName(id int) string { return hostName("/etc/group", id) }

// whoRuns names the user that the server runs as.
func whoRuns() string {
	uid := os.Geteuid()
	return fmt.Sprintf("%s (uid %d)", userName(uid), uid)
}

// systemdUnit returns the system service that the server runs in, "" if there
// is none.
func systemdUnit(root string) string {
	text, err := os.ReadFile(filepath.Join("/", root, "proc/self/cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[1] != "" && f[1] != "name=systemd" || strings.Contains(f[2], "/user@") {
			continue
		}
		elements := strings.Split(f[2], "/")
		for i := len(elements) - 1; i >= 0; i-- {
			if strings.HasSuffix(elements[i], ".service") {
				return elements[i]
			}
		}
	}
	return ""
}

// dropIn returns the command that adds setting to a unit and restarts it.
func dropIn(unit, name, setting string) string {
	dir := "/etc/systemd/system/" + unit + ".d"
	return shellLine("sudo", "mkdir", "-p", dir) +
		" && printf '[Service]\\n%s\\n' " + shellLine(setting) +
		" | " + shellLine("sudo", "tee", dir+"/"+name+".conf") +
		" && sudo systemctl daemon-reload && " + shellLine("sudo", "systemctl", "restart", unit)
}

// shellLine joins words to a command that a shell splits into them again.
func shellLine(words ...string) string { return shellquote.Join(words...) }
