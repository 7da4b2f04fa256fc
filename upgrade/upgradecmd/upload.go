package upgradecmd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

// An archiveFile is an archive on this machine: open, scanned and hashed.
type archiveFile struct {
	*os.File
	name   string // as it was given
	size   int64
	digest archive.Digest
	head   archive.Head
}

// openArchive finds out here what can be found out here: a file that is no
// archive need not travel.
func openArchive(ctx context.Context, s *session, name string) (_ *archiveFile, err error) {
	s.ifLeft("Nothing was changed.")
	s.reporter.doing("reading " + clean(filepath.Base(name)))
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open the archive %s: it is no regular file: %w", name, fs.ErrInvalid)
	}
	a := &archiveFile{File: f, name: name, size: info.Size()}
	if a.head, err = archive.ReadHead(f, a.size); err != nil {
		return nil, fmt.Errorf("read the archive %s: %w", name, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, &contextReader{ctx, io.NewSectionReader(f, 0, a.size)}); err != nil {
		return nil, fmt.Errorf("read the archive %s: %w", name, err)
	}
	a.digest = archive.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	return a, nil
}

// A contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// Limits of an upload: for the next piece to be taken, and for the answer after
// the last one.
const (
	pieceLimit  = 2 * time.Minute
	answerLimit = 30 * time.Minute
)

type stallError struct{ text string }

func (e *stallError) Error() string { return e.text }

func isStall(err error) bool {
	var stall *stallError
	return errors.As(err, &stall)
}

// An uploadBody reads a file for an upload, tells how far it is, and cancels the
// upload when it stands still.
type uploadBody struct {
	r      io.Reader
	size   int64
	told   func(sent int64)
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	sent  int64
	ended time.Time // the last byte was read
	timer *time.Timer
}

func newUploadBody(file *archiveFile, told func(int64), cancel context.CancelCauseFunc) *uploadBody {
	b := &uploadBody{r: io.NewSectionReader(file, 0, file.size), size: file.size, told: told, cancel: cancel}
	b.timer = time.AfterFunc(pieceLimit, b.stalled)
	return b
}

func (b *uploadBody) stop() { b.timer.Stop() }

func (b *uploadBody) stalled() {
	text := "the server took nothing of the upload for " + limitText(pieceLimit) + ": the upload is aborted, and the server keeps nothing of it"
	if b.sentAll() {
		text = "the server has the whole archive, and did not answer for " + limitText(answerLimit) + ": see its status before trying again"
	}
	b.cancel(&stallError{text})
}

func (b *uploadBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.mu.Lock()
	b.sent += int64(n)
	sent := b.sent
	if sent == b.size && b.ended.IsZero() {
		b.ended = time.Now()
		b.timer.Reset(answerLimit)
	} else if b.ended.IsZero() {
		b.timer.Reset(pieceLimit)
	}
	b.mu.Unlock()
	if n > 0 {
		b.told(sent)
	}
	return n, err
}

func (b *uploadBody) sentAll() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.ended.IsZero()
}

// took is how long the sending took.
func (b *uploadBody) took(began time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended.Sub(began)
}
