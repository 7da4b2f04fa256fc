package main

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/capabilities"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A hosted is a kvd that is installed and started as the administrator of a
// machine would, and may be killed and started over.
type hosted struct {
	*kvd
	uid  int // of the server
	gid  int
	with []string // words before the command line of the server
	args []string // for serve, besides the usual ones
	env  []string // the whole environment; that of the test if nil

	files []*os.File // passed on, from descriptor 3
}

// install puts version 1.0.0 below dir: programs in installed, owned by uid and gid, and
// a directory for the data of that user.
func install(t testing.TB, dir string, uid, gid int) *hosted {
	t.Helper()
	h := &hosted{uid: uid, gid: gid, kvd: &kvd{
		t: t, dir: dir, program: filepath.Join(dir, "installed", "kvd"), data: filepath.Join(dir, "data"),
		key: newKey(t), http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		more: make(chan struct{}),
	}}
	for _, name := range []string{"kvd", "kvctl"} {
		copyFile(t, filepath.Join(built(t, "1.0.0"), name), filepath.Join(dir, "installed", name))
	}
	h.trust(h.key)
	if err := os.Mkdir(h.data, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{h.data, h.program, h.beside("kvctl"), filepath.Dir(h.program)} {
		if err := os.Lchown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// trust has the server take releases that this key signed.
func (h *hosted) trust(key archive.PrivateKey) {
	h.t.Helper()
	h.key = key
	if err := os.WriteFile(h.pub(), []byte(key.Public().Text()), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hosted) pub() string { return filepath.Join(h.dir, "release.pub") }

func (h *hosted) beside(name string) string { return filepath.Join(filepath.Dir(h.program), name) }

// serve starts what lies at the path of the program, as a supervisor would, and
// returns once it serves.
func (h *hosted) serve() {
	h.t.Helper()
	h.cmd = h.command()
	h.ended = make(chan struct{})
	h.mu.Lock()
	h.lines = nil
	h.mu.Unlock()
	h.start()
}

// command starts what lies at the path of the program.
func (h *hosted) command() *exec.Cmd {
	line := slices.Concat(h.with, []string{h.program, "serve", "--data", h.data, "--upgrade-key", h.pub(),
		"--min-healthy", "100ms", "--log-level", "debug", "--listen", "127.0.0.1:0"}, h.args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = h.dir, h.env, h.files
	if h.uid != 0 && h.with == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(h.uid), Gid: uint32(h.gid)}}
	}
	return cmd
}

// kill ends the process as a power switch would.
func (h *hosted) kill() {
	h.t.Helper()
	h.cmd.Process.Kill()
	h.gone()
}

// gone returns once the process has ended.
func (h *hosted) gone() {
	h.t.Helper()
	select {
	case <-h.ended:
	case <-time.After(patience):
		h.t.Fatal("kvd has not ended")
	}
}

// stage uploads version 1.1.0.
func (h *hosted) stage() {
	h.t.Helper()
	h.upload("system/upgrade/stage", packed(h.t, "1.1.0", 2, h.key, nil)).ok(h.t, http.StatusCreated)
}

func (h *hosted) run() {
	h.t.Helper()
	h.do(http.MethodPost, "system/upgrade/run", nil).ok(h.t, http.StatusAccepted)
}

// outcome follows the run until it is over. Its requests are held for a moment
// only: one that is held keeps a drain from ending early.
func (h *hosted) outcome() upgrade.Status {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	var last *upgrade.Status
	for e, err := range h.client().Watch(ctx, httpapi.WatchOptions{Wait: 50 * time.Millisecond}) {
		if err != nil {
			h.t.Fatal(err)
		}
		last = e.Status
	}
	return *last
}

// reach returns once the transcript has a line of this type.
func (h *hosted) reach(kind string) {
	h.t.Helper()
	h.await(0, kind+": ")
}

// finished follows the run to its end, and fails the test unless 1.1.0 serves
// then and lies, complete, at its path.
func (h *hosted) finished() upgrade.Status {
	h.t.Helper()
	s := h.outcome()
	if s.Status != "finished" {
		h.t.Fatalf("the run ended as %s: %s", s.Status, said(s))
	}
	if got := h.info(); got.Version != "1.1.0" {
		h.t.Fatalf("%s serves", got.Version)
	}
	h.holds("1.1.0")
	return s
}

// said is the end and the transcript of a run.
func said(s upgrade.Status) string {
	var b strings.Builder
	if s.FinalState != nil {
		fmt.Fprintln(&b, *s.FinalState)
	}
	for _, l := range s.Transcript.Lines {
		fmt.Fprintln(&b, l.Text)
	}
	return b.String()
}

// holds fails the test unless both programs of a version lie, complete, at their
// paths.
func (h *hosted) holds(version string) {
	h.t.Helper()
	for _, name := range []string{"kvd", "kvctl"} {
		if digestOf(h.t, h.beside(name)) != digestOf(h.t, filepath.Join(built(h.t, version), name)) {
			h.t.Errorf("%s is not that of %s", name, version)
		}
	}
}

// installedVersion runs what lies at the path, and returns what it says that it
// is. It must be complete.
func (h *hosted) installedVersion() string {
	h.t.Helper()
	out, err := exec.Command(h.program, "version").Output()
	if err != nil {
		h.t.Fatalf("what lies at the path does not run: %v", err)
	}
	version := strings.TrimSpace(string(out))
	if digestOf(h.t, h.program) != digestOf(h.t, filepath.Join(built(h.t, version), "kvd")) {
		h.t.Fatalf("what lies at the path is not kvd %s, though it says so", version)
	}
	return version
}

// tidy removes what is staged, and fails the test if anything of an upgrade is
// left but the way back.
func (h *hosted) tidy() {
	h.t.Helper()
	h.do(http.MethodDelete, "system/upgrade/stage", nil)
	var left []string
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left = filesIn(h.t, filepath.Join(h.data, "archives"))
		for _, name := range namesIn(h.t, filepath.Dir(h.program)) {
			if !slices.Contains([]string{"kvd", "kvctl", ".kvd.previous", ".kvctl.previous"}, name) {
				left = append(left, name)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(limit) {
			h.t.Errorf("left behind: %v", left)
			return
		}
	}
}

// A fileState is what must not change of a file.
type fileState struct {
	Inode        uint64
	Size         int64
	Mode         fs.FileMode
	UID, GID     uint32
	Written      time.Time
	Changed      syscall.Timespec
	Capabilities string
}

func stateOf(t testing.TB, path string) fileState {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	caps, err := capabilities.Text(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return fileState{st.Ino, info.Size(), info.Mode(), st.Uid, st.Gid, info.ModTime(), st.Ctim, caps}
}

// states describes every file beside the program.
func (h *hosted) states() map[string]fileState {
	h.t.Helper()
	m := map[string]fileState{}
	for _, name := range namesIn(h.t, filepath.Dir(h.program)) {
		m[name] = stateOf(h.t, h.beside(name))
	}
	return m
}

// openDir is a directory that every user can reach.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kvd-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// needsRoot skips the test unless it may do everything, with these tools.
func needsRoot(t testing.TB, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "needs "+tool)
		}
	}
}

// sh runs a command to its end and returns what it said.
func sh(t testing.TB, words ...string) string {
	t.Helper()
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
	return strings.TrimSpace(string(out))
}

// lowPort returns the address of a port that only the privileged may listen on.
func lowPort(t testing.TB) string {
	t.Helper()
	for port := 1023; port > 600; port-- {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port below 1024 is free")
	return ""
}

// failedCheck returns the check of this id, which must have failed.
func failedCheck(t testing.TB, checks []upgrade.Check, id string) upgrade.Check {
	t.Helper()
	for _, c := range checks {
		if c.ID == id {
			if c.Result != upgrade.Fail || c.Fix == (upgrade.Fix{}) {
				t.Errorf("%s: %+v", id, c)
			}
			return c
		}
	}
	t.Fatalf("no check %s", id)
	return upgrade.Check{}
}

// check asks the server for the prerequisites.
func (h *hosted) check() upgrade.CheckReport {
	h.t.Helper()
	r, err := h.client().Check(h.t.Context(), upgrade.CheckOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}
