package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
)

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

// A build is what is linked into a kvd.
type build struct {
	version string
	spoilt  spoil.Way
	format  string // of its data; 1 if ""
}

// name is that of a directory: the version, if it is nothing but that.
func (b build) name() string {
	return strings.TrimRight(fmt.Sprintf("%s,%s,%s", b.version, b.spoilt, b.format), ",")
}

// built returns a directory with kvd and kvctl of a version that is good.
func built(t testing.TB, version string) string {
	t.Helper()
	return builtAs(t, build{version: version})
}

// builtAs returns a directory with kvd and kvctl.
func builtAs(t testing.TB, b build) string {
	t.Helper()
	dir := filepath.Join(builds.dir, b.name())
	builds.mu.Lock()
	once, ok := builds.made[b.name()]
	if !ok {
		once = sync.OnceValue(func() error { return b.make(dir) })
		builds.made[b.name()] = once
	}
	builds.mu.Unlock()
	if err := once(); err != nil {
		t.Fatal(err)
	}
	if b.spoilt != spoil.Good {
		good := builtAs(t, build{version: b.version, format: b.format})
		if err := os.Link(filepath.Join(good, "kvctl"), filepath.Join(dir, "kvctl")); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	return dir
}

func (b build) make(dir string) error {
	values := "-s -w -X main.version=" + b.version + " -X main.spoilt=" + string(b.spoilt)
	if b.format != "" {
		values += " -X main.format=" + b.format
	}
	programs := map[string]string{"kvd": ".", "kvctl": "./kvctl"}
	if b.spoilt != spoil.Good { // the same kvctl as of a good one
		delete(programs, "kvctl")
	}
	for name, pkg := range programs {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", values, "-o", filepath.Join(dir, name), pkg)
		if b.spoilt == spoil.NoCapabilities {
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s %s: %w\n%s", name, b.name(), err, out)
		}
	}
	return nil
}

// newKey makes a key that may sign releases.
func newKey(t testing.TB) archive.PrivateKey {
	t.Helper()
	key, err := archive.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// packed is an archive of a version, made by package archive. Both programs are
// in it unless edit says otherwise. A zero key leaves it unsigned.
func packed(t testing.TB, version string, counter uint64, key archive.PrivateKey, edit func(*archive.PackConfig)) []byte {
	t.Helper()
	return packedAs(t, build{version: version}, counter, key, edit)
}

// packedAs is packed of a build.
func packedAs(t testing.TB, b build, counter uint64, key archive.PrivateKey, edit func(*archive.PackConfig)) []byte {
	t.Helper()
	dir := builtAs(t, b)
	c := archive.PackConfig{
		Manifest: archive.Manifest{Product: "kvd", Version: b.version, Counter: counter},
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
func mock(t testing.TB, version string, counter uint64, key archive.PrivateKey, edit func(*archive.PackConfig)) []byte {
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

func signed(t testing.TB, plain []byte, key archive.PrivateKey) []byte {
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
