package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
)

const digestPrefix = "sha256:"

// ParseDigest returns s as a Digest if it has the one form there is. The error
// wraps fs.ErrInvalid. What comes from outside, a URL or a header, has to pass
// here before it is used as a name.
func ParseDigest(s string) (Digest, error) {
	if d := Digest(s); d.Valid() {
		return d, nil
	}
	return "", fmt.Errorf("archive: digest %.80q: want %q and 64 lower-case hexadecimal digits: %w", s, digestPrefix, fs.ErrInvalid)
}

// DigestOf returns the Digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return digestOfSum(sum[:])
}

func digestOfSum(sum []byte) Digest {
	return Digest(digestPrefix + hex.EncodeToString(sum))
}

// Valid reports whether d has the form of a digest. The zero Digest has not.
func (d Digest) Valid() bool {
	s, ok := strings.CutPrefix(string(d), digestPrefix)
	return ok && isHex64(s)
}

// Hex returns the 64 digits without the prefix, as sha256sum prints them, or ""
// if d is not Valid.
func (d Digest) Hex() string {
	if !d.Valid() {
		return ""
	}
	return string(d[len(digestPrefix):])
}

func isHex64(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Verify returns a reader of r that, at the end of r, reports an error wrapping
// ErrDigest in place of io.EOF if the bytes read do not hash to d. A Store that
// reads through it and publishes nothing after a read error keeps the integrity
// half of its contract; so does a client that fetches a blob from a peer.
func Verify(r io.Reader, d Digest) io.Reader {
	return &verifyReader{r: r, want: d, hash: sha256.New()}
}

type verifyReader struct {
	r    io.Reader
	want Digest
	hash hash.Hash
}

func (v *verifyReader) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF {
		if mismatch := compare(v.want, digestOfSum(v.hash.Sum(nil))); mismatch != nil {
			err = mismatch
		}
	}
	return n, err
}

func compare(want, got Digest) error {
	if want == got {
		return nil
	}
	return fmt.Errorf("archive: have %s, want %s: %w", got, want, ErrDigest)
}
