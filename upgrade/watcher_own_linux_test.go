package upgrade

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A process that is asked to watch another program than its own does not: it may
// have rights by its file that whoever asks has not.
func TestWatcherOwnProgramOnly(t *testing.T) {
	t.Setenv(watchedKey, "watches") // the processes that are started begin with Probe
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{self: true, other: false, link: false, other + ".gone": false} {
		s := newStarted(Identity{Product: "kvd", Version: "1.0.0"})
		s.Program = Program{Path: path}
		k, err := s.startWatcher(context.Background(), charge{Program: path, Args: []string{"kvd"}, Confirm: 1, Stop: 1})
		if (err == nil) != want || !want && !strings.Contains(err.Error(), "ended at once (exit status 2)") {
			t.Errorf("%s: %v", path, err)
		}
		if k != nil {
			k.say(wordOver)
			<-k.ended
			k.file.Close()
		}
	}
}
