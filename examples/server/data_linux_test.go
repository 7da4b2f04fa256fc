package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// operate runs an upgrade command as an operator would, and returns what it says.
// It must end with this code.
func (h *hosted) operate(code int, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(built(h.t, "1.0.0"), "kvd"), append([]string{"upgrade"}, args...)...)
	cmd.Env = append(os.Environ(), "KVD_DATA="+h.data)
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		h.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		h.t.Fatalf("%q ends with %d, want %d:\n%s", args, got, code, out)
	}
	return string(out)
}

// install installs a build by an upgrade that finishes.
func (h *hosted) upgradeTo(b build, counter uint64) {
	h.t.Helper()
	h.upload("system/upgrade/stage", packedAs(h.t, b, counter, h.key, nil)).ok(h.t, http.StatusCreated)
	h.run()
	if s := h.outcome(); s.Status != "finished" {
		h.t.Fatalf("the run ended as %s: %s", s.Status, said(s))
	}
	if got := h.info().Version; got != b.version {
		h.t.Fatalf("%s serves", got)
	}
}

// kept are the names of copies of the data.
func (h *hosted) kept() (names []string) {
	h.t.Helper()
	for _, name := range filesIn(h.t, h.data) {
		if strings.HasPrefix(name, "kv.log.") {
			names = append(names, name)
		}
	}
	return names
}

// TestFormat: a version that changes the format of the data keeps a copy for the
// one before until the commit. A rollback that would lose what was written since
// is refused; a version that keeps the format goes back with the data as they are.
func TestFormat(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"exec", "hand-over"} {
		t.Run(method, func(t *testing.T) {
			h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
			h.env = h.marked()
			h.args = []string{"--restart", method, "--listen", freeAddress(t)}
			h.serve()
			h.put("color", "blue")

			h.upgradeTo(build{version: "1.1.0"}, 2)
			h.until("the copy is gone", func() bool { return len(h.kept()) == 0 })
			h.put("color", "red")
			h.operate(upgradecmd.CodeOK, "rollback", "--yes")
			if s := h.outcome(); s.Status != "finished" || s.Run.Kind != "rollback" {
				t.Errorf("the rollback ended as %s: %s", s.Status, said(s))
			}
			if got := h.info().Version + " " + h.get("color"); got != "1.0.0 red" {
				t.Errorf("after the rollback: %s", got)
			}
			h.operate(upgradecmd.CodeOK, "unstage", "--yes")

			h.upgradeTo(build{version: "1.2.0", format: "2"}, 3)
			if kept := h.kept(); len(kept) != 1 || kept[0] != "kv.log.copy.1.0.0" {
				t.Errorf("copies: %v", kept)
			}
			h.put("color", "green")
			said := h.operate(upgradecmd.CodeRefused, "rollback", "--yes")
			if !strings.Contains(said, "1.0.0 cannot read") || !strings.Contains(said, "format 2") {
				t.Errorf("the rollback is refused with %s", said)
			}
			h.operate(upgradecmd.CodeOK, "commit", "--yes")
			h.until("the copy is gone", func() bool { return len(h.kept()) == 0 })
			h.until("the program from before is gone", func() bool {
				return len(namesIn(t, filepath.Dir(h.program))) == 2
			})
			if got := h.info().Version + " " + h.get("color"); got != "1.2.0 green" {
				t.Errorf("in the end: %s", got)
			}
			h.operate(upgradecmd.CodeRefused, "rollback", "--yes")
		})
	}
}

// TestNoWayBack: once the way back is closed, before the data change, a version
// that is no good stays, its member fails by name, and a supervisor that gives up
// leaves it so.
func TestNoWayBack(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for starts that do not last")
	}
	t.Parallel()
	h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
	h.args = []string{"--no-way-back", "--supervised", "--start-limit", "2", "--min-healthy", "10s", "--listen", freeAddress(t)}
	s := h.supervise(2)
	h.put("color", "blue")
	h.upload("system/upgrade/stage", packedAs(t, build{"1.1.0", spoil.EndsLate, "2"}, 2, h.key, nil)).ok(t, http.StatusCreated)
	h.run()
	h.awaitClosed(s.gaveUp)
	if got, err := formatOf(filepath.Join(h.data, "kv.log")); got != 2 || err != nil || len(h.kept()) > 0 {
		t.Errorf("the data are of format %d (%v), with copies %v", got, err, h.kept())
	}
	if got := digestOf(t, h.program); got != digestOf(t, filepath.Join(builtAs(t, build{"1.1.0", spoil.EndsLate, "2"}), "kvd")) {
		t.Error("the program at the path is not the new one")
	}
	h.serve()
	if got := h.get("color"); got != "blue" {
		t.Errorf("color is %q", got)
	}
	end := h.status()
	if end.Status != "failed" || *end.Run.Reason != "NoWayBack" || *end.Run.FailedMember != "kvd" {
		t.Errorf("the run ended as %s: %s", end.Status, said(end))
	}
	h.gone() // late
}
