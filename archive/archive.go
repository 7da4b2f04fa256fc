package archive

import (
	"context"
	"errors"
	"io"
	"iter"
)

// A Digest names bytes by their content: "sha256:" followed by 64 lower-case
// hexadecimal digits. The zero Digest names nothing.
type Digest string

// ErrDigest is returned, possibly wrapped, when bytes do not match the Digest
// they were stored or asked for under.
var ErrDigest = errors.New("content does not match its digest")

// An Opener is the reading half of a Store.
type Opener interface {
	// Open returns the blob named d, and its size in bytes. The caller must
	// close it. Reading from the start to the end without seeking yields bytes
	// that hash to d, or an error that wraps ErrDigest in place of io.EOF; after
	// a Seek the caller has to check for itself. If there is no such blob, the
	// error wraps fs.ErrNotExist.
	Open(ctx context.Context, d Digest) (r io.ReadSeekCloser, size int64, err error)
}

// A Store keeps blobs, archives and what was unpacked from them, under the
// digest of their content.
//
// Implementations must be safe for concurrent use, by several processes if
// they can share the place where blobs are kept, and must return promptly once
// ctx is done. Package archivetest tests for everything said here.
type Store interface {
	Opener

	// Put stores what it reads from r to the end, and returns its digest. If
	// want is not zero, and the bytes do not hash to it, the error wraps
	// ErrDigest. When Put returns nil the blob is durable. When Put returns an
	// error, no part of the blob can be opened or listed, and an error of r is
	// wrapped. Storing a blob that is already there succeeds, and repairs one
	// whose bytes have rotted.
	Put(ctx context.Context, want Digest, r io.Reader) (Digest, error)

	// Delete removes the blob named d. Readers that are already open may go on
	// reading it. Deleting a blob that is not there succeeds.
	Delete(ctx context.Context, d Digest) error

	// List yields every blob in the store, in no particular order. The error
	// that ends a failed listing comes last, with a zero Info.
	List(ctx context.Context) iter.Seq2[Info, error]
}

// Info describes a blob in a Store.
type Info struct {
	Digest Digest
	Size   int64 // bytes
}
