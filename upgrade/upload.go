package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"

	"github.com/leaderlast/leaderlast/archive"
)

// errTooLong is what a limited reader ends with where the body goes on.
var errTooLong = errors.New("more bytes than allowed")

// limited reads at most left bytes, and notices a body that ends before the
// size that was announced.
type limited struct {
	r    io.Reader
	left int64
	max  int64
	size int64 // announced, -1 if not
	n    int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	l.n += int64(n)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLong
	}
	if err == io.EOF && l.size > l.n {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

type hashing struct{ hash.Hash }

func newHash() hashing { return hashing{sha256.New()} }

func (h hashing) digest() archive.Digest {
	return archive.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

func tooLarge(size, max int64) error {
	return &Refusal{Kind: TooLarge, Reason: "ArchiveTooLarge",
		Message: fmt.Sprintf("the archive has %d bytes, at most %d are taken", size, max),
		Remedy:  "pack less, or raise the limit in the server's configuration"}
}

// refuseUpload names what went wrong while the body was read and stored.
func refuseUpload(err error) error {
	var no *Refusal
	switch {
	case errors.As(err, &no):
		return no
	case errors.Is(err, errTooLong):
		return &Refusal{Kind: TooLarge, Reason: "ArchiveTooLarge", Err: err, Message: "the archive is longer than this server takes",
			Remedy: "pack less, or raise the limit in the server's configuration"}
	case errors.Is(err, archive.ErrDigest):
		return &Refusal{Kind: Invalid, Reason: "DigestMismatch", Err: err, Message: "the bytes that arrived are not those that were announced",
			Remedy: "send it again"}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return &Refusal{Kind: NoSpace, Reason: "StoreFull", Err: err, Message: "the disk of the archive store is full; nothing of the upload was kept",
			Remedy: "free space on this member and send it again"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Refusal{Kind: Short, Reason: "BodyEndedEarly", Err: err,
			Message: "the body ended early; is there a limit on requests in front of this handler?",
			Remedy:  "raise that limit, or look why the client stopped; then send it again"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return &Refusal{Kind: Short, Reason: "UploadAborted", Err: err, Message: "the upload did not come to its end; nothing of it was kept",
			Remedy: "send it again"}
	}
	return &Refusal{Kind: Unavailable, Reason: "StoreFailed", Err: err, Message: "the archive could not be stored; nothing of it was kept",
		Remedy: "look at the disk of the archive store on this member"}
}

// refuseArchive names what is wrong with an archive.
func refuseArchive(err error) error {
	var bad *archive.Error
	if !errors.As(err, &bad) {
		return refuseUpload(err)
	}
	r := &Refusal{Kind: Invalid, Reason: bad.Reason, Message: bad.Detail, Remedy: bad.Remedy()}
	if bad.Name != "" {
		r.Message = fmt.Sprintf("%q: %s", bad.Name, bad.Detail)
	}
	if bad.Err != nil {
		r.Message += ": " + bad.Err.Error()
	}
	switch bad.Reason {
	case archive.Unsigned, archive.UnknownKey, archive.BadSignature, archive.ThresholdUnmet, archive.NoKeys,
		archive.Expired, archive.NotYetValid, archive.RolledBack:
		r.Kind = Untrusted
	case archive.TooLarge, archive.TooManyFiles:
		r.Kind = TooLarge
	}
	return r
}

func unavailable(err error) error {
	var no *Refusal
	if errors.As(err, &no) {
		return no
	}
	return &Refusal{Kind: Unavailable, Reason: "RecordUnavailable", Err: err,
		Message: "the record of the upgrade cannot be reached or written", Remedy: "look at the log of this member"}
}
