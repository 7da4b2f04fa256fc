package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// aside returns the data that were set aside, by the word of the log, if there are
// to be some.
func (h *hosted) aside(log int, some bool) []string {
	h.t.Helper()
	if !some {
		return nil
	}
	line := h.await(log, "what was written since is in that file only")
	_, rest, _ := strings.Cut(line, " file=")
	path, _, _ := strings.Cut(rest, " ")
	path = strings.Trim(path, `"`) // as it is where a name needs them
	name, err := filepath.Rel(h.data, path)
	if err != nil || !strings.Contains(line, "since=") {
		h.t.Fatalf("%q: %v", line, err)
	}
	if _, err := os.Stat(path); err != nil {
		h.t.Errorf("what the log names: %v", err)
	}
	return []string{name}
}

// TestAcknowledged: what a version on trial has answered is there once it was put
// back: in the data if they kept their format, in the file that the log names if not.
func TestAcknowledged(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"exec", "hand-over"} {
		for _, format := range []string{"1", "2"} {
			t.Run(method+" format "+format, func(t *testing.T) {
				t.Parallel()
				h := install(t, t.TempDir(), os.Getuid(), os.Getgid())
				h.env = h.marked()
				h.args = []string{"--restart", method, "--start-limit", "1", "--confirm-timeout", "5m", "--listen", freeAddress(t)}
				var s *supervisor
				if method == "exec" {
					h.args = append(h.args, "--supervised")
					s = h.supervise(0)
				} else {
					h.serve()
				}
				h.put("color", "blue")
				next := build{version: "1.1.0", spoilt: spoil.NeverReady}
				if format != "1" {
					next.format = format
				}
				h.upload("system/upgrade/stage", packedAs(t, next, 2, h.key, nil)).ok(t, http.StatusCreated)
				log := h.logged()
				h.run()
				pid := h.pidIn(h.await(log, "serving:"))
				h.put("color", "red")
				if got := h.info().Version; got != "1.1.0" {
					t.Fatalf("%s serves", got)
				}
				why := `came to nothing: .*killed`
				if s != nil {
					s.signal(os.Kill)
					why = `1.1.0 ended 1 times within`
				} else {
					killed(t, pid)
				}
				h.failed(log, why)
				aside := h.aside(log, format != "1")
				if format == "1" {
					if got := h.get("color"); got != "red" || len(h.kept()) > 0 {
						t.Errorf("color is %q, and beside the data lie %v", got, h.kept())
					}
					return
				}
				if got := h.get("color"); got != "blue" || strings.Join(h.kept(), " ") != aside[0] {
					t.Errorf("color is %q, and beside the data lie %v", got, h.kept())
				}
				if lines, err := survey(filepath.Join(h.data, aside[0]), 2); err != nil || lines != 3 {
					t.Errorf("what was set aside has %d lines: %v", lines, err)
				}
				if b, err := os.ReadFile(filepath.Join(h.data, aside[0])); err != nil || !strings.Contains(string(b), "red") {
					t.Errorf("what was set aside is %q: %v", b, err)
				}
				h.operate(upgradecmd.CodeOK, "unstage", "--yes")
				h.upgradeTo(build{version: "1.2.0"}, 3)
				h.until("the copy is gone", func() bool { return strings.Join(h.kept(), " ") == aside[0] })
				h.operate(upgradecmd.CodeOK, "commit", "--yes")
				h.until("what was set aside is gone", func() bool { return len(h.kept()) == 0 })
			})
		}
	}
}

