package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/examples/internal/showtest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

const patience = showtest.Patience

// A kvd is a server as a process of its own.
type kvd struct {
	t       testing.TB
	dir     string // its files lie here
	program string // that is installed, no link
	data    string
	key     archive.PrivateKey // whose signature it trusts
	url     string
	pid     int

	cmd   *exec.Cmd
	mark  string        // in the environment of all its processes, if there may be others; see alive
	ended chan struct{} // they are gone
	http  *http.Client

	mu    sync.Mutex
	lines []string      // of its log
	more  chan struct{} // closed and replaced when a line comes
}

// A kvdConfig says how to start a server. The zero value is version 1.0.0 with
// its companion in a directory of its own.
type kvdConfig struct {
	version string             // installed first; 1.0.0 if ""
	key     archive.PrivateKey // made if zero
	args    []string           // for serve, besides the usual ones
	env     []string           // besides that of the test
	http    *http.Client       // a plain one if nil

	// prepare changes what was installed before it is started, and how.
	prepare func(k *kvd, cmd *exec.Cmd)
}

// startKVD installs a server, starts it, and ends it with the test.
func startKVD(t testing.TB, c kvdConfig) *kvd {
	t.Helper()
	if c.version == "" {
		c.version = "1.0.0"
	}
	if c.key.IsZero() {
		c.key = newKey(t)
	}
	if c.http == nil {
		c.http = &http.Client{Transport: &http.Transport{}}
	}
	dir := t.TempDir()
	k := &kvd{
		t: t, dir: dir, program: filepath.Join(dir, "installed", "kvd"), data: filepath.Join(dir, "data"),
		key: c.key, http: c.http, ended: make(chan struct{}), more: make(chan struct{}),
	}
	from := built(t, c.version)
	for _, name := range []string{"kvd", "kvctl"} {
		copyFile(t, filepath.Join(from, name), filepath.Join(dir, "installed", name))
	}
	pub := filepath.Join(dir, "release.pub")
	if err := os.WriteFile(pub, []byte(c.key.Public().Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	k.cmd = exec.Command(k.program, append([]string{"serve", "--data", k.data, "--listen", "127.0.0.1:0",
		"--upgrade-key", pub, "--min-healthy", "200ms", "--log-level", "debug"}, c.args...)...)
	k.cmd.Dir = dir
	k.cmd.Env = append(os.Environ(), c.env...)
	if c.prepare != nil {
		c.prepare(k, k.cmd)
	}
	k.start()
	return k
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	// A child that is forked meanwhile would hold the file open for writing, and
	// nobody could start it ("text file busy").
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// start runs k.cmd and returns once it serves. The log comes through a pipe that
// every program in the same process inherits, and ends when the last is gone.
func (k *kvd) start() {
	t := k.t
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	k.cmd.Stdout, k.cmd.Stderr = in, in
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	k.pid = k.cmd.Process.Pid
	ended := k.ended
	go func() {
		defer close(ended)
		k.read(out)
		k.cmd.Wait()
	}()
	t.Cleanup(func() {
		k.end(ended)
		k.http.CloseIdleConnections()
		k.tellLog()
	})
	k.serves()
}

// read takes the log from out, until nobody writes there any more.
func (k *kvd) read(out *os.File) {
	defer out.Close()
	for s := bufio.NewScanner(out); s.Scan(); {
		k.mu.Lock()
		k.lines = append(k.lines, s.Text())
		close(k.more)
		k.more = make(chan struct{})
		k.mu.Unlock()
	}
}

// serves returns once the server says where it serves.
func (k *kvd) serves() {
	k.t.Helper()
	line := k.await(0, "serving:")
	_, rest, _ := strings.Cut(line, "url=")
	k.url, _, _ = strings.Cut(rest, " ")
}

// tellLog shows the log of the server, if the test has failed.
func (k *kvd) tellLog() {
	if k.t.Failed() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.t.Logf("log of the server:\n%s", strings.Join(k.lines, "\n"))
	}
}

// end asks the process to end, and kills it if it does not.
func (k *kvd) end(ended chan struct{}) {
	select {
	case <-ended:
		return
	default:
	}
	k.signal(syscall.SIGINT)
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		k.t.Errorf("kvd, pid %d, does not end when asked", k.pid)
		k.signal(syscall.SIGKILL)
		<-ended
	}
}

// signal is sent to all processes of the server.
func (k *kvd) signal(sig syscall.Signal) {
	k.cmd.Process.Signal(sig)
	for pid := range k.alive() {
		if p, err := os.FindProcess(pid); err == nil && pid != k.pid {
			p.Signal(sig)
		}
	}
}

// marked has every process of this server be found by alive.
func (k *kvd) marked() (env []string) {
	k.mark = fmt.Sprintf("KVD_TEST_MARK=%s-%d", k.t.Name(), time.Now().UnixNano())
	return append(os.Environ(), k.mark)
}

// alive returns the command lines of the marked processes, by PID.
func (k *kvd) alive() map[int]string {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	found := map[int]string{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || k.mark == "" || !strings.Contains(string(b), k.mark) {
			continue // gone, or of somebody else
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil {
			found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// logged is how many lines the log has.
func (k *kvd) logged() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.lines)
}

// await returns the first line of the log from number from on that has text.
func (k *kvd) await(from int, text string) string {
	k.t.Helper()
	limit := time.After(patience)
	for {
		k.mu.Lock()
		for ; from < len(k.lines); from++ {
			if strings.Contains(k.lines[from], text) {
				defer k.mu.Unlock()
				return k.lines[from]
			}
		}
		more := k.more
		k.mu.Unlock()
		select {
		case <-more:
		case <-k.ended:
			k.mu.Lock()
			n := len(k.lines)
			k.mu.Unlock()
			if from >= n {
				k.t.Fatalf("kvd has ended; its log never said %q", text)
			}
		case <-limit:
			k.t.Fatalf("the log of kvd does not say %q", text)
		}
	}
}

// login is the user that the server made at its first start.
func (k *kvd) login() (user, password string) {
	k.t.Helper()
	b, err := os.ReadFile(filepath.Join(k.data, "users"))
	if err != nil {
		k.t.Fatal(err)
	}
	user, password, _ = strings.Cut(strings.TrimSpace(string(b)), ":")
	return user, password
}

func (k *kvd) client() *httpapi.Client {
	k.t.Helper()
	c, err := httpapi.NewClient(httpapi.ClientConfig{
		Servers: []string{k.url}, HTTP: k.http, Auth: httpapi.BasicAuth(k.login()),
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// upgrade installs a version through the API, and returns the events of the run.
func (k *kvd) upgrade(version string, counter uint64) []httpapi.Event {
	k.t.Helper()
	k.upload("system/upgrade/stage", packed(k.t, version, counter, k.key, nil)).ok(k.t, http.StatusCreated)
	k.do(http.MethodPost, "system/upgrade/run", nil).ok(k.t, http.StatusAccepted)
	return k.finish(version)
}

// finish follows the run to its end and fails the test unless that is version.
func (k *kvd) finish(version string) []httpapi.Event {
	k.t.Helper()
	events := k.watch()
	last := events[len(events)-1]
	if last.Type != httpapi.EventEnd || last.Status.Status != string(tracking.Finished) {
		b, _ := json.MarshalIndent(last.Status, "", " ")
		k.t.Fatalf("the upgrade to %s ended as %s", version, b)
	}
	if got := k.info(); got.Version != version || got.PID != k.pid {
		k.t.Fatalf("kvd %s, pid %d, serves; want %s and pid %d", got.Version, got.PID, version, k.pid)
	}
	return events
}

// watch follows the run until it is over.
func (k *kvd) watch() []httpapi.Event {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 2*patience)
	defer cancel()
	var events []httpapi.Event
	for e, err := range k.client().Watch(ctx, httpapi.WatchOptions{}) {
		if err != nil {
			k.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}
