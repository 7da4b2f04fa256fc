package upgrade

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaderlast/leaderlast/capabilities"
)

// prereqsElsewhere says what another process is to check.
type prereqsElsewhere struct {
	Path       string // of the program
	Self       bool   // that process is the program
	User       int    // 0: as this one
	NoNewPrivs bool
	Delete     bool // the program, first
	MoveTo     string
	Recover    bool // run the command of the fix for that, after
	Command    string
	Hold       bool // serve instead: hold the program, until standard input says more
	Replace    bool // then exec something that holds nothing
}

const prereqsElsewhereKey = "LEADERLAST_TEST_PREREQS"

// runPrereqsElsewhere judges the prerequisites in another process.
func runPrereqsElsewhere(t *testing.T, job prereqsElsewhere) []Check {
	t.Helper()
	cmd := prereqChild(t, job)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, said.Bytes())
	}
	var checks []Check
	_, doc, _ := strings.Cut(string(out), "CHECKS ")
	if err := json.NewDecoder(strings.NewReader(doc)).Decode(&checks); err != nil {
		t.Fatalf("%v: %s%s", err, out, said.Bytes())
	}
	return checks
}

func prereqChild(t *testing.T, job prereqsElsewhere) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	self := job.Path
	if !job.Self {
		self = filepath.Join(prereqOpenDir(t), "test")
		prereqCopySelf(t, self)
	}
	cmd := exec.Command(self, "-test.run=^TestPrereqsElsewhere$")
	cmd.Env = append(os.Environ(), prereqsElsewhereKey+"="+string(text))
	cmd.Dir = "/"
	if job.User != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(job.User), Gid: uint32(job.User)}}
	}
	return cmd
}

// prereqOpenDir is a directory that every user can reach.
func prereqOpenDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "prereq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func prereqCopySelf(t *testing.T, to string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(to, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func prereqSameBytes(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s has %d bytes, %s %d", a, len(x), b, len(y))
	}
}

