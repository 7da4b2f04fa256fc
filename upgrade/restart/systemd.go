package restart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// evidence is what shows of a supervisor from the inside.
type evidence struct {
	self       string // this program, for people
	unit       string // systemd unit of our control group
	user       bool   // of the user's own manager
	invocation bool   // systemd started us or a parent of ours
	notify     bool   // NOTIFY_SOCKET is set
	parent     string // name of the parent process
	hints      []string
}

func (e evidence) String() string {
	s := "parent process " + e.parent
	if e.parent == "" {
		s = "no parent process in sight"
	}
	if e.unit != "" {
		s += ", control group of " + e.unit
	}
	for _, h := range e.hints {
		s += ", " + h
	}
	return s
}

func seeEvidence() evidence {
	e := evidence{
		self:       fmt.Sprintf("process %d", os.Getpid()),
		invocation: os.Getenv("INVOCATION_ID") != "" || os.Getenv("NOTIFY_SOCKET") != "",
		notify:     os.Getenv("NOTIFY_SOCKET") != "",
		parent:     processName(os.Getppid()),
	}
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		e.unit, e.user = unitOf(string(b))
	}
	for v, what := range map[string]string{
		"KUBERNETES_SERVICE_HOST": "in a Kubernetes pod, whose new container would hold the old program",
		"SUPERVISOR_ENABLED":      "under supervisord, whose autorestart does not show",
		"XPC_SERVICE_NAME":        "under launchd, whose KeepAlive does not show",
	} {
		if os.Getenv(v) != "" {
			e.hints = append(e.hints, what)
		}
	}
	slices.Sort(e.hints)
	return e
}

func processName(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// supervisors are those that start a process again, or end with it, and know it by
// its PID, by the name of their own process.
func isSupervisor(name string) bool {
	switch name {
	case "runsv", "s6-supervise", "supervise", "perpd", "supervisord", "launchd", "monit", "circusd", // start it again
		"tini", "dumb-init", "docker-init", "catatonit", "conmon": // end with it
		return true
	}
	return strings.HasPrefix(name, "containerd-shim")
}

// follows returns nil unless whoever watches this process would take its end for
// that of the server, although there is a successor.
func (e evidence) follows(pid int, trust bool) error {
	switch {
	case pid == 1:
		return fmt.Errorf("this is process 1, and its container ends with it: restart by exec in place, or run the server below an init process that waits for all others: %w", errors.ErrUnsupported)
	case e.unit != "" && e.invocation:
		if e.notify {
			return nil
		}
		return fmt.Errorf("%s was started by systemd as %s without NOTIFY_SOCKET, and systemd cannot be told of the successor: set Type=notify in the unit: %w", e.self, e.unit, errors.ErrUnsupported)
	case isSupervisor(e.parent) && !trust:
		return fmt.Errorf("%s, which watches this process, would take its end for that of the server: restart by exec in place, or set Trust if it follows to the successor: %w", e.parent, errors.ErrUnsupported)
	}
	return nil
}

// alone reports whether nobody is seen who starts this process again.
func alone() bool { return seeEvidence().alone(os.Getpid()) }

func (e evidence) alone(pid int) bool {
	return pid != 1 && !(e.unit != "" && e.invocation) && !isSupervisor(e.parent) && len(e.hints) == 0
}

// unitOf finds the service in the text of /proc/self/cgroup: the innermost one,
// as a service may have control groups of its own below it.
func unitOf(cgroup string) (unit string, user bool) {
	for line := range strings.Lines(cgroup) {
		// hierarchy:controllers:path; systemd's is 0 or called name=systemd.
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[0] != "0" && f[1] != "name=systemd" {
			continue
		}
		inUser := false
		for part := range strings.SplitSeq(f[2], "/") {
			if !strings.HasSuffix(part, ".service") {
				continue
			}
			if strings.HasPrefix(part, "user@") {
				inUser = true
				unit = ""
				continue
			}
			unit, user = part, inUser
		}
		if unit != "" {
			return unit, user
		}
	}
	return "", false
}

// unitProperties asks systemd about the unit.
func unitProperties(ctx context.Context, e evidence) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	args := []string{"show", "--property=MainPID,Restart,RestartForceExitStatus,RestartPreventExitStatus,SuccessExitStatus", "--", e.unit}
	if e.user {
		args = append([]string{"--user"}, args...)
	}
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if s := strings.TrimSpace(stderr.String()); s != "" {
			err = fmt.Errorf("%w: %s", err, s)
		}
		return nil, err
	}
	props := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			props[k] = v
		}
	}
	return props, nil
}

// judgeUnit tells whether systemd restarts the unit when its main process exits
// with code: the table of systemd.service(5), Restart=.
func judgeUnit(unit string, pid int, props map[string]string, code int) error {
	if main := props["MainPID"]; main != strconv.Itoa(pid) {
		return fmt.Errorf("process %d is not the main process of %s (that is %s): its end restarts nothing", pid, unit, main)
	}
	lists := func(name string) bool {
		return slices.Contains(strings.FieldsFunc(props[name], func(r rune) bool {
			return strings.ContainsRune(" ,[]", r)
		}), strconv.Itoa(code))
	}
	policy := props["Restart"]
	if lists("RestartPreventExitStatus") {
		return fmt.Errorf("%s has exit status %d in RestartPreventExitStatus=: use another", unit, code)
	}
	if lists("RestartForceExitStatus") {
		return nil
	}
	clean := code == 0 || lists("SuccessExitStatus")
	switch {
	case policy == "always", policy == "on-success" && clean, policy == "on-failure" && !clean:
		return nil
	}
	return fmt.Errorf("%s has Restart=%s, which does not restart on exit status %d: set Restart=always in the unit, or another exit status here", unit, policy, code)
}