// What a version finds that was put back, wherever the copy or the putting back was
// cut off.
func TestPutBackData(t *testing.T) {
	const (
		good  = `{"key":"color","value":"blue"}` + "\n"
		more  = good + `{"key":"color","value":"red"}` + "\n"
		bad   = "spoilt\n"
		newer = `{"format":2}` + "\n" + good
	)
	for _, c := range []struct {
		name       string
		data, copy string // "-": no such file
		halfAside  bool   // it was cut off once
		want       string
		aside      string // what is set aside
		says       string // of the error
	}{
		{name: "never opened", data: good, copy: "-", want: good},
		{name: "written to", data: more, copy: good, want: more},
		{name: "the last line was cut off", data: more + `{"ke`, copy: good, want: more + `{"ke`},
		{name: "spoilt", data: bad, copy: good, want: good, aside: bad},
		{name: "spoilt, cut off", data: bad, copy: good, halfAside: true, want: good, aside: bad},
		{name: "newer", data: newer, copy: good, want: good, aside: newer},
		{name: "gone", data: "-", copy: good, want: good},
		{name: "emptied", data: "", copy: good, want: good, aside: ""},
		{name: "no line in it", data: "spoilt", copy: good, want: good, aside: "spoilt"},
		{name: "both empty", data: "", copy: "", want: ""},
		{name: "both spoilt", data: bad, copy: bad, want: bad, says: "put a backup in place of "},
		{name: "data and no copy", data: bad, copy: "-", want: bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{dir: t.TempDir(), format: 1, log: hclog.NewNullLogger()}
			write(t, s.dataPath(), c.data)
			write(t, s.copyPath(version), c.copy)
			if c.halfAside {
				if _, err := s.setAside(); err != nil {
					t.Fatal(err)
				}
			}
			err := s.putBack()
			if err == nil {
				err = s.putBack() // every start is told, until one has come to serve
			}
			if (err != nil) != (c.says != "") || err != nil && !(strings.Contains(err.Error(), c.says) && strings.Contains(err.Error(), s.dataPath())) {
				t.Fatalf("put back: %v, want %q", err, c.says)
			}
			if b, err := os.ReadFile(s.dataPath()); err != nil || string(b) != c.want {
				t.Errorf("the data are %q (%v), want %q", b, err, c.want)
			}
			if err != nil {
				return
			}
			left, _ := filepath.Glob(s.dataPath() + ".*")
			if set := c.data != c.want && c.data != "-"; set != (len(left) == 1) || len(left) > 1 {
				t.Fatalf("beside the data lie %v", left)
			} else if set {
				if b, err := os.ReadFile(left[0]); err != nil || string(b) != c.aside {
					t.Errorf("set aside is %q (%v), want %q", b, err, c.aside)
				}
			}
		})
	}
}

// A copy is made once in a trial, and half a copy passes for none.
func TestKeepCopy(t *testing.T) {
	s := &server{dir: t.TempDir(), format: 1, log: hclog.NewNullLogger()}
	kept := s.copyPath("0.9.0")
	write(t, s.dataPath(), "good\n")
	write(t, kept+unfinished, "go")
	write(t, s.copyPath("0.8.0"), "old\n")
	for _, now := range []string{"good\n", "spoilt\n"} {
		write(t, s.dataPath(), now)
		if err := s.keepCopy("0.9.0"); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(kept); err != nil || string(b) != "good\n" {
			t.Errorf("the copy is %q: %v", b, err)
		}
		if left, _ := filepath.Glob(s.dataPath() + ".*"); len(left) != 1 {
			t.Errorf("beside the data lie %v", left)
		}
	}
}

// A version that cannot read its data says where they are and what to do.
func TestUnreadableSays(t *testing.T) {
	for _, kept := range []string{"-", "{}\n"} {
		s := &server{dir: t.TempDir(), format: 1, log: hclog.NewNullLogger()}
		write(t, s.dataPath(), "spoilt\n")
		write(t, s.copyPath(version), kept)
		_, err := openStore(s.dataPath(), 1)
		want := "put a backup in their place"
		if kept != "-" {
			want = "move it to " + s.dataPath()
		}
		if err = s.unreadable(err, false); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), s.dir) {
			t.Errorf("with the copy %q it says %q", kept, err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if text == "-" {
		return
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
