package upgrade

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A file that the journal knows is not read; one that anybody wrote to, or that
// has the name of another, is.
func TestWhose(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kvd")
	write := func(name, content string) stamp {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		info, err := durable.OS{}.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		return stampOf(info)
	}
	j := journal{Old: archive.DigestOf([]byte("old")), New: archive.DigestOf([]byte("new"))}
	j.OldFile = write(path+".old", "old")
	for name, c := range map[string]struct {
		put  func() error
		want whose
		read bool
	}{
		"the new one, renamed":         {func() error { return os.Rename(path+".new", path) }, news, false},
		"the old one, by another name": {func() error { os.Remove(path); return os.Link(path+".old", path) }, olds, false},
		"a copy of the old one":        {func() error { os.Remove(path); return os.WriteFile(path, []byte("old"), 0o755) }, olds, true},
		"something else":               {func() error { os.Remove(path); return os.WriteFile(path, []byte("sth"), 0o755) }, others, true},
	} {
		t.Run(name, func(t *testing.T) {
			j.NewFile = write(path+".new", "new")
			if err := c.put(); err != nil {
				t.Fatal(err)
			}
			wantWhose(t, j, path, c.want, c.read)
		})
	}
	j.OldFile = write(path, "old")
	if err := os.WriteFile(path, []byte("odd"), 0o755); err != nil { // the same file, as long
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, j.OldFile.Written.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	wantWhose(t, j, path, others, true)
}

func wantWhose(t *testing.T, j journal, path string, want whose, read bool) {
	t.Helper()
	info, err := durable.OS{}.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	was := false
	w, err := j.whose(info, func() (archive.Digest, error) {
		was = true
		b, err := os.ReadFile(path)
		return archive.DigestOf(b), err
	})
	if err != nil || w != want || was != read {
		t.Errorf("%v: it is %s, want %s; read %v", err, w, want, was)
	}
}

// After a restart the journal knows both files, by what they are: no start reads
// them.
func TestJournalKnowsTheFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		s, err := m.start()
		if err != nil {
			t.Fatal(err)
		}
		s.trial.end()
		j := s.ledger.now()
		for path, want := range map[string]stamp{m.path: j.NewFile, s.Program.PreviousPath(): j.OldFile} {
			if info, err := (durable.OS{}).Lstat(path); err != nil || !want.file(info) {
				t.Errorf("%s is %+v, the journal has %+v: %v", path, info, want, err)
			}
		}
	})
}
