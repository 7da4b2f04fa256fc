package archive

import (
	"context"
	"errors"
	"io"
	"time"
)

// A Policy says which archives are accepted. The zero Policy accepts none.
type Policy struct {
	Product       string      // the manifest must name it
	Program       string      // base name of the server: bin/<platform>/<Program> must be there
	Platforms     []Platform  // each must be served, by its variant or the plain build
	Keys          []PublicKey // that may sign
	Threshold     int         // distinct keys that must have signed; 1 if zero, negative is refused
	AllowUnsigned bool        // accept archives that no key signed, also ones without manifest.json
	Floor         uint64      // counters below it are refused; 0 refuses none
	MaxSize       int64       // bytes of the archive; 512 MiB if zero
	MaxUnpacked   int64       // bytes of all files; 1 GiB if zero
	Now           time.Time   // for expiry; time.Now() if zero
}

// A Head is the part of an archive through which everything else is reached:
// enough to judge a release before its bytes are sent.
type Head struct {
	Sums       []byte            `json:"sums"`       // sha256sums, byte for byte
	Signatures map[string][]byte `json:"signatures"` // name to content of *.minisig
	Manifest   []byte            `json:"manifest"`   // manifest.json, nil if there is none
	Sizes      map[string]int64  `json:"sizes"`      // of the listed files, bytes
	Size       int64             `json:"size"`       // of the archive, bytes
}

// Verified is a release that was checked against a Policy, and the store that
// holds its files. Only Check makes one that is not zero.
type Verified struct {
	release Release
	store   Opener
}

// ReadHead scans the structure of the archive that r holds, zip or gzip-tar by
// content, and returns its head. Nothing but the head is unpacked.
func ReadHead(r io.ReaderAt, size int64) (Head, error) { return Head{}, errors.ErrUnsupported }

// CheckHead applies p to h: signature, manifest, counter, expiry, platforms and
// declared sizes.
func (p Policy) CheckHead(h Head) (Release, error) { return Release{}, errors.ErrUnsupported }

// Check scans the archive d in s, applies p, and unpacks every file into s that
// s lacks. It may be repeated. After an error what it unpacked is deleted again.
func Check(ctx context.Context, s Store, d Digest, p Policy) (Verified, error) {
	return Verified{}, errors.ErrUnsupported
}

// Release returns what was checked.
func (v Verified) Release() Release { return v.release }

// IsZero reports whether v was not made by Check.
func (v Verified) IsZero() bool { return v.store == nil }

// Open returns the content of the file called name in the archive. What it
// yields is compared with the digest that was signed, as Opener.Open says.
func (v Verified) Open(ctx context.Context, name string) (io.ReadSeekCloser, int64, error) {
	return nil, 0, errors.ErrUnsupported
}

// For returns the files for p by base name: those of its variant, and those of
// the plain build that the variant lacks.
func (r Release) For(p Platform) map[string]File { return nil }

// Blobs returns the digests of everything a member has to hold.
func (r Release) Blobs() []Digest { return nil }
