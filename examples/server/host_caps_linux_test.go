package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// systemUser makes an ordinary user of the system, which is removed again.
func systemUser(t testing.TB) (name string, uid, gid int) {
	t.Helper()
	name = fmt.Sprintf("kvdtest%d", os.Getpid())
	sh(t, "useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
	t.Cleanup(func() { sh(t, "userdel", name) })
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		t.Fatal(err)
	}
	return name, uid, gid
}

// asUser has the server run as its user, and see rules in the place of
// /etc/sudoers.d: nobody else on this machine sees them.
func (h *hosted) asUser(rules string) {
	h.with = []string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount --bind "$1" /etc/sudoers.d && shift && exec "$@"`, "-", rules}
	h.with = append(h.with, h.become()...)
}

// become is what makes root the user of the server.
func (h *hosted) become() []string {
	return []string{"setpriv", "--reuid", strconv.Itoa(h.uid), "--regid", strconv.Itoa(h.gid), "--clear-groups"}
}

// inside runs a command where the server sees it.
func (h *hosted) inside(words ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", strconv.Itoa(h.pid), "--mount"}, words...)...)
}

// TestCapabilitiesBySudo upgrades a server of an ordinary user that listens on a
// port below 1024 by the capabilities of its file: without a rule of sudo it is
// refused by name before anything is touched, and with the rule that the refusal
// proposes it succeeds. It does so too if the program belongs to root, whose
// files the kernel lets that user neither link to nor give back.
func TestCapabilitiesBySudo(t *testing.T) {
	t.Parallel()
	needsRoot(t, "sudo", "visudo", "setcap", "getcap", "useradd", "userdel", "unshare", "nsenter", "setpriv")
	name, uid, gid := systemUser(t)
	for _, owner := range []int{uid, 0} {
		t.Run(map[int]string{uid: "own program", 0: "program of root"}[owner], func(t *testing.T) {
			if b, err := os.ReadFile("/proc/sys/fs/protected_hardlinks"); owner == 0 && (err != nil || strings.TrimSpace(string(b)) != "1") {
				skip(t, "needs fs.protected_hardlinks=1")
			}
			h := install(t, openDir(t), uid, gid)
			if owner == 0 {
				for _, name := range []string{"kvd", "kvctl"} {
					if err := os.Chown(h.beside(name), 0, 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := os.Chmod(h.program, 0o750|0o005); err != nil {
				t.Fatal(err)
			}
			sh(t, "setcap", "cap_net_bind_service+ep", h.program)
			rules := t.TempDir()
			h.asUser(rules)
			h.args = []string{"--listen", lowPort(t)}
			h.serve()
			before, files := stateOf(t, h.program), h.states()
			archive := packed(t, "1.1.0", 2, h.key, nil)

			c := failedCheck(t, h.check().Checks, "capability-method")
			if !strings.Contains(c.Seen, "cap_net_bind_service=ep") {
				t.Errorf("it does not say what cannot be given: %s", c.Seen)
			}
			e := h.upload("system/upgrade/stage", archive).refused(t, http.StatusConflict, "PrerequisiteFailed")
			if !strings.Contains(e.Messages[0], "capability-method") {
				t.Errorf("stage is not refused by name: %q", e.Messages)
			}
			h.unchanged(files)

			// The remedy, as it stands, makes it well.
			if out, err := h.inside("sh", "-c", c.Fix.Command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", c.Fix.Command, err, out)
			}
			rule := filepath.Join(rules, "kvd-upgrade")
			sh(t, "visudo", "-c", "-f", rule)
			want := name + ` ALL=(root) NOPASSWD: /usr/sbin/setcap cap_net_bind_service\=ep ` + h.beside(".kvd.upgrade")
			if b, err := os.ReadFile(rule); err != nil || strings.TrimSpace(string(b)) != want {
				t.Errorf("the rule is %q, want %q", b, want)
			}
			for _, try := range []string{h.beside("kvctl"), h.beside(".kvd.previous")} {
				if out, err := h.inside(append(h.become(), "sudo", "-n", "setcap", "cap_net_bind_service=ep", try)...).CombinedOutput(); err == nil {
					t.Errorf("the rule permits %s too: %s", try, out)
				}
			}
			if r := h.check(); !r.Ready {
				t.Errorf("not ready with the rule: %+v", r.Checks)
			}
			h.upload("system/upgrade/stage", archive).ok(t, http.StatusCreated)

			// A rule that was taken away since is missed before the run begins.
			text, err := os.ReadFile(rule)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(rule); err != nil {
				t.Fatal(err)
			}
			e = h.do(http.MethodPost, "system/upgrade/run", nil).refused(t, http.StatusConflict, "PrerequisiteFailed")
			if !strings.Contains(e.Messages[0], "capability-method") {
				t.Errorf("run is not refused by name: %q", e.Messages)
			}
			h.unchanged(files)
			if err := os.WriteFile(rule, text, 0o440); err != nil {
				t.Fatal(err)
			}

			url := h.url
			h.run()
			s := h.finished()
			if got := h.info(); got.PID != h.pid || h.url != url {
				t.Errorf("pid %d at %s, was %d at %s", got.PID, h.url, h.pid, url)
			}
			after := stateOf(t, h.program)
			if after.Capabilities != before.Capabilities || after.Mode != before.Mode || after.Inode == before.Inode {
				t.Errorf("was %+v, is %+v", before, after)
			}
			if got := sh(t, "getcap", h.program); got != h.program+" cap_net_bind_service=ep" {
				t.Errorf("getcap says %q", got)
			}
			kept := stateOf(t, h.beside(".kvd.previous"))
			if kept.Capabilities != before.Capabilities || kept.Mode != before.Mode ||
				digestOf(t, h.beside(".kvd.previous")) != digestOf(t, filepath.Join(built(t, "1.0.0"), "kvd")) {
				t.Errorf("kept %+v of %+v", kept, before)
			}
			words := said(s)
			if owner == uid {
				if kept.Inode != before.Inode || after.UID != before.UID || after.GID != before.GID {
					t.Errorf("was %+v, is %+v, kept %+v", before, after, kept)
				}
			} else {
				for _, word := range []string{"hard link", "kept as a copy", "belonged to 0:0", fmt.Sprintf("belongs to %d:%d", uid, gid)} {
					if !strings.Contains(words, word) {
						t.Errorf("the transcript does not say %q:\n%s", word, words)
					}
				}
				if kept.Inode == before.Inode || after.UID != uint32(uid) {
					t.Errorf("was %+v, is %+v, kept %+v", before, after, kept)
				}
			}
			h.tidy()
		})
	}
}

// unchanged fails the test unless everything beside the program is as it was.
func (h *hosted) unchanged(want map[string]fileState) {
	h.t.Helper()
	got := h.states()
	for name, state := range want {
		if got[name] != state {
			h.t.Errorf("%s was touched: %+v, was %+v", name, got[name], state)
		}
	}
	if len(got) != len(want) {
		h.t.Errorf("beside the program lie %v, before %v", got, want)
	}
}

// TestCapabilitiesByRoot: root gives capabilities itself, and needs no tool.
func TestCapabilitiesByRoot(t *testing.T) {
	t.Parallel()
	needsRoot(t, "setcap")
	h := install(t, t.TempDir(), 0, 0)
	if err := os.Chown(h.program, 12345, 23456); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.program, 0o751); err != nil {
		t.Fatal(err)
	}
	sh(t, "setcap", "cap_net_bind_service,cap_net_raw+ep", h.program)
	before := stateOf(t, h.program)
	h.env = []string{"PATH=/nonexistent"}
	h.serve()
	h.stage()
	h.run()
	h.finished()
	after := stateOf(t, h.program)
	if after.Capabilities != before.Capabilities || after.Mode != before.Mode || after.UID != before.UID || after.GID != before.GID {
		t.Errorf("was %+v, is %+v", before, after)
	}
	if got := h.info(); got.PID != h.pid {
		t.Errorf("pid %d, was %d", got.PID, h.pid)
	}
	h.tidy()
}
