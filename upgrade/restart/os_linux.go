package restart

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processStart returns when this process started, in ticks since the boot: with
// the PID it names the process, in whatever name space.
func processStart() string {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return ""
	}
	const startTime = 22 - 2 // proc(5); the first two fields end at the parenthesis
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < startTime {
		return ""
	}
	return f[startTime-1]
}

// monotonic is in nanoseconds, on a clock that all programs of the machine share.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

func noExec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}

// children names the live children of this process, "name (pid)". Zombies are
// none: nothing is lost with them.
func children() (list []string, err error) {
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil, err
	}
	var pids []string
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // that thread has ended
		}
		if err != nil {
			return nil, err
		}
		pids = append(pids, strings.Fields(string(b))...)
	}
	if len(tasks) == 0 { // the kernel was built without that file
		if pids, err = childrenByParent(); err != nil {
			return nil, err
		}
	}
	for _, pid := range pids {
		name, state, _ := procStat(pid)
		if name != "" && state != "Z" && state != "X" {
			list = append(list, fmt.Sprintf("%s (%s)", name, pid))
		}
	}
	return list, nil
}

func childrenByParent() (pids []string, err error) {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("/proc is not there: %w", errors.ErrUnsupported)
	}
	me := strconv.Itoa(os.Getpid())
	for _, dir := range all {
		pid := filepath.Base(dir)
		if _, _, parent := procStat(pid); parent == me {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// procStat returns empty strings for a process that is gone.
func procStat(pid string) (name, state, parent string) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	i, j := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || i < 0 || j < i {
		return "", "", ""
	}
	f := strings.Fields(string(b[j+1:]))
	if len(f) < 2 {
		return "", "", ""
	}
	return string(b[i+1 : j]), f[0], f[1]
}

// passing are the signals that ask a server for something other than its end,
// and whose default is its end.
func passing() []syscall.Signal {
	return []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}
}

// sigaction has room for the kernel's structure on every architecture.
type sigaction [16]uintptr

// ignoreSignals makes the passing signals ignored in the kernel's eyes, which
// exec keeps, and tells which were not before. Package os/signal cannot do it: its
// Ignore forgets what the host has asked to be notified of, and there would be
// no way back when the exec fails.
func ignoreSignals() (ignored []int, restore func()) {
	if !canSetActions() {
		return nil, func() {}
	}
	old := make(map[syscall.Signal]*sigaction)
	for _, sig := range passing() {
		was := new(sigaction)
		if setAction(sig, &sigaction{sigIgnore}, was) != nil {
			continue
		}
		old[sig] = was
		if was[0] != sigIgnore {
			ignored = append(ignored, int(sig))
		}
	}
	return ignored, func() {
		for sig, was := range old {
			setAction(sig, was, nil)
		}
	}
}

// restoreIgnored gives signals that are still ignored, because the host has not
// asked for them by now, their default meaning back: children inherit it.
func restoreIgnored(ignored []int) {
	if !canSetActions() {
		return
	}
	for _, n := range ignored {
		if sig := syscall.Signal(n); signal.Ignored(sig) {
			setAction(sig, &sigaction{}, nil)
		}
	}
}

const sigIgnore = 1

// canSetActions is false where the handler is not the first word of the kernel's
// structure.
func canSetActions() bool { return !strings.HasPrefix(runtime.GOARCH, "mips") }

func setAction(sig syscall.Signal, act, old *sigaction) error {
	const setSize = 8 // of the kernel's signal set
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), setSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
