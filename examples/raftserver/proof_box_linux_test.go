package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

// A box is a member with a supervisor that does what the test says: one that the
// test has ended waits for back; one that ends by itself is a problem, or, in a
// fleet that is supervised, is started again after a pause.
type box struct {
	*node
	f       *fleet
	version int             // that it has to run
	allowed map[string]bool // digests that may lie at its path
	pid     int             // 0 while the test has ended it
	frozen  bool
	fault   time.Time // when the test did something to it; zero once it serves again
	starts  int       // by the supervisor, after an end
}

// restartPause is that of the supervisor.
const restartPause = 100 * time.Millisecond

func (b *box) start() {
	b.f.t.Helper()
	p, err := b.launch()
	if err != nil {
		b.f.t.Fatal(err)
	}
	b.f.mu.Lock()
	b.process, b.pid, b.fault, b.frozen = p, p.PID, time.Now(), false
	b.f.mu.Unlock()
	go b.supervise(p)
}

func (b *box) launch() (*show.Process, error) {
	cmd := exec.Command(b.program, b.args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), b.f.env...)
	return show.Start(cmd, filepath.Join(b.dir, product+".log"))
}

func (b *box) supervise(p *show.Process) {
	for {
		<-p.Ended
		if !b.wanted(p) {
			return
		}
		if !b.f.supervised {
			b.f.problem("%s ended by itself; its log:\n%s", b.id, p.LastLog())
			return
		}
		b.f.logf("%s has ended", b.id)
		if b.f.watched {
			b.follow(p)
			return
		}
		time.Sleep(restartPause)
		b.f.mu.Lock()
		if b.process != p || b.pid == 0 {
			b.f.mu.Unlock()
			return // the test has it now
		}
		next, err := b.launch()
		if err == nil {
			b.process, b.pid, b.starts = next, next.PID, b.starts+1
			p = next
		}
		b.f.mu.Unlock()
		if err != nil {
			b.f.problem("start %s: %v", b.id, err)
			return
		}
	}
}

// wanted reports whether nobody has asked the process to end.
func (b *box) wanted(p *show.Process) bool {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	return b.process == p && b.pid == p.PID
}

// runs is the process of the member; 0 while the test has ended it.
func (b *box) runs() (pid int) {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	return b.pid
}

// crash ends it from outside as lose does, but the supervisor is to see to it.
func (b *box) crash() {
	b.f.logf("crash %s", b.id)
	if err := syscall.Kill(b.runs(), syscall.SIGKILL); err != nil {
		b.f.t.Fatal(err)
	}
}

// back starts it, if it was ended, and waits until it serves.
func (b *box) back() {
	b.f.t.Helper()
	if b.runs() == 0 {
		b.start()
	}
	b.answers()
	b.f.mu.Lock()
	b.fault = time.Time{}
	b.f.mu.Unlock()
	b.f.logf("%s serves again", b.id)
}

// answers waits until it serves.
func (b *box) answers() {
	b.f.t.Helper()
	ctx, cancel := context.WithTimeout(b.f.t.Context(), waitLimit)
	defer cancel()
	for {
		b.f.mu.Lock()
		p := b.process
		b.f.mu.Unlock()
		err := p.Await(ctx, waitLimit, func(ctx context.Context) error {
			_, err := b.values(ctx, "none")
			return err
		})
		if err == nil {
			return
		}
		if !b.f.supervised || ctx.Err() != nil {
			b.f.t.Fatalf("%s: %v\n%s", b.id, err, b.f.story())
		}
		time.Sleep(restartPause / 10) // it ended; its supervisor is at it
	}
}

// lose ends it from outside.
func (b *box) lose(how func(*show.Process)) {
	b.f.mu.Lock()
	b.pid, b.fault = 0, time.Now()
	p := b.process
	b.f.mu.Unlock()
	how(p)
}

func (b *box) kill() { b.f.logf("kill %s", b.id); b.lose((*show.Process).Kill) }
func (b *box) stop() { b.f.logf("stop %s", b.id); b.lose((*show.Process).Stop) }

func (b *box) freeze() {
	b.f.logf("freeze %s", b.id)
	b.f.mu.Lock()
	b.frozen, b.fault = true, time.Now()
	pid := b.pid
	b.f.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		b.f.t.Fatal(err)
	}
	for limit := time.Now().Add(waitLimit); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		var name string
		var state rune
		if _, e := fmt.Sscanf(string(stat), "%d %s %c", &pid, &name, &state); err == nil && e == nil && state == 'T' {
			return
		}
		if time.Now().After(limit) {
			b.f.t.Fatalf("%s does not stand still: %s", b.id, stat)
		}
	}
}

func (b *box) thaw() {
	b.f.logf("thaw %s", b.id)
	b.f.mu.Lock()
	b.frozen = false
	pid := b.pid
	b.f.mu.Unlock()
	syscall.Kill(pid, syscall.SIGCONT)
}
