package upgradetest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

func (s *simple) PrepareBack(context.Context) (upgrade.Prepared, error) {
	if err := s.catchUp(); err != nil {
		return upgrade.Prepared{}, err
	}
	content, err := os.ReadFile(s.previous())
	if err != nil {
		if s.bug == "goes back to nothing gladly" {
			return upgrade.Prepared{}, nil
		}
		return upgrade.Prepared{}, err
	}
	info, err := os.Stat(s.previous())
	if err != nil {
		return upgrade.Prepared{}, err
	}
	mode := info.Mode()
	if s.bug == "loses the mode going back" {
		mode = 0o755
	}
	if err := s.write(s.next(), content, mode); err != nil {
		return upgrade.Prepared{}, err
	}
	s.prepared, s.back, s.backs = s.prepared+1, true, s.backs+1
	p := upgrade.Prepared{Program: archive.DigestOf(content), Path: s.next()}
	switch s.bug {
	case "tells the digest of what is displaced":
		now, _ := os.ReadFile(s.path)
		p.Program = archive.DigestOf(now)
	case "goes back too early":
		if s.early == nil {
			s.early, err = os.ReadFile(s.path)
		}
		err = errors.Join(err, s.write(s.path, content, mode))
	case "moves the previous program":
		err = os.Remove(s.previous())
	case "leaves a copy of the previous program":
		err = s.write(s.path+".orig", content, mode)
	}
	return p, err
}

func (s *simple) Forget(context.Context) error {
	if err := s.catchUp(); err != nil {
		return err
	}
	if _, err := os.Stat(s.next()); err == nil && s.bug != "forgets in flight" {
		return fs.ErrExist
	}
	content, err := os.ReadFile(s.previous())
	if errors.Is(err, fs.ErrNotExist) && s.bug != "misses something to forget" {
		return nil
	}
	switch {
	case err != nil || s.bug == "forgets nothing":
		return err
	case s.bug == "restores what it forgets":
		err = s.write(s.path, content, 0o751)
	}
	return errors.Join(err, os.Remove(s.previous()))
}

// same reports whether two files have the same content.
func (s *simple) same(a, b string) bool {
	x, errx := os.ReadFile(a)
	y, erry := os.ReadFile(b)
	return errx == nil && erry == nil && bytes.Equal(x, y)
}
