package upgradecmd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/leaderlast/leaderlast/archive"
)

// A scratch is a store for the time of one check: the archive stays where it is,
// and what is unpacked lies in a directory of its own, which goes with it.
type scratch struct {
	dir  string
	file *archiveFile
}

func (s *scratch) path(d archive.Digest) string {
	return filepath.Join(s.dir, strings.TrimPrefix(string(d), "sha256:"))
}

func (s *scratch) Open(_ context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	if d == s.file.digest {
		return sectionCloser{io.NewSectionReader(s.file, 0, s.file.size)}, s.file.size, nil
	}
	f, err := os.Open(s.path(d))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

type sectionCloser struct{ *io.SectionReader }

func (sectionCloser) Close() error { return nil }

func (s *scratch) Put(ctx context.Context, want archive.Digest, r io.Reader) (_ archive.Digest, err error) {
	f, err := os.CreateTemp(s.dir, "put-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), &contextReader{ctx, r}); err != nil {
		return "", err
	}
	d := archive.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	if want != "" && d != want {
		return "", fmt.Errorf("unpack %s: %w", want, archive.ErrDigest)
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return d, os.Rename(f.Name(), s.path(d))
}

func (s *scratch) Delete(_ context.Context, d archive.Digest) error {
	if err := os.Remove(s.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *scratch) List(context.Context) iter.Seq2[archive.Info, error] {
	return func(yield func(archive.Info, error) bool) {
		yield(archive.Info{}, fmt.Errorf("list what was unpacked: %w", errors.ErrUnsupported))
	}
}
