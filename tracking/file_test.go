package tracking_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

func open(t *testing.T, path string) *tracking.File {
	t.Helper()
	f, err := tracking.NewFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestFile(t *testing.T) {
	trackingtest.TestStore(t, func(t *testing.T) (a, b tracking.Store) {
		f := open(t, filepath.Join(t.TempDir(), "record.json"))
		return f, f
	})
}

func TestFileRestart(t *testing.T) {
	trackingtest.TestRestart(t, func(t *testing.T) (tracking.Store, func() tracking.Store) {
		path := filepath.Join(t.TempDir(), "record.json")
		f := open(t, path)
		return f, func() tracking.Store {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			f = open(t, path)
			return f
		}
	})
}

// write makes a file with one value, closes it, and returns its path.
func write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "record.json")
	f := open(t, path)
	if _, err := f.Swap(t.Context(), tracking.KeyRun, "", []byte(`{"format":1,"status":"working"}`)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileDamaged(t *testing.T) {
	whole, err := os.ReadFile(write(t))
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{
		"empty":         {},
		"null":          []byte("null"),
		"empty object":  []byte("{}"),
		"zeros":         make([]byte, len(whole)),
		"half":          whole[:len(whole)/2],
		"one byte less": whole[:len(whole)-2],
		"other value":   []byte(strings.Replace(string(whole), "working", "staging", 1)),
		"other counter": []byte(strings.Replace(string(whole), `"counter":1`, `"counter":9`, 1)),
		"two of them":   append(whole[:len(whole):len(whole)], whole...),
	}
	for name, data := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record.json")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := tracking.NewFile(path)
			if !errors.Is(err, tracking.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move the file away") {
				t.Errorf("NewFile = %v, want tracking.ErrDamaged with the path and what to do", err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != string(data) {
				t.Errorf("the damaged file has changed: %q, %v", now, err)
			}
			// What to do works, and the failed open holds no lock.
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			open(t, path)
		})
	}
}

func TestFileOfNewerRelease(t *testing.T) {
	path := write(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.Replace(string(data), `"format":1,"sum"`, `"format":2,"sum"`, 1))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tracking.NewFile(path); !errors.Is(err, tracking.ErrFormat) || errors.Is(err, tracking.ErrDamaged) {
		t.Errorf("NewFile = %v, want tracking.ErrFormat", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(data) {
		t.Errorf("the file has changed: %q, %v", now, err)
	}
}

// People read the file when something is wrong.
func TestFileIsJSON(t *testing.T) {
	data, err := os.ReadFile(write(t))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Format int
		Store  struct {
			Counter int
			Keys    map[string]struct {
				Rev  int
				Text string
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if k := file.Store.Keys["run"]; file.Format != 1 || file.Store.Counter != 1 || k.Rev != 1 || k.Text != `{"format":1,"status":"working"}` {
		t.Errorf("the file is %s", data)
	}
}

func TestFileLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	f := open(t, path)
	_, err := tracking.NewFile(path)
	if !errors.Is(err, tracking.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("second NewFile = %v, want tracking.ErrLocked with the path", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// The lock keeps out another process, and goes with the process that held it,
// however that ended.
func TestFileLockedByProcess(t *testing.T) {
	if path := os.Getenv("TRACKING_TEST_HOLD"); path != "" {
		if _, err := tracking.NewFile(path); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("held\n")
		os.Stdin.Read(make([]byte, 1)) // until killed
		return
	}
	path := filepath.Join(t.TempDir(), "record.json")
	cmd := exec.Command(os.Args[0], "-test.run=^TestFileLockedByProcess$")
	cmd.Env = append(os.Environ(), "TRACKING_TEST_HOLD="+path)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 5)
	_, readErr := out.Read(word)
	_, openErr := tracking.NewFile(path)
	killErr := cmd.Process.Kill()
	_ = cmd.Wait() // reports the kill
	if err := errors.Join(readErr, killErr); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(openErr, tracking.ErrLocked) {
		t.Errorf("NewFile while another process holds it = %v, want tracking.ErrLocked", openErr)
	}
	open(t, path)
}

func TestFileSweeps(t *testing.T) {
	path := write(t)
	stale := filepath.Join(filepath.Dir(path), ".record.json.tmp-4711")
	if err := os.WriteFile(stale, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if _, err := os.Lstat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}

func TestFilePaths(t *testing.T) {
	if _, err := tracking.NewFile(filepath.Join(t.TempDir(), "absent", "record.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v, want fs.ErrNotExist", err)
	}
	if _, err := tracking.NewFile(t.TempDir()); err == nil {
		t.Error("a directory was opened")
	}

	// A link is followed once, and stays a link.
	path := write(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Skip("needs symbolic links: ", err)
	}
	f := open(t, link)
	if _, rev, err := f.Load(t.Context(), tracking.KeyRun); rev != "1" || err != nil {
		t.Errorf("through a link: revision %q, %v", rev, err)
	}
	if _, err := f.Swap(t.Context(), tracking.KeyRun, "1", nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Readlink(link); err != nil {
		t.Error("the link has been replaced: ", err)
	}
	if _, err := tracking.NewFile(path); !errors.Is(err, tracking.ErrLocked) {
		t.Errorf("the file behind the link: %v, want tracking.ErrLocked", err)
	}
	if err := os.Symlink("nowhere", link+"2"); err != nil {
		t.Fatal(err)
	}
	if _, err := tracking.NewFile(link + "2"); err == nil {
		t.Error("a dangling link was opened")
	}
}

func TestFileClosed(t *testing.T) {
	ctx := t.Context()
	f := open(t, filepath.Join(t.TempDir(), "record.json"))
	_, since, err := f.Wait(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan error)
	go func() {
		_, _, err := f.Wait(ctx, since)
		woken <- err
	}()
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	_, _, loadErr := f.Load(ctx, "run")
	_, swapErr := f.Swap(ctx, "run", "", nil)
	for call, err := range map[string]error{"Load": loadErr, "Swap": swapErr, "Wait": <-woken} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s after Close = %v, want fs.ErrClosed", call, err)
		}
	}
}

func TestFileFull(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("LEADERLAST_NOSKIP") != "" {
			t.Fatal("needs root: to mount a small file system")
		}
		t.Skip("needs root: to mount a small file system")
	}
	dir := mountSmall(t)
	f := open(t, filepath.Join(dir, "record.json"))
	rev, err := f.Swap(t.Context(), "run", "", []byte("small"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Swap(t.Context(), "run", rev, make([]byte, tracking.MaxValue))
	if err == nil || !strings.Contains(err.Error(), "nothing has changed") {
		t.Fatalf("Swap on a full disk = %v, want an error that says that nothing has changed", err)
	}
	if v, now, err := f.Load(t.Context(), "run"); string(v) != "small" || now != rev || err != nil {
		t.Errorf("after it: %q, %q, %v", v, now, err)
	}
	if _, err := f.Swap(t.Context(), "run", rev, []byte("small again")); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".record.json.tmp-*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}
