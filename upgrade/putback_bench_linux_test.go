package upgrade

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// servedKey makes this binary a server that calls Boot, and says on descriptor 3
// that it serves: TestServed.
const servedKey = "LEADERLAST_TEST_SERVED"

// servedVersion is written at the end of a copy of this binary: bytes behind an
// executable change nothing but its digest.
func servedVersion(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Seek(-5, io.SeekEnd); err != nil {
		return "", err
	}
	v, err := io.ReadAll(f)
	return string(v), err
}

// TestServed is the server of the benchmark, in a process of its own.
func TestServed(t *testing.T) {
	if os.Getenv(servedKey) == "" {
		t.Skip("runs as a server of BenchmarkPutBack alone")
	}
	v, err := servedVersion("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Boot(Identity{Product: "kvd", Version: v})
	fmt.Fprintf(os.NewFile(3, "served"), "%s %q %v\n", v, s.PutBackFrom, err)
	os.Exit(0)
}

// A served is a directory with a program that was replaced and is no good.
type served struct {
	dir, path string
	old, bad  archive.Digest
}

func newServed(b *testing.B) *served {
	b.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		b.Fatal(err)
	}
	s := &served{dir: b.TempDir()}
	s.path = filepath.Join(s.dir, "kvd")
	for _, v := range []string{"1.0.0", "1.1.0"} {
		data := append(slices.Clone(self), v...)
		if err := os.WriteFile(filepath.Join(s.dir, v), data, 0o755); err != nil {
			b.Fatal(err)
		}
		if d := archive.DigestOf(data); v == "1.0.0" {
			s.old = d
		} else {
			s.bad = d
		}
	}
	return s
}

// place has version v lie at the path, as after the renames of an upgrade; a
// spent one is out of starts.
func (s *served) place(b *testing.B, v string, spent bool) {
	b.Helper()
	p := Program{Path: s.path}
	for _, name := range []string{s.path, p.PreviousPath(), p.journalPath()} {
		os.Remove(name)
	}
	err := os.Link(filepath.Join(s.dir, v), s.path)
	if err == nil && spent {
		err = os.Link(filepath.Join(s.dir, "1.0.0"), p.PreviousPath())
	}
	if err == nil && spent {
		g := &guard{Limit: 3, Lasts: time.Minute, Confirm: time.Hour, MinHealthy: time.Second}
		err = journal{
			OldFile: s.stamp(b, "1.0.0"), NewFile: s.stamp(b, "1.1.0"), Phase: phaseRunning, Run: "R", Attempt: 1, Old: s.old, New: s.bad, OldVersion: "1.0.0", NewVersion: "1.1.0", Starts: 3, Guard: g,
		}.save(p)
	}
	if err == nil {
		err = durable.SyncDir(s.dir)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (s *served) stamp(b *testing.B, v string) stamp {
	b.Helper()
	info, err := durable.OS{}.Lstat(filepath.Join(s.dir, v))
	if err != nil {
		b.Fatal(err)
	}
	return stampOf(info)
}

// start is how long the server takes from its start until it serves, and what it says.
func (s *served) start(b *testing.B) (time.Duration, string) {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(s.path, "-test.run=^TestServed$")
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), servedKey+"=1"), []*os.File{w}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	said, err := bufio.NewReader(r).ReadString('\n')
	took := time.Since(began)
	if e := cmd.Wait(); err != nil || e != nil {
		b.Fatal(err, e)
	}
	return took, said
}

// BenchmarkPutBack is the time from the start of a program that has no starts
// left to the one from before serving in its place, beside the bare start of
// that. Both are copies of this binary.
func BenchmarkPutBack(b *testing.B) {
	s := newServed(b)
	var bare, back []time.Duration
	for b.Loop() {
		s.place(b, "1.0.0", false)
		took, said := s.start(b)
		if said != "1.0.0 \"\" <nil>\n" {
			b.Fatal(said)
		}
		bare = append(bare, took)
		s.place(b, "1.1.0", true)
		if took, said = s.start(b); said != "1.0.0 \"1.1.0\" <nil>\n" {
			b.Fatal(said)
		}
		back = append(back, took)
	}
	ms := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2].Microseconds()) / 1000
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(bare), "bare-ms")
	b.ReportMetric(ms(back), "put-back-ms")
	b.ReportMetric(ms(back)-2*ms(bare), "more-than-two-starts-ms")
	b.ReportMetric(ms(back)/ms(bare), "put-back/bare")
}
