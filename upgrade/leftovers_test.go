package upgrade

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leaderlast/leaderlast/tracking"
)

// What processes that died have left goes at the next start; what only looks like
// it stays, through an upgrade, and so does what is no file.
func TestSweepLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		ours := []string{
			".kvd.probe", ".kvd.upgrade", ".kvd.upgrade.list.new", ".kvd.previous.next",
			"..kvd.upgrade.json.tmp-17", "..kvd.upgrade.json.spare.tmp-17", ".kvd.upgrade.json.spare",
		}
		foreign := []string{
			".kvd.upgrade.bak", ".kvd.upgrade~", "kvd.upgrade", "kvd.previous", ".kvd2.upgrade", ".kvd2.probe", ".kvd.probe.sh",
			"..kvd.upgrade.json.tmp-17x", ".kvd.upgrade.json.tmp-17", ".kvd.upgrade.json.spare.tmp-17", ".kvd.upgrade.json.old", ".kvd.upgrade.list.old",
			"..kvd2.upgrade.json.tmp-17",
		}
		at := func(name string) string { return filepath.Join(filepath.Dir(m.path), name) }
		for _, name := range append(ours, foreign...) {
			if err := os.WriteFile(at(name), []byte(name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		p := m.boot()
		stage(t, p, "1.1.0")
		for _, name := range ours {
			if _, err := os.Lstat(at(name)); err == nil {
				t.Errorf("%s is left", name)
			}
		}
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		if r := m.live(); r.Status != tracking.Finished {
			t.Fatal(r.FinalState)
		}
		for _, name := range foreign {
			if b, err := os.ReadFile(at(name)); err != nil || string(b) != name {
				t.Errorf("%s holds %q now, %v", name, b, err)
			}
		}
		if left := m.leftovers(); len(left) != len(foreign) {
			t.Errorf("left over: %v", left)
		}
	})
}

// Something else by one of our names is refused by that name, and stays; a sweep
// does not touch it either.
func TestSomethingElseByOurName(t *testing.T) {
	for _, name := range []string{".kvd.probe", ".kvd.upgrade", ".kvd.upgrade.list", ".kvd.previous.next", ".kvd.upgrade.json.spare"} {
		for kind, make := range map[string]func(path string) error{
			"directory": func(path string) error { return os.Mkdir(path, 0o700) },
			"link":      func(path string) error { return os.Symlink("/etc/hostname", path) },
		} {
			inBubble(t, fmt.Sprint(kind, " ", name), func(t *testing.T) {
				m := newMachine(t)
				path := filepath.Join(filepath.Dir(m.path), name)
				if err := make(path); err != nil {
					t.Fatal(err)
				}
				before, _ := os.Lstat(path)
				p := m.boot()
				defer p.end()
				synctest.Wait() // it has swept
				_, err := p.Stage(t.Context(), strings.NewReader(string(packed(t, "1.1.0"))), StageOptions{Size: -1})
				if no := wantRefusal(t, err, NotReady, "PrerequisiteFailed"); !strings.Contains(no.Message, path) {
					t.Error(no.Message)
				}
				if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("it was touched: %v", err)
				}
			})
		}
	}
}
