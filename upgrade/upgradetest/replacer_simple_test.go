package upgradetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// simple keeps the contract but for crashes, and but for its bug.
type simple struct {
	path  string
	bug   string
	looks *atomic.Int64

	// What a process remembers, for bugs that rely on it.
	prepared  int // since the last Commit or Discard
	committed bool
	discarded bool
	back      bool // what is prepared is the previous program
	backs     int  // how often that was prepared
	oldest    []byte
	early     []byte // what was installed before a Prepare that renamed
	late      []byte // what a Commit is still to rename
}

// bugs are what can be wrong, and the clause that notices.
var bugs = map[string]string{
	"does not rename":                          "Replaced",
	"renames too early":                        "PrepareChangesNothing",
	"tells the digest of the archive":          "PreparedIsTrue",
	"commits nothing gladly":                   "CommitNothing",
	"commits again gladly":                     "CommitOnce",
	"does not tell of a failed copy":           "DamagedIsRefused",
	"copies into place":                        "FailedPrepareInstallsNothing",
	"leaves half a copy":                       "FailedPrepareLeavesNothing",
	"takes the zero release":                   "ZeroRelease",
	"does not listen to the context":           "Cancelled",
	"prepares once only":                       "PrepareAgain",
	"commits what was discarded":               "DiscardForgets",
	"misses something to discard":              "DiscardNothing",
	"drops the previous program with the rest": "DiscardKeepsPrevious",
	"goes back to the oldest":                  "Restored",
	"restores nothing gladly":                  "RestoreNothing",
	"restores once":                            "RestoreTwice",
	"keeps what it replaced by itself":         "ReplacedByItself",
	"commits only its own":                     "LaterProcessCommits",
	"discards only its own":                    "LaterProcessDiscards",
	"restores only its own":                    "LaterProcessRestores",
	"loses the mode":                           "KeepsAttributes",
	"loses the mode on the way back":           "RestoresAttributes",
	"leaves a copy":                            "CommitLeavesNothing",
	"renames away":                             "NeverAbsent",
	"does not go back":                         "WentBack",
	"goes back too early":                      "PrepareBackChangesNothing",
	"tells the digest of what is displaced":    "PreparedBackIsTrue",
	"goes back to nothing gladly":              "PrepareBackNothing",
	"displaces for good on the way back":       "ForwardAgain",
	"moves the previous program":               "PrepareBackKeepsPrevious",
	"leaves a copy of the previous program":    "DiscardBackLeavesNothing",
	"loses the mode going back":                "BackKeepsAttributes",
	"commits only its own way back":            "LaterProcessCommitsBack",
	"forgets nothing":                          "Forgotten",
	"restores what it forgets":                 "ForgetChangesNothing",
	"misses something to forget":               "ForgetNothing",
	"forgets in flight":                        "ForgetInFlight",
}

func (s *simple) next() string { return filepath.Join(filepath.Dir(s.path), ".server.upgrade") }
func (s *simple) previous() string {
	return filepath.Join(filepath.Dir(s.path), ".server.previous")
}

func (s *simple) Prepare(ctx context.Context, v archive.Verified) (upgrade.Prepared, error) {
	if err := s.catchUp(); err != nil {
		return upgrade.Prepared{}, err
	}
	if ctx.Err() != nil && s.bug != "does not listen to the context" {
		return upgrade.Prepared{}, ctx.Err()
	}
	if v.IsZero() {
		if s.bug == "takes the zero release" {
			return upgrade.Prepared{}, nil
		}
		return upgrade.Prepared{}, fs.ErrInvalid
	}
	if s.prepared > 0 && s.bug == "prepares once only" {
		return upgrade.Prepared{}, nil
	}
	file := v.Release().For(platform)["server"]
	content, err := read(context.WithoutCancel(ctx), v, file.Name)
	if err != nil {
		os.Remove(s.next())
		switch s.bug {
		case "does not tell of a failed copy":
			err = nil
		case "copies into place":
			s.write(s.path, []byte("half"), 0o751)
		case "leaves half a copy":
			s.write(s.next(), []byte("half"), 0o600)
		}
		return upgrade.Prepared{}, err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return upgrade.Prepared{}, err
	}
	mode := info.Mode()
	if s.bug == "loses the mode" {
		mode = 0o755
	}
	if err := s.write(s.next(), content, mode); err != nil {
		return upgrade.Prepared{}, err
	}
	s.prepared, s.back = s.prepared+1, false
	p := upgrade.Prepared{Program: file.Digest, Path: s.next()}
	switch s.bug {
	case "tells the digest of the archive":
		p.Program = v.Release().Archive
	case "renames too early":
		if s.early == nil {
			s.early, err = os.ReadFile(s.path)
		}
		err = errors.Join(err, s.write(s.path, content, mode))
	}
	return p, err
}

