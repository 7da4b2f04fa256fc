package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
)

// TestSpoiltRefused: what can be seen of a new program without letting it serve is
// seen before anything is touched, and refused with the reason, however the server
// would be started over.
func TestSpoiltRefused(t *testing.T) {
	t.Parallel()
	for _, method := range [][]string{{"exec"}, {"hand-over"}, {"exit", "--supervised"}} {
		t.Run(method[0], func(t *testing.T) { refusals(t, append([]string{"--restart"}, method...)) })
	}
}

func refusals(t *testing.T, args []string) {
	h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
	h.env, h.args = h.marked(), args
	h.serve()
	before, info := h.states(), h.info()
	other := archive.Platform{OS: runtime.GOOS, Arch: map[string]string{"amd64": "arm64"}[runtime.GOARCH]}
	if other.Arch == "" {
		other.Arch = "amd64"
	}
	for _, c := range []struct {
		name    string
		file    archive.PackFile
		refused string // at "stage" or "run"
		word    string
	}{
		{"no program", inMemory("", archivetest.Program(archive.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}, "no program")), "run", "does not start"},
		{"its loader is missing", inMemory("", []byte("#!/nonexistent/loader\n")), "run", "no such file"},
		{"cannot be executed half", inMemory("", half(t, filepath.Join(built(t, "1.1.0"), "kvd"))), "run", "probe"},
		{"crashes before main", archive.PackFile{Path: crashing(t)}, "run", "crashed before main"},
		{"another version", archive.PackFile{Path: filepath.Join(built(t, "1.1.0"), "kvd")}, "run", `version "1.1.0"`},
		{"for another machine", inMemory("", archivetest.Program(other, "another")), "stage", "another machine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			release := packed(t, "1.1.0", 2, h.key, func(p *archive.PackConfig) {
				p.Manifest.Version = "1.2.0"
				c.file.Name = p.Files[0].Name
				p.Files[0] = c.file
			})
			g := h.upload("system/upgrade/stage", release)
			if c.refused == "run" {
				g.ok(t, http.StatusCreated)
				g = h.do(http.MethodPost, "system/upgrade/run", nil)
			}
			e := g.refused(t, map[string]int{"run": http.StatusConflict, "stage": http.StatusUnprocessableEntity}[c.refused], "")
			if !strings.Contains(strings.Join(e.Messages, " "), c.word) {
				t.Errorf("refused without the word %q: %q", c.word, e.Messages)
			}
			if s := h.status(); s.Status != map[string]string{"run": "staged", "stage": "none"}[c.refused] {
				t.Errorf("the record says %s", s.Status)
			}
			h.tidy()
			h.unchanged(before)
			if now := h.info(); now != info {
				t.Errorf("%+v serves, before %+v", now, info)
			}
			if left := h.alive(); len(left) != 1 {
				t.Errorf("processes: %v", left)
			}
		})
	}
}

// half is the first half of a file.
func half(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b[:len(b)/2]
}

// crashing is a program that does not come to main.
func crashing(t testing.TB) (path string) {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte(`package main

func init() { panic("crashed before main") }

func main() {}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "kvd")
	if out, err := exec.Command("go", "build", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
