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

// A box is a member with a supervisor that does what the test says: one that
// ends by itself is a problem, and is started again; one that the test has ended
// waits for back.
type box struct {
	*node
	f       *fleet
	version int             // that it has to run
	allowed map[string]bool // digests that may lie at its path
	pid     int             // 0 while the test has ended it
	frozen  bool
	fault   time.Time // when the test did something to it; zero once it serves again
}

func (b *box) start() {
	b.f.t.Helper()
	cmd := exec.Command(b.program, b.args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), b.f.env...)
	p, err := show.Start(cmd, filepath.Join(b.dir, product+".log"))
	if err != nil {
		b.f.t.Fatal(err)
	}
	b.f.mu.Lock()
	b.process, b.pid, b.fault, b.frozen = p, p.PID, time.Now(), false
	b.f.mu.Unlock()
	go func() {
		<-p.Ended
		b.f.mu.Lock()
		unwanted := b.pid == p.PID
		b.f.mu.Unlock()
		if unwanted {
			b.f.problem("%s ended by itself; its log:\n%s", b.id, p.LastLog())
		}
	}()
}

// back starts it, if it was ended, and waits until it serves.
func (b *box) back() {
	b.f.t.Helper()
	if b.pid == 0 {
		b.start()
	}
	ctx, cancel := context.WithTimeout(b.f.t.Context(), waitLimit)
	defer cancel()
	if err := b.serves(ctx); err != nil {
		b.f.t.Fatalf("%v\n%s", err, b.f.story())
	}
	b.f.mu.Lock()
	b.fault = time.Time{}
	b.f.mu.Unlock()
	b.f.logf("%s serves again", b.id)
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