// catchUp does what an earlier call should have done, or undoes what it should
// not have, so that no other clause notices.
func (s *simple) catchUp() error {
	content := s.early
	if s.late != nil {
		content = s.late
	}
	s.early, s.late = nil, nil
	if content == nil {
		return nil
	}
	return s.write(s.path, content, 0o751)
}

func read(ctx context.Context, v archive.Verified, name string) ([]byte, error) {
	r, _, err := v.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// write replaces path by a file with content.
func (s *simple) write(path string, content []byte, mode fs.FileMode) error {
	temp := path + ".temp"
	return errors.Join(os.WriteFile(temp, content, 0o600), os.Chmod(temp, mode), os.Rename(temp, path))
}

// keep makes a copy of what is installed the previous program.
func (s *simple) keep() error {
	now, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	next, _ := os.ReadFile(s.next())
	if bytes.Equal(now, next) && s.bug != "keeps what it replaced by itself" {
		return nil
	}
	if s.oldest == nil {
		s.oldest = now
	}
	if s.bug == "goes back to the oldest" && !s.back {
		now = s.oldest
	}
	mode := info.Mode()
	if s.bug == "loses the mode" {
		mode = 0o755
	}
	return s.write(s.previous(), now, mode)
}

func (s *simple) Commit(ctx context.Context) error {
	if err := s.catchUp(); err != nil {
		return err
	}
	if _, err := os.Stat(s.next()); err != nil {
		if s.bug == "commits nothing gladly" && !s.committed && !s.discarded || s.bug == "commits again gladly" && s.committed {
			return nil
		}
		return err
	}
	if s.bug == "commits only its own" && s.prepared == 0 && !s.same(s.next(), s.previous()) {
		return errors.New("not mine")
	}
	prepared, back := s.prepared, s.back
	if s.bug == "commits only its own way back" && prepared == 0 && s.same(s.next(), s.previous()) {
		return errors.New("not mine")
	}
	s.committed, s.prepared = true, 0
	if !back || s.bug != "displaces for good on the way back" {
		if err := s.keep(); err != nil {
			return err
		}
	}
	s.back = false
	if s.bug == "leaves a copy" {
		if err := s.write(s.path+".orig", nil, 0o600); err != nil {
			return err
		}
	}
	if s.bug == "does not rename" && prepared == 1 && !back || s.bug == "does not go back" && back && s.backs == 1 {
		var err error
		s.late, err = os.ReadFile(s.next())
		return errors.Join(err, os.Remove(s.next()))
	}
	if s.bug == "renames away" {
		if err := os.Rename(s.path, s.path+".old"); err != nil {
			return err
		}
		defer os.Remove(s.path + ".old")
		// Whoever watches gets the time to look.
		for seen, i := s.looks.Load(), 0; i < 1e5 && s.looks.Load() < seen+2; i++ {
			runtime.Gosched()
		}
	}
	return os.Rename(s.next(), s.path)
}

func (s *simple) Discard(ctx context.Context) error {
	if err := s.catchUp(); err != nil {
		return err
	}
	prepared, back := s.prepared, s.back
	s.discarded, s.prepared, s.back = true, 0, false
	if s.bug == "discards only its own" && prepared == 0 || s.bug == "commits what was discarded" && prepared > 0 && !back {
		return nil
	}
	err := os.Remove(s.next())
	if errors.Is(err, fs.ErrNotExist) && s.bug != "misses something to discard" {
		err = nil
	}
	if s.bug == "drops the previous program with the rest" && !back {
		os.Remove(s.previous())
	}
	return err
}

func (s *simple) Restore(ctx context.Context) error {
	if err := s.catchUp(); err != nil {
		return err
	}
	content, err := os.ReadFile(s.previous())
	if err != nil {
		if s.bug == "restores nothing gladly" && !s.committed {
			return nil
		}
		return fmt.Errorf("restore: %w", err)
	}
	if s.bug == "restores only its own" && !s.committed {
		return errors.New("not mine")
	}
	info, err := os.Stat(s.previous())
	if err != nil {
		return err
	}
	mode := info.Mode()
	if s.bug == "loses the mode on the way back" {
		mode = 0o755
	}
	if now, _ := os.ReadFile(s.path); s.bug == "restores once" && bytes.Equal(now, content) {
		return errors.New("it was restored before")
	}
	return s.write(s.path, content, mode)
}
