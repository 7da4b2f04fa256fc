package main

import (
	"bytes"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

// TestFaults has calls of the real server fail. While staging, the upload is
// refused; in the run, it fails by name and the old version serves on, or it is
// finished all the same. Nothing is left over either way, and once the disk is
// well again an upgrade succeeds.
func TestFaults(t *testing.T) {
	t.Parallel()
	needsRoot(t, "strace")
	key := newKey(t)
	release := packed(t, "1.1.0", 2, key, nil)
	sum := archive.DigestOf(release).Hex()
	const renames = "?rename,renameat,?renameat2"
	for _, c := range []struct {
		name   string
		stage  bool   // the fault is while staging
		inject string // as strace has it
		path   string // a call must name, below the directory of the test
		end    string // of the run: finished, or a word of the final state
	}{
		{"flush of the archive", true, "fsync:error=EIO:when=1", "", ""},
		{"rename of the archive", true, renames + ":error=EPERM", "data/archives/sha256/" + sum[:2] + "/" + sum, ""},
		{"the disk is read-only", true, renames + ":error=EROFS", "data/archives/sha256/" + sum[:2] + "/" + sum, ""},
		{"flush of the names", true, "fsync:error=EIO", "data/archives/sha256", ""},

		{"no room beside", false, "write:error=ENOSPC", "installed/.kvd.upgrade", "no space left"},
		{"no room for the companion", false, "write:error=EDQUOT", "installed/.kvctl.upgrade", "quota"},
		{"bad block", false, "write:error=EIO:when=2+", "installed/.kvd.upgrade", "input/output error"},
		{"flush of the new program", false, "fsync:error=EIO", "installed/.kvd.upgrade", "input/output error"},
		{"mode", false, "fchmod:error=EPERM", "installed/.kvd.upgrade", "not permitted"},
		{"hard link", false, "?link,linkat:error=EPERM", "installed/kvd", "finished"},
		{"hard link, worse", false, "?link,linkat:error=EIO", "installed/kvd", "input/output error"},
		{"journal", false, renames + ":error=EIO", "installed/.kvd.upgrade.json", "input/output error"},
		{"rename of the companion", false, renames + ":error=EPERM", "installed/kvctl", "not permitted"},
		{"rename of the program", false, renames + ":error=EPERM", "installed/kvd", "not permitted"},
		{"flush of the directory", false, "fsync:error=EIO", "installed", "input/output error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := install(t, t.TempDir(), 0, 0)
			h.trust(key)
			h.serve()
			if !c.stage {
				h.upload("system/upgrade/stage", release).ok(t, http.StatusCreated)
			}
			var paths []string
			if c.path != "" {
				paths = []string{filepath.Join(h.dir, c.path)}
			}
			x := h.tamper(c.inject, paths...)
			if c.stage {
				g, err := h.try(t.Context(), http.MethodPost, "system/upgrade/stage", bytes.NewReader(release))
				if err != nil {
					t.Fatal(err)
				}
				x.stop()
				if g.status < 500 {
					t.Errorf("status %d: %s", g.status, g.body)
				}
				g.refused(t, g.status, "")
				if s := h.status(); s.Status != "none" {
					t.Errorf("the record says %s", s.Status)
				}
			} else {
				g, err := h.try(t.Context(), http.MethodPost, "system/upgrade/run", nil)
				if err != nil {
					t.Fatal(err)
				}
				if g.status == http.StatusAccepted {
					s := h.outcome()
					if s.Status == "finished" != (c.end == "finished") || s.Status == "failed" && !strings.Contains(said(s), c.end) {
						t.Errorf("the run ended as %s: %s", s.Status, said(s))
					}
				} else {
					g.refused(t, g.status, "")
				}
				x.stop()
			}
			if !strings.Contains(x.calls(), "INJECTED") {
				t.Errorf("no call failed:\n%s", x.calls())
			}
			want := "1.0.0"
			if c.end == "finished" {
				want = "1.1.0"
			}
			if got := h.info(); got.Version != want || got.PID != h.pid {
				t.Errorf("%+v serves, want %s and pid %d", got, want, h.pid)
			}
			h.holds(want)
			h.tidy()
			if c.end != "finished" {
				h.upload("system/upgrade/stage", release).ok(t, http.StatusCreated)
				h.run()
				h.finished()
				h.tidy()
			}
			if names := namesIn(t, filepath.Dir(h.program)); !slices.Contains(names, ".kvd.previous") {
				t.Errorf("no way back: %v", names)
			}
		})
	}
}