// TestPrereqsElsewhere is that other process.
func TestPrereqsElsewhere(t *testing.T) {
	text := os.Getenv(prereqsElsewhereKey)
	if text == "" {
		return
	}
	var job prereqsElsewhere
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	if set, err := noNewPrivs(); err != nil {
		t.Fatal(err)
	} else if job.NoNewPrivs && !set {
		// It belongs to a thread; an exec makes it that of the process.
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		t.Fatal(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	p := soundPrereqs(t)
	p.Program = prereqProgramAt(t, job.Path)
	p.Lock, p.Release = nil, nil
	p.Copier = capabilities.File{Command: job.Command}
	if job.Hold {
		holdUntilTold(t, p.Program, job.Replace)
		return
	}
	if job.Delete {
		if err := os.Remove(job.Path); err != nil {
			t.Fatal(err)
		}
	}
	if job.MoveTo != "" {
		if err := os.Rename(job.Path, job.MoveTo); err != nil {
			t.Fatal(err)
		}
	}
	checks := p.run(t.Context())
	if job.Recover {
		if out, err := exec.Command("sh", "-c", checkIn(t, checks, "binary-unchanged").Fix.Command).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	doc, err := json.Marshal(checks)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("CHECKS %s\n", doc)
}

func holdUntilTold(t *testing.T, program Program, replace bool) {
	lock, err := program.hold()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	fmt.Println("HOLDING")
	in := bufio.NewReader(os.Stdin)
	in.ReadString('\n')
	if replace {
		t.Fatal(syscall.Exec("/bin/sh", []string{"sh", "-c", "echo REPLACED; read line"}, os.Environ()))
	}
}

const prereqUser = 65534

// What the kernel lets an ordinary user do is not what modes alone say.
func TestPrereqsOfAnOrdinaryUser(t *testing.T) {
	prereqNeedsRoot(t)
	prereqNeedsTool(t, "setcap")
	prereqNeedsTool(t, "sudo")
	for name, test := range map[string]struct {
		dirOwner, fileOwner int
		dirMode             os.FileMode
		caps                bool
		id                  string
		want                Result
		says, fix           string
		fixed               bool
	}{
		"own directory and file": {prereqUser, prereqUser, 0o755, false, "file-writable", Pass, "nogroup", "", false},
		"root's file in a directory of ours": {prereqUser, 0, 0o755, false, "file-writable", Pass,
			"the new file will be its own, and the old one is kept as a copy", "", false},
		"root's directory":           {0, 0, 0o755, false, "dir-writable", Fail, "root:root 0755; the server runs as nobody (uid 65534)", "chown 65534:65534", true},
		"root's directory, our file": {0, prereqUser, 0o755, false, "file-writable", NotRun, "see dir-writable", "", false},
		"sticky, root's file":        {0, 0, 0o777 | os.ModeSticky, false, "file-writable", Fail, "sticky", "chown 65534:65534", true},
		"sticky, root's file with capabilities": {0, 0, 0o777 | os.ModeSticky, true, "file-writable", Fail,
			"sticky", "setcap cap_net_bind_service=ep", true},
		"sticky, our file":           {0, prereqUser, 0o777 | os.ModeSticky, false, "file-writable", Pass, "provd", "", false},
		"capabilities, no rule":      {prereqUser, prereqUser, 0o755, true, "capability-method", Fail, "password", "/etc/sudoers.d/provd-upgrade", false},
		"capabilities, no directory": {0, prereqUser, 0o755, true, "capability-method", NotRun, "see dir-writable", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := prereqOpenDir(t)
			path := filepath.Join(dir, "provd")
			prereqWrite(t, path, "x")
			for _, err := range []error{os.Chown(path, test.fileOwner, test.fileOwner),
				os.Chown(dir, test.dirOwner, test.dirOwner), os.Chmod(dir, test.dirMode)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if test.caps {
				prereqCommand(t, "setcap", "cap_net_bind_service=ep", path)
			}
			run := func() Check {
				return checkIn(t, runPrereqsElsewhere(t, prereqsElsewhere{Path: path, User: prereqUser}), test.id)
			}
			c := run()
			if c.Result != test.want || !strings.Contains(c.Seen, test.says) || !strings.Contains(c.Fix.Command, test.fix) ||
				(c.Result == Fail) != (c.Fix.Text != "") {
				t.Errorf("%+v", c)
			}
			if test.fixed && !t.Failed() {
				if out, err := exec.Command("sh", "-c", c.Fix.Command).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", c.Fix.Command, err, out)
				}
				if c := run(); c.Result != Pass {
					t.Errorf("after the fix: %+v", c)
				}
				if got, err := capabilities.Text(path); err != nil || (got != "") != test.caps {
					t.Errorf("capabilities after the fix: %q, %v", got, err)
				}
			}
			if names := prereqListing(t, dir); len(names) != 1 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

// Under no-new-privileges sudo is not even tried, and both checks say so.
func TestOrdinaryUserUnderNoNewPrivileges(t *testing.T) {
	prereqNeedsRoot(t)
	dir := prereqOpenDir(t)
	path := filepath.Join(dir, "provd")
	prereqWrite(t, path, "x")
	if err := os.Chown(dir, prereqUser, prereqUser); err != nil {
		t.Fatal(err)
	}
	prereqCommand(t, "setcap", "cap_net_raw,cap_net_bind_service=ep", path)
	checks := runPrereqsElsewhere(t, prereqsElsewhere{Path: path, User: prereqUser, NoNewPrivs: true})
	for _, id := range []string{"capability-method", "no-new-privileges"} {
		if c := checkIn(t, checks, id); c.Result != Fail || !strings.Contains(c.Fix.Text, "service manager") || !strings.Contains(c.Fix.Command, "setcap -r") {
			t.Errorf("%+v", c)
		}
	}
}

// A program that was moved to another directory is found by its process.
func TestMovedProgramIsFound(t *testing.T) {
	path, to := filepath.Join(prereqOpenDir(t), "provd"), filepath.Join(prereqOpenDir(t), "moved")
	prereqCopySelf(t, path)
	c := checkIn(t, runPrereqsElsewhere(t, prereqsElsewhere{Path: path, Self: true, MoveTo: to}), "binary-unchanged")
	if c.Result != Fail || c.Fix.Command != shellLine("sudo", "mv", "-n", to, path) {
		t.Errorf("%+v", c)
	}
}

// The owner of a directory that other programs share is not for us to change.
func TestProgramInASystemDirectory(t *testing.T) {
	prereqNeedsRoot(t)
	path, err := filepath.EvalSymlinks("/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	checks := runPrereqsElsewhere(t, prereqsElsewhere{Path: path, User: prereqUser})
	want := "sudo install -d -o 65534 -g 65534 /opt/" + filepath.Base(path) + " && sudo cp --preserve=all " + path
	if c := checkIn(t, checks, "dir-writable"); c.Result != Fail || !strings.HasPrefix(c.Fix.Command, want) {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat("/var/lib/dpkg/info"); err == nil {
		if c := checkIn(t, checks, "binary-in-package"); c.Result != Fail || c.Severity != Warning || !strings.Contains(c.Fix.Command, "apt-mark hold") {
			t.Errorf("%+v", c)
		}
	}
}
