package archive_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

// needTool ends the test, or skips it for a user, where a program is missing.
func needTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("LEADERLAST_NOSKIP") != "" {
		t.Fatalf("needs the program %s: %v", name, err)
	}
	t.Skipf("needs the program %s", name)
	return ""
}

// run runs a program in dir and returns what it printed.
func run(t testing.TB, dir, stdin, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader([]byte(stdin))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t testing.TB, dir, stdin, name string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantReason checks that err is a refusal with the reason, and says something.
func wantReason(t testing.TB, err error, reason string) {
	t.Helper()
	var e *archive.Error
	switch {
	case reason == "" && err != nil:
		t.Errorf("refused: %v", err)
	case reason == "":
	case !errors.As(err, &e):
		t.Errorf("want the reason %s, have the error %v", reason, err)
	case e.Reason != reason:
		t.Errorf("want the reason %s, have %s: %v", reason, e.Reason, err)
	case e.Detail == "" || e.Remedy() == "" && reason != archive.BadPolicy && reason != archive.BadInput && reason != archive.BadKey:
		t.Errorf("%s does not say what to do: %v", reason, err)
	}
}
