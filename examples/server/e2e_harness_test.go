package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/examples/internal/showtest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

const patience = showtest.Patience

// builds are the programs that the tests run, each built once.
var builds struct {
	mu   sync.Mutex
	dir  string
	made map[string]func() error
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kvd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds.dir, builds.made = dir, map[string]func() error{}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// built returns a directory with kvd and kvctl of a version.
func built(t *testing.T, version string) string {
	t.Helper()
	dir := filepath.Join(builds.dir, version)
	builds.mu.Lock()
	once, ok := builds.made[version]
	if !ok {
		once = sync.OnceValue(func() error {
			for name, pkg := range map[string]string{"kvd": ".", "kvctl": "./kvctl"} {
				cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version,
					"-o", filepath.Join(dir, name), pkg)
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("build %s %s: %w\n%s", name, version, err, out)
				}
			}
			return nil
		})
		builds.made[version] = once
	}
	builds.mu.Unlock()
	if err := once(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newKey makes a key that may sign releases.
func newKey(t *testing.T) archive.PrivateKey {
	t.Helper()
	key, err := archive.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// packed is an archive of a version, made by package archive. Both programs are
// in it unless edit says otherwise. A zero key leaves it unsigned.
func packed(t *testing.T, version string, counter uint64, key archive.PrivateKey, edit func(*archive.PackConfig)) []byte {
	t.Helper()
	dir := built(t, version)
	c := archive.PackConfig{
		Manifest: archive.Manifest{Product: "kvd", Version: version, Counter: counter},
		Format:   archive.Zip, Stored: true,
	}
	for _, name := range []string{"kvd", "kvctl"} {
		c.Files = append(c.Files, archive.PackFile{Name: inArchive(name), Path: filepath.Join(dir, name)})
	}
	if edit != nil {
		edit(&c)
	}
	var plain bytes.Buffer
	if _, err := archive.Pack(&plain, c); err != nil {
		t.Fatal(err)
	}
	if key.IsZero() {
		return plain.Bytes()
	}
	return signed(t, plain.Bytes(), key)
}

// mock is a small archive: its programs pass for ones of this machine as far as
// an upload looks, but cannot be started.
func mock(t *testing.T, version string, counter uint64, key archive.PrivateKey, edit func(*archive.PackConfig)) []byte {
	t.Helper()
	p := archive.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	c := archive.PackConfig{Manifest: archive.Manifest{Product: "kvd", Version: version, Counter: counter}, Stored: true}
	for _, name := range []string{"kvd", "kvctl"} {
		c.Files = append(c.Files, inMemory(inArchive(name), archivetest.Program(p, name+" "+version)))
	}
	c.Files = append(c.Files, inMemory("assets/filler", bytes.Repeat([]byte("filler "), 30_000)))
	if edit != nil {
		edit(&c)
	}
	var plain bytes.Buffer
	if _, err := archive.Pack(&plain, c); err != nil {
		t.Fatal(err)
	}
	if key.IsZero() {
		return plain.Bytes()
	}
	return signed(t, plain.Bytes(), key)
}

func inMemory(name string, b []byte) archive.PackFile {
	return archive.PackFile{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

func signed(t *testing.T, plain []byte, key archive.PrivateKey) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := archive.Sign(&b, bytes.NewReader(plain), int64(len(plain)), key, ""); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inArchive is where a program for this machine lies in an archive.
func inArchive(name string) string {
	return "bin/" + runtime.GOOS + "/" + runtime.GOARCH + "/" + name
}

// A kvd is a server as a process of its own.
type kvd struct {
	t       *testing.T
	dir     string // its files lie here
	program string // that is installed, no link
	data    string
	key     archive.PrivateKey // whose signature it trusts
	url     string
	pid     int

	cmd   *exec.Cmd
	ended chan struct{} // the process is gone
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
func startKVD(t *testing.T, c kvdConfig) *kvd {
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

func copyFile(t *testing.T, from, to string) {
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
		defer out.Close()
		for s := bufio.NewScanner(out); s.Scan(); {
			k.mu.Lock()
			k.lines = append(k.lines, s.Text())
			close(k.more)
			k.more = make(chan struct{})
			k.mu.Unlock()
		}
		k.cmd.Wait()
	}()
	t.Cleanup(func() {
		k.end(ended)
		k.http.CloseIdleConnections()
		if t.Failed() {
			k.mu.Lock()
			defer k.mu.Unlock()
			t.Logf("log of the server:\n%s", strings.Join(k.lines, "\n"))
		}
	})
	line := k.await(0, "serving:")
	_, rest, _ := strings.Cut(line, "url=")
	k.url, _, _ = strings.Cut(rest, " ")
}

// end asks the process to end, and kills it if it does not.
func (k *kvd) end(ended chan struct{}) {
	select {
	case <-ended:
		return
	default:
	}
	k.cmd.Process.Signal(os.Interrupt)
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		k.t.Errorf("kvd, pid %d, does not end when asked", k.pid)
		k.cmd.Process.Kill()
		<-ended
	}
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

// A gotten is a reply, read to its end.
type gotten struct {
	status int
	proto  int
	header http.Header
	body   []byte
}

// do sends a request below /api/v3, as the user of the server unless header has
// an Authorization. header is name, value, and so on.
func (k *kvd) do(method, path string, body io.Reader, header ...string) gotten {
	k.t.Helper()
	g, err := k.try(k.t.Context(), method, path, body, header...)
	if err != nil {
		k.t.Fatal(err)
	}
	return g
}

func (k *kvd) try(ctx context.Context, method, path string, body io.Reader, header ...string) (gotten, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, k.url+"/api/v3/"+path, body)
	if err != nil {
		return gotten{}, err
	}
	req.SetBasicAuth(k.login())
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(k.http, req)
}

func send(c *http.Client, req *http.Request) (gotten, error) {
	res, err := c.Do(req)
	if err != nil {
		return gotten{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return gotten{res.StatusCode, res.ProtoMajor, res.Header, b}, err
}

// upload sends b as drpcli does: its length is not announced.
func (k *kvd) upload(path string, b []byte) gotten {
	k.t.Helper()
	return k.do(http.MethodPost, path, struct{ io.Reader }{bytes.NewReader(b)}, "Content-Type", "application/octet-stream")
}

// ok fails the test unless the reply has this status and says that it is JSON.
func (g gotten) ok(t *testing.T, status int) gotten {
	t.Helper()
	if g.status != status {
		t.Fatalf("status %d, want %d: %s", g.status, status, g.body)
	}
	if got := g.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("status %d with Content-Type %q: drpcli takes that for an error", g.status, got)
	}
	return g
}

// into decodes the body; it must be one JSON value.
func (g gotten) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(g.body, v); err != nil {
		t.Fatalf("%v: %s", err, g.body)
	}
}

// A contractError is the error object as existing clients decode it.
type contractError struct {
	Model, Key, Type string
	Messages         []string
	Code             int
	Reason           string // ours
}

// refused fails the test unless the reply is an error object with this status,
// and this Reason unless it is "".
func (g gotten) refused(t *testing.T, status int, reason string) contractError {
	t.Helper()
	g.ok(t, status)
	var e contractError
	g.into(t, &e)
	if e.Model == "" || e.Type == "" || len(e.Messages) == 0 || slices.Contains(e.Messages, "") || e.Code != status {
		t.Errorf("not the error object that clients know: %s", g.body)
	}
	if !bytes.Contains(g.body, []byte(`"Key":`)) {
		t.Errorf("the error object has no Key: %s", g.body)
	}
	if reason != "" && e.Reason != reason {
		t.Errorf("refused for the reason %q, want %q: %s", e.Reason, reason, g.body)
	}
	return e
}

// info is what the server says of itself.
func (k *kvd) info() serverInfo {
	k.t.Helper()
	var i serverInfo
	k.do(http.MethodGet, "info", nil).ok(k.t, http.StatusOK).into(k.t, &i)
	return i
}

// status is the record, "none" if there is nothing.
func (k *kvd) status() upgrade.Status {
	k.t.Helper()
	var s upgrade.Status
	k.do(http.MethodGet, "system/upgrade/status?view=2", nil).ok(k.t, http.StatusOK).into(k.t, &s)
	return s
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

// A trace is what an upload could leave behind.
type trace struct {
	Stored    []string // files in the archive store
	Installed []string // names beside the program
	Program   string   // digest of it
	Companion string
	Record    string // what it says is there
	Version   string // that answers
	PID       int
}

// trace looks at everything that an upload may touch.
func (k *kvd) trace() trace {
	k.t.Helper()
	i := k.info()
	return trace{
		Stored: filesIn(k.t, filepath.Join(k.data, "archives")), Installed: namesIn(k.t, filepath.Dir(k.program)),
		Program: digestOf(k.t, k.program), Companion: digestOf(k.t, filepath.Join(filepath.Dir(k.program), "kvctl")),
		Record: k.status().Status, Version: i.Version, PID: i.PID,
	}
}

// filesIn returns the files at any depth of dir.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// namesIn returns what lies in dir, but for the journal, which is there always.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ".kvd.upgrade.json" {
			names = append(names, e.Name())
		}
	}
	return names
}

func digestOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// skip ends the test, unless nothing may be skipped here.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("LEADERLAST_NOSKIP") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
