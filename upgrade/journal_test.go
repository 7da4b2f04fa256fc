package upgrade

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leaderlast/leaderlast/tracking"
)

// A journal that cannot be read stops upgrades, not the server, and is not written
// over: what it knows of trust would be lost without a word.
func TestDamagedJournal(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"garbage":   func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/etc/hostname", path) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				program, err := ProgramAt(m.path)
				if err != nil {
					t.Fatal(err)
				}
				if err := damage(program.journalPath()); err != nil {
					t.Fatal(err)
				}
				before, _ := os.Lstat(program.journalPath())
				if _, err := BootAt(m.path, Identity{Product: "kvd"}, Process{}); err == nil || !strings.Contains(err.Error(), program.journalPath()) {
					t.Errorf("error %v does not name the file", err)
				}
				m.damaged = true
				p := m.boot()
				defer p.end()
				_, err = p.Stage(t.Context(), strings.NewReader(string(packed(t, "1.1.0"))), StageOptions{Size: -1})
				no := wantRefusal(t, err, NotReady, "PrerequisiteFailed")
				if !strings.Contains(no.Message, "journal on m1") || !strings.Contains(no.Message, program.journalPath()) {
					t.Errorf("the refusal does not name the journal: %s", no.Message)
				}
				if err := p.journalize(func(j *journal) { j.Floor = 1 }); err == nil {
					t.Error("it was written over")
				}
				if after, err := os.Lstat(program.journalPath()); err != nil || !os.SameFile(before, after) {
					t.Errorf("it was replaced: %v, %v", after, err)
				}
			})
		})
	}
}

// A program that is put back again is remembered once, with what it did last.
func TestFailedOnce(t *testing.T) {
	var j journal
	for _, was := range []failedProgram{{"a", "2", "hangs"}, {"b", "3", "dies"}, {"a", "2", "dies"}} {
		j.New, j.NewVersion, j.Why = was.Program, was.Version, was.Why
		j = j.returned(false)
	}
	if want := []failedProgram{{"b", "3", "dies"}, {"a", "2", "dies"}}; !slices.Equal(j.Failed, want) {
		t.Errorf("remembered: %v, want %v", j.Failed, want)
	}
}

// Nor is it in the middle of a turn: the run ends, and says why.
func TestDamagedJournalInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.leaving = func() { // as if a power cut had hit the file and the rename
			program, err := ProgramAt(m.path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Rename(program.PreviousPath(), m.path), os.WriteFile(program.journalPath(), []byte("{"), 0o600)); err != nil {
				t.Fatal(err)
			}
			m.damaged = true
		}
		p := m.boot()
		stage(t, p, "1.1.0")
		if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		r := m.live()
		if r.Status != tracking.Failed || !strings.Contains(r.FinalState, "journal") || !strings.Contains(r.FinalState, "damaged") {
			t.Errorf("the run ends %s: %s", r.Status, r.FinalState)
		}
		if b, err := os.ReadFile(p.c.Started.Program.journalPath()); err != nil || string(b) != "{" {
			t.Errorf("the journal was written over: %q, %v", b, err)
		}
		if left := m.leftovers(); m.installed() != "1.0.0" || len(left) > 0 {
			t.Errorf("installed %s, beside it %v", m.installed(), left)
		}
	})
}
