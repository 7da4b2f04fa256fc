//go:build unix

package restart

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A process is a server under test.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *lockedBuffer
	first  hello
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run starts a server; change may set up its command.
func run(t *testing.T, c serverConfig, change func(*exec.Cmd)) *process {
	t.Helper()
	if c.Network == "" {
		c.Network = "tcp"
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, "-server", "argument with blanks"), stderr: new(lockedBuffer)}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+string(b), "RESTART_TEST_SELF="+self)
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = 20 * time.Second // a successor has the same standard error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if change != nil {
		change(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.in.Close()
		p.cmd.Process.Kill()
		p.wait()
		s := p.stderr.String()
		if strings.Contains(s, "DATA RACE") {
			t.Error("the server reports a data race")
		}
		if s != "" && t.Failed() {
			t.Logf("server: %s", s)
		}
	})
	p.first = p.hear()
	if p.first.Err != "" {
		t.Fatalf("server: %s", p.first.Err)
	}
	return p
}

// wait returns how the server ended.
func (p *process) wait() *os.ProcessState {
	if p.cmd.ProcessState == nil {
		p.cmd.Wait()
	}
	return p.cmd.ProcessState
}

func (p *process) send(command string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		p.t.Fatalf("%s: %v", command, err)
	}
}

func (p *process) hear() hello {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("the server ended: %v\n%s", err, p.stderr)
	}
	var h hello
	if err := json.Unmarshal(line, &h); err != nil {
		p.t.Fatalf("%s: %v", line, err)
	}
	return h
}

// tell sends a command and returns what the server, or the one after it, says.
func (p *process) tell(command string) hello {
	p.t.Helper()
	p.send(command)
	return p.hear()
}

// restart replaces the program once and requires that it worked.
func (p *process) restart() hello {
	p.t.Helper()
	h := p.tell("restart")
	if h.Err != "" {
		p.t.Fatalf("restart: %s", h.Err)
	}
	return h
}
