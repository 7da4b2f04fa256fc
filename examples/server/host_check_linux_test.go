package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRefusedByTheMachine: what a machine does not permit is found out by check
// and refused by name at stage, with nothing touched.
func TestRefusedByTheMachine(t *testing.T) {
	t.Parallel()
	needsRoot(t, "mount", "setcap", "setpriv")
	mount := func(t *testing.T, kind, options, at string) {
		t.Helper()
		if out, err := exec.Command("mount", "-t", kind, "-o", options, kind, at).CombinedOutput(); err != nil {
			skip(t, fmt.Sprintf("needs mounts of %s: %s", kind, out))
		}
		t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	}
	for _, c := range []struct {
		name, id, word string
		before         func(t *testing.T, h *hosted) // the start
		after          func(t *testing.T, h *hosted)
	}{
		{"no programs from there", "file-system", "noexec",
			func(t *testing.T, h *hosted) { mount(t, "tmpfs", "size=64m", filepath.Dir(h.program)) },
			func(t *testing.T, h *hosted) { sh(t, "mount", "-o", "remount,noexec", filepath.Dir(h.program)) }},
		{"read-only", "file-system", "read-only",
			func(t *testing.T, h *hosted) {
				dir := filepath.Dir(h.program)
				sh(t, "mount", "--bind", dir, dir)
				t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
			},
			func(t *testing.T, h *hosted) {
				sh(t, "mount", "-o", "remount,bind,ro", filepath.Dir(h.program))
			}},
		{"a container", "container", "overlay",
			func(t *testing.T, h *hosted) {
				dirs := t.TempDir()
				for _, name := range []string{"lower", "upper", "work"} {
					if err := os.Mkdir(filepath.Join(dirs, name), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				mount(t, "overlay", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dirs), filepath.Dir(h.program))
			}, nil},
		{"no new privileges", "no-new-privileges", "cap_net_bind_service",
			func(t *testing.T, h *hosted) { h.with = []string{"setpriv", "--no-new-privs"} }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := install(t, t.TempDir(), 0, 0)
			c.before(t, h)
			for _, name := range []string{"kvd", "kvctl"} { // a mount hides what was installed
				if _, err := os.Lstat(h.beside(name)); err != nil {
					copyFile(t, filepath.Join(built(t, "1.0.0"), name), h.beside(name))
				}
			}
			sh(t, "setcap", "cap_net_bind_service+ep", h.program)
			h.serve()
			if c.after != nil {
				c.after(t, h)
			}
			files := h.states()
			r := h.check()
			if got := failedCheck(t, r.Checks, c.id); r.Ready || !strings.Contains(got.Seen, c.word) {
				t.Errorf("%+v", got)
			}
			e := h.upload("system/upgrade/stage", packed(t, "1.1.0", 2, h.key, nil)).refused(t, http.StatusConflict, "PrerequisiteFailed")
			if !strings.Contains(strings.Join(e.Messages, "\n"), c.id) {
				t.Errorf("not refused by name: %q", e.Messages)
			}
			h.unchanged(files)
			if left := filesIn(t, filepath.Join(h.data, "archives")); len(left) > 0 {
				t.Errorf("left in the store: %v", left)
			}
		})
	}
}
