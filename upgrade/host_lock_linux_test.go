package upgrade

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Servers that hold the same program know of each other, in both directions,
// until one lets go, also by an exec in place. A command of the same program
// disturbs nobody.
func TestServersOfOneFile(t *testing.T) {
	prereqNeedsTool(t, "sh")
	path := filepath.Join(prereqOpenDir(t), "provd")
	prereqCopySelf(t, path)
	p := soundPrereqs(t)
	p.Program = prereqProgramAt(t, path)
	var err error
	if p.Lock, err = p.Program.hold(); err != nil {
		t.Fatal(err)
	}
	defer p.Lock.Close()
	if c := checkOf(t, p, "binary-shared"); c.Result != Pass {
		t.Errorf("alone: %+v", c)
	}

	cmd := prereqChild(t, prereqsElsewhere{Path: path, Self: true, Hold: true, Replace: true})
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Wait() }()
	lines := bufio.NewReader(out)
	waitFor := func(word string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if strings.Contains(line, word) {
				return
			}
			if err != nil {
				t.Fatalf("waiting for %s: %v", word, err)
			}
		}
	}
	waitFor("HOLDING")
	c := checkOf(t, p, "binary-shared")
	if c.Result != Fail || !strings.Contains(c.Seen, fmt.Sprintf("process %d", cmd.Process.Pid)) ||
		!strings.HasSuffix(c.Fix.Command, fmt.Sprintf("-p %d", cmd.Process.Pid)) {
		t.Errorf("with a second server: %+v", c)
	}
	io.WriteString(in, "go\n")
	waitFor("REPLACED")
	if c := checkOf(t, p, "binary-shared"); c.Result != Pass {
		t.Errorf("after its exec: %+v", c)
	}

	// One that runs the file and holds nothing is mentioned.
	command := exec.Command(path, "-test.run=^TestPrereqsElsewhere$")
	command.Env = append(os.Environ(), prereqsElsewhereKey+"=")
	command.SysProcAttr = &syscall.SysProcAttr{Ptrace: true} // it stops as soon as it is that program
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { command.Process.Kill(); command.Wait() }()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(command.Process.Pid, &status, 0, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, %v", status, err)
	}
	if c := checkOf(t, p, "binary-shared"); c.Result != Pass || !strings.Contains(c.Seen, fmt.Sprint(command.Process.Pid)) {
		t.Errorf("with a command: %+v", c)
	}
}

func TestOwnProcessIsNoOther(t *testing.T) {
	p, err := FindProgram()
	if err != nil {
		t.Fatal(err)
	}
	lock, err := p.hold()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	servers, others, err := othersRunning(p.Info)
	if err != nil || slices.Contains(servers, os.Getpid()) || slices.Contains(others, os.Getpid()) {
		t.Errorf("%v, %v, %v", servers, others, err)
	}
	// Its lock is seen where it is looked for.
	if !holdsLock(os.Getpid(), p.Info.Sys().(*syscall.Stat_t).Ino) || holdsLock(os.Getpid(), 1) {
		t.Error("the own lock is not seen, or another is")
	}
}

func TestHoldOfAReplacedProgram(t *testing.T) {
	p := soundPrereqs(t)
	if err := os.Rename(p.Program.Path, p.Program.Path+".old"); err != nil {
		t.Fatal(err)
	}
	prereqWrite(t, p.Program.Path, "another")
	if _, err := p.Program.hold(); err == nil {
		t.Error("locked a file that does not run")
	}
}
