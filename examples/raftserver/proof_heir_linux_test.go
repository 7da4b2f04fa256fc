package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

// follow keeps to the process that serves in the place of one that has ended, where
// the members have a watcher and nobody else starts them again: what the watcher
// becomes is no child of the test.
func (b *box) follow(p *show.Process) {
	last := p.PID
	for b.has(p, last) {
		next := b.heir()
		switch {
		case next == 0:
		case next != last:
			b.f.mu.Lock()
			if b.process == p && b.pid == last {
				b.pid, b.starts = next, b.starts+1
				last = next
			}
			b.f.mu.Unlock()
			b.f.logf("%s goes on as pid %d", b.id, next)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *box) has(p *show.Process, pid int) bool {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	return b.process == p && b.pid == pid
}

// heir is the process that serves as this member, 0 if there is none.
func (b *box) heir() int {
	for _, pid := range b.kin() {
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.Contains(line, []byte("\x00serve\x00")) {
			return pid
		}
	}
	return 0
}

// kin are all processes that were started in the directory of this member.
func (b *box) kin() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range all {
		if dir, err := os.Readlink(link); err == nil && dir == b.dir {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// endKin ends what the watcher of this member has become.
func (b *box) endKin() {
	for limit := time.Now().Add(waitLimit); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		kin := b.kin()
		if len(kin) == 0 {
			return
		}
		for _, pid := range kin {
			syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	}
}
