package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/examples/internal/showtest"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// ofVersion fails the test unless both installed programs are those of version.
func (k *kvd) ofVersion(version string) {
	k.t.Helper()
	for _, name := range []string{"kvd", "kvctl"} {
		got := digestOf(k.t, filepath.Join(filepath.Dir(k.program), name))
		if want := digestOf(k.t, filepath.Join(built(k.t, version), name)); got != want {
			k.t.Errorf("%s is not that of %s", name, version)
		}
	}
}

// whole fails the test unless the events hold every line of the transcript once
// and in order.
func whole(t testing.TB, events []httpapi.Event) []tracking.Line {
	t.Helper()
	var lines []tracking.Line
	for _, e := range events {
		switch e.Type {
		case httpapi.EventLine:
			if lines = append(lines, e.Line); e.Line.Seq != len(lines) {
				t.Fatalf("line %d comes as number %d", e.Line.Seq, len(lines))
			}
		case httpapi.EventGap:
			t.Fatalf("lines %d to %d are missing", e.From, e.To)
		}
	}
	if end := events[len(events)-1].Status.Transcript; end.Total != len(lines) {
		t.Fatalf("%d lines were told, %d written", len(lines), end.Total)
	}
	return lines
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	before := k.info()
	if before.Version != "1.0.0" || before.PID != k.pid {
		t.Fatalf("before: %+v", before)
	}
	k.do(http.MethodPut, "kv/color", strings.NewReader("blue")).ok(t, http.StatusOK)
	k.upload("system/upgrade/stage", packed(t, "1.1.0", 2, k.key, nil)).ok(t, http.StatusCreated)

	// A person who watches from another window, from before the start.
	cmd := exec.Command(filepath.Join(built(t, "1.0.0"), "kvd"), "upgrade", "status", "--watch", "-o", "json")
	cmd.Env = append(os.Environ(), "KVD_DATA="+k.data, "NO_COLOR=1")
	shown := showtest.NewOutput(t)
	cmd.Stdout = shown
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	shown.Await("archive.verified")

	k.do(http.MethodPost, "system/upgrade/run", nil).ok(t, http.StatusAccepted)
	events := k.finish("1.1.0")
	lines := whole(t, events)
	k.ofVersion("1.1.0")

	restarting := slices.IndexFunc(lines, func(l tracking.Line) bool { return strings.Contains(l.Text, "restarting into 1.1.0") })
	finished := slices.IndexFunc(lines, func(l tracking.Line) bool { return strings.HasPrefix(l.Text, "finished") })
	if restarting < 1 || finished <= restarting || finished != len(lines)-1 {
		t.Errorf("the transcript does not go on over the restart: %v", lines)
	}
	var value struct{ Value string }
	k.do(http.MethodGet, "kv/color", nil).ok(t, http.StatusOK).into(t, &value)
	if value.Value != "blue" {
		t.Errorf("the data did not survive: %q", value.Value)
	}
	left := k.trace()
	if !slices.Equal(left.Installed, []string{".kvd.previous", ".kvctl.previous", "kvctl", "kvd"}) &&
		!slices.Equal(left.Installed, []string{".kvctl.previous", ".kvd.previous", "kvctl", "kvd"}) {
		t.Errorf("beside the program lies %q", left.Installed)
	}

	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("status --watch ends with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("status --watch does not end")
	}
	var told []tracking.Line
	for d := json.NewDecoder(strings.NewReader(shown.Text())); ; {
		var object struct {
			Type, Event, Text, Member string
			Seq                       int
			At                        time.Time
		}
		if err := d.Decode(&object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("status --watch: %v", err)
		}
		if object.Type == "line" {
			told = append(told, tracking.Line{Seq: object.Seq, At: object.At, Type: object.Event, Text: object.Text, Member: object.Member})
		}
	}
	if diff := cmp.Diff(lines, told); diff != "" {
		t.Errorf("status --watch shows another transcript (-written +shown):\n%s", diff)
	}
}

// Three upgrades in one life of the machine: with an unstage between two of them,
// and over one that has finished.
func TestThreeUpgrades(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	for i, version := range []string{"1.1.0", "1.2.0", "1.3.0"} {
		whole(t, k.upgrade(version, uint64(2+i)))
		k.ofVersion(version)
		if i == 0 {
			k.do(http.MethodDelete, "system/upgrade/stage", nil).ok(t, http.StatusNoContent)
			if files := filesIn(t, filepath.Join(k.data, "archives")); len(files) > 0 {
				t.Errorf("the store holds %q", files)
			}
		}
	}
	// Of the two archives that were staged over each other one is left.
	s := k.status()
	if s.Run.From != "1.2.0" || s.Run.To != "1.3.0" {
		t.Errorf("the record tells of %s to %s", s.Run.From, s.Run.To)
	}
	if n := len(filesIn(t, filepath.Join(k.data, "archives"))); n != 5 {
		t.Errorf("%d blobs in the store, want those of one archive: itself, its sums, its manifest, two programs", n)
	}
	for _, name := range namesIn(t, filepath.Dir(k.program)) {
		if name != "kvd" && name != "kvctl" && name != ".kvd.previous" && name != ".kvctl.previous" {
			t.Errorf("%s lies beside the program", name)
		}
	}
}

// Started through a link, it is the file behind the link that is replaced. The
// example has no companion then unless one lies beside that file.
func TestUpgradeBehindALink(t *testing.T) {
	t.Parallel()
	var link, target string
	k := startKVD(t, kvdConfig{prepare: func(k *kvd, cmd *exec.Cmd) {
		link = filepath.Join(k.dir, "bin", "kvd")
		target = filepath.Join("..", "installed", "kvd")
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args[0] = link, link
		if err := os.Remove(filepath.Join(k.dir, "installed", "kvctl")); err != nil {
			t.Fatal(err)
		}
	}})
	lines := whole(t, k.upgrade("1.1.0", 2))
	if now, err := os.Readlink(link); err != nil || now != target {
		t.Errorf("the link leads to %q (%v), want %q", now, err, target)
	}
	if names := namesIn(t, filepath.Dir(link)); !slices.Equal(names, []string{"kvd"}) {
		t.Errorf("beside the link lies %q", names)
	}
	if digestOf(t, k.program) != digestOf(t, filepath.Join(built(t, "1.1.0"), "kvd")) {
		t.Error("the file behind the link is not that of 1.1.0")
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(k.program), "kvctl")); err == nil {
		t.Error("a companion that was not there was installed")
	}
	if !slices.ContainsFunc(lines, func(l tracking.Line) bool {
		return strings.Contains(l.Text, "kvctl") && strings.Contains(l.Text, "skipped")
	}) {
		t.Errorf("the transcript does not say that kvctl was skipped: %v", lines)
	}
}
