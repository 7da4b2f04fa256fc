package web

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/upgrade/upgradecmd"
)

// Who is in the wrong directory is told which one was looked at, and how to name
// another.
func TestConnectWithoutData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kvd-data")
	_, err := Connect(dir, "KVD_DATA")(t.Context(), upgradecmd.Target{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, want := range []string{dir, "KVD_DATA", "--token-file"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if _, err := Connect(dir, "KVD_DATA")(t.Context(), upgradecmd.Target{Token: "t"}); err != nil {
		t.Errorf("with a token: %v", err)
	}
}
