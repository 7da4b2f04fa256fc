//go:build linux

package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestExecutableNeverAbsent starts and reads the program as fast as it can while
// it is replaced.
func TestExecutableNeverAbsent(t *testing.T) {
	script := func(n int) string {
		return fmt.Sprintf("#!/bin/sh\n# %s\nexit 0\n", strings.Repeat(fmt.Sprint(n), 5000+n))
	}
	in := install(t, fakeRelease{"server": script(0), "tool": "tool"})
	if err := exec.Command(in.exe.Program.Path).Run(); err != nil {
		in.dir = t.TempDir() // memory may be mounted noexec
		os.WriteFile(filepath.Join(in.dir, "server"), []byte(script(0)), 0o755)
	}
	in.open(t, quick{})
	in.exe.Companions = nil
	const swaps = 200
	var stop atomic.Bool
	var reads, starts atomic.Int64
	problems := make(chan string, 2)
	watch := func(count *atomic.Int64, look func() string) {
		for !stop.Load() {
			if p := look(); p != "" {
				problems <- p
				return
			}
			count.Add(1)
		}
		problems <- ""
	}
	path := in.exe.Program.Path
	go watch(&reads, func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			return err.Error()
		}
		var n int
		if fmt.Sscanf(string(b[len("#!/bin/sh\n# "):][:1]), "%d", &n); string(b) != script(n) {
			return fmt.Sprintf("%d bytes, not a whole program", len(b))
		}
		return ""
	})
	go watch(&starts, func() string {
		if err := exec.Command(path).Run(); err != nil {
			return err.Error()
		}
		return ""
	})
	for i := range swaps {
		r := fakeRelease{"server": script(1 + i%2)}
		in.upgradeWith(t, in.exe, r)
		if i%10 == 0 { // and what is prepared can be started at once
			p, err := in.exe.prepare(t.Context(), fakeRelease{"server": script(3)}.files(), fakeRelease{"server": script(3)}.open)
			if err != nil {
				t.Fatal(err)
			}
			// A fork of the other goroutine may still hold it open for writing.
			err = exec.Command(p.Path).Run()
			for try := 0; errors.Is(err, syscall.ETXTBSY) && try < 100; try++ {
				time.Sleep(5 * time.Millisecond)
				err = exec.Command(p.Path).Run()
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	for reads.Load() == 0 || starts.Load() == 0 { // both have looked at least once
		in.upgradeWith(t, in.exe, fakeRelease{"server": script(1)})
		in.upgradeWith(t, in.exe, fakeRelease{"server": script(2)})
	}
	stop.Store(true)
	for range 2 {
		if p := <-problems; p != "" {
			t.Error(p)
		}
	}
	t.Logf("%d swaps, %d reads, %d starts", swaps, reads.Load(), starts.Load())
}

// TestExecutableFullDisk: nothing is left on a disk that was too small.
func TestExecutableFullDisk(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m")
	needs(t, err == nil, "the right to mount")
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	in := &installation{dir: dir}
	os.WriteFile(filepath.Join(dir, "server"), bytes.Repeat([]byte("1"), 1<<20), 0o755)
	in.open(t, nil)
	in.exe.Copier, in.exe.Companions = nil, nil
	big := fakeRelease{"server": strings.Repeat("2", 5<<20)}
	if _, err := in.exe.prepare(t.Context(), big.files(), big.open); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if in.names(t) != "server" {
		t.Errorf("left %s", in.names(t))
	}
	fits := fakeRelease{"server": strings.Repeat("2", 2<<20)}
	in.upgrade(t, fits)
	// Now there is no room at all, and Discard and Restore need none.
	next := fakeRelease{"server": strings.Repeat("3", 1<<19)}
	if _, err := in.exe.prepare(t.Context(), next.files(), next.open); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	if err := in.exe.Discard(t.Context()); err != nil {
		t.Error(err)
	}
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	if err := in.exe.Restore(t.Context()); err != nil {
		t.Error(err)
	}
	if got := in.names(t) + in.read(t, "server")[:1]; got != ".server.previous filler server1" {
		t.Errorf("left %s", got)
	}
}
