package upgradecmd

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// here is where testdata lies, wherever a test goes.
var here = func() string { dir, _ := os.Getwd(); return dir }()

var update = flag.Bool("update", false, "write the golden files anew")

// A setup is how a command is run in a test.
type setup struct {
	args     []string
	script   string
	env      map[string]string
	width    int  // of the terminal; 0 is none at all
	height   int  // 24 if 0
	onlyErr  bool // stdout is a file
	ascii    bool
	coloured bool
	stdin    string // typed; stdin is a terminal then
	single   bool   // one endpoint
	change   func(*script)
	server   *fakeServer
	config   func(*Config)
}

// A running command.
type running struct {
	setup
	screen  *screen
	out     lockedBuffer
	err     lockedBuffer
	signals chan os.Signal
	resized chan os.Signal
	result  chan error
	code    int
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

// begun is when every recorded run begins.
var begun = time.Date(2026, 11, 22, 12, 1, 55, 0, time.UTC)

// start runs a command in a bubble whose clock stands at begun.
func start(t *testing.T, s setup) *running {
	t.Helper()
	if d := time.Until(begun); d > 0 {
		time.Sleep(d)
	}
	r := &running{setup: s, signals: make(chan os.Signal, 2), resized: make(chan os.Signal, 1), result: make(chan error, 1)}
	if r.height == 0 {
		r.height = 24
	}
	if s.script != "" {
		script := loadScript(t, s.script)
		if s.change != nil {
			s.change(&script)
		}
		r.server = newFakeServer(t, script)
	}
	root := r.root(t)
	root.SetArgs(s.args)
	go func() {
		r.result <- root.ExecuteContext(context.Background())
	}()
	return r
}

func (r *running) root(t *testing.T) *cobra.Command {
	var out, errs io.Writer = &r.out, &r.err
	if r.width > 0 {
		r.screen = newScreen(t, r.width, r.height)
		errs = r.screen
		if !r.onlyErr {
			out = r.screen
		}
	}
	m := &machine{
		getenv: func(name string) string {
			if v, ok := r.env[name]; ok {
				return v
			}
			switch {
			case name == "TERM":
				return "xterm"
			case name == "LANG" && !r.ascii:
				return "en_US.UTF-8"
			case name == "NO_COLOR" && !r.coloured:
				return "1"
			}
			return ""
		},
		terminal: func(stream any) (int, int, bool) {
			if s, ok := stream.(*screen); ok {
				w, h := s.size()
				return w, h, true
			}
			_, typed := stream.(*typist)
			return 80, 24, typed
		},
		signals: func() (<-chan os.Signal, func()) { return r.signals, func() {} },
		resized: func() (<-chan os.Signal, func()) { return r.resized, func() {} },
		loc:     time.UTC,
	}
	c := Config{Product: "provd", machine: m, Endpoints: []string{"https://10.0.0.11:8092", "https://10.0.0.12:8092", "https://10.0.0.13:8092"}}
	if r.single {
		c.Endpoints = c.Endpoints[:1]
	}
	if r.server != nil {
		c.Connect = func(_ context.Context, target Target) (httpapi.ClientConfig, error) {
			config := httpapi.ClientConfig{Servers: target.Endpoints, HTTP: &http.Client{Transport: r.server}}
			if target.Token != "" {
				config.Auth = httpapi.BearerAuth(target.Token)
			}
			return config, nil
		}
	}
	if r.config != nil {
		r.config(&c)
	}
	root := &cobra.Command{Use: "provd"}
	root.AddCommand(New(c))
	root.SetOut(out)
	root.SetErr(errs)
	if r.stdin != "" {
		root.SetIn(&typist{strings.NewReader(r.stdin), errs})
	} else {
		root.SetIn(bytes.NewReader(nil))
	}
	return root
}

// A typist answers at a terminal, which shows what is typed.
type typist struct {
	text *strings.Reader
	echo io.Writer
}

func (t *typist) Read(p []byte) (int, error) {
	n, err := t.text.Read(p)
	_, _ = t.echo.Write(p[:n])
	return n, err
}

// wait returns when the command has ended.
func (r *running) wait(t *testing.T) {
	t.Helper()
	r.code = ExitCode(<-r.result)
	if r.server != nil {
		r.server.stop()
	}
	synctest.Wait()
}

// run runs a command to its end.
func run(t *testing.T, s setup) *running {
	var r *running
	synctest.Test(t, func(t *testing.T) {
		r = start(t, s)
		r.wait(t)
	})
	return r
}

// text is what the operator saw, for a golden file.
func (r *running) text() string {
	var b strings.Builder
	b.WriteString("$ provd " + strings.Join(r.args, " ") + "\n")
	if r.screen != nil {
		b.WriteString(r.screen.text())
	}
	for _, part := range []struct{ name, text string }{{"stdout", r.out.String()}, {"stderr", r.err.String()}} {
		if part.text != "" {
			b.WriteString("-- " + part.name + "\n" + part.text)
		}
	}
	return unsteady.ReplaceAllString(b.String(), "$1~") + "-- exit code " + strconv.Itoa(r.code) + " " + ExitName(r.code) + "\n"
}

// unsteady are the times that depend on how often a client tried again, which is
// left to chance.
var unsteady = regexp.MustCompile(`("observed_at":\s*"|"connection","at":")[^"]*`)

// golden compares text with a file of testdata/golden.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(here, "testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; write it with: go test -update", err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// makeArchive goes to a directory that holds provd-4.12.0.zip, 41.2 MB, the same
// bytes each time, and notes.txt.
func makeArchive(t *testing.T) {
	t.Helper()
	dir, err := archiveDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}

var archiveDir = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "commands-*")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("no archive"), 0o644); err != nil {
		return dir, err
	}
	f, err := os.Create(filepath.Join(dir, "provd-4.12.0.zip"))
	if err != nil {
		return dir, err
	}
	defer f.Close()
	_, err = archive.Pack(f, archive.PackConfig{
		Manifest: archive.Manifest{Product: "provd", Version: "4.12.0", Counter: 57},
		Stored:   true,
		Files: []archive.PackFile{
			{Name: "bin/linux/amd64/provd", Open: zeros(38_000_000)},
			{Name: "bin/linux/amd64/provctl", Open: zeros(3_200_000)},
		},
	})
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := archiveDir(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func zeros(n int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeroReader{}, n)), nil }
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
