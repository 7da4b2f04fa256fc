package web

import (
	"errors"
	"io/fs"
	"os"
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

// A server that was started before starts again on a disk that is full.
func TestAnnounceOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	trust := filepath.Join(dir, "own.pem")
	if err := os.WriteFile(trust, []byte("certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Announce(dir, trust, "https://127.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"server.crt.new", "url.new"} { // what a full disk refuses
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Announce(dir, trust, "https://127.0.0.1:2"); err == nil {
		t.Error("what could not be written was not missed")
	}
}
