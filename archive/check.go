package archive

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// A Head is the part of an archive through which everything else is reached:
// enough to judge a release before its bytes are sent.
type Head struct {
	Sums       []byte            `json:"sums"`       // sha256sums, byte for byte
	Signatures map[string][]byte `json:"signatures"` // name to content of *.minisig
	Manifest   []byte            `json:"manifest"`   // manifest.json, nil if there is none
	Sizes      map[string]int64  `json:"sizes"`      // of all other files, and manifest.json, bytes
	Size       int64             `json:"size"`       // of the archive, bytes
}

// Verified is a release that was checked against a Policy, and the store that
// holds its files. Only Check makes one that is not zero.
type Verified struct {
	release Release
	store   Opener
}

// readHeadLimit bounds what ReadHead lets come out of an archive, for whoever
// has no Policy yet.
const readHeadLimit = 64 << 30

// ReadHead scans the structure of the archive that r holds, zip or gzip-tar by
// content, and returns its head. Nothing but the head is unpacked. An archive
// that is refused gives an *Error.
func ReadHead(r io.ReaderAt, size int64) (Head, error) {
	c, err := scan(r, size, readHeadLimit)
	if err != nil {
		return Head{}, err
	}
	return headOf(c, size)
}

func headOf(c container, size int64) (Head, error) {
	h := Head{Signatures: make(map[string][]byte), Sizes: make(map[string]int64), Size: size}
	for _, e := range c.files() {
		b := c.head()[e.name]
		switch {
		case e.name == SumsName:
			h.Sums = b
			continue
		case isSignatureName(e.name):
			h.Signatures[e.name] = b
			continue
		case e.name == ManifestName:
			h.Manifest = b
		}
		h.Sizes[e.name] = e.size
	}
	if h.Sums == nil {
		return Head{}, refuse(NoSums, "", "there is no "+SumsName+" at the top of the archive")
	}
	return h, nil
}

// Check scans the archive d in s, applies p, and unpacks into s every file, and
// sha256sums, that s lacks; a blob of the right size counts as there, its bytes
// are compared whenever it is read. It may be repeated. An archive that is
// refused gives an *Error, a missing one wraps fs.ErrNotExist.
//
// After an error what this call unpacked is deleted again, so two calls for
// releases that share files must not run at once. The archive itself stays.
func Check(ctx context.Context, s Store, d Digest, p Policy) (Verified, error) {
	release, err := check(ctx, s, d, p)
	if err == nil {
		return Verified{release: release, store: s}, nil
	}
	if e, ok := asError(err); ok && err == error(e) {
		return Verified{}, err
	}
	return Verified{}, fmt.Errorf("archive: check %s: %w", d, err)
}

func check(ctx context.Context, s Store, d Digest, p Policy) (Release, error) {
	p, err := p.complete()
	if err != nil {
		return Release{}, err
	}
	src, size, err := openAt(ctx, s, d)
	if err != nil {
		return Release{}, err
	}
	defer src.Close()
	if err := p.checkSize(size); err != nil {
		return Release{}, err
	}
	c, err := scan(src, size, p.MaxUnpacked)
	if err != nil {
		return Release{}, err
	}
	h, err := headOf(c, size)
	if err != nil {
		return Release{}, err
	}
	release, err := p.CheckHead(h)
	if err != nil {
		return Release{}, err
	}
	release.Archive = d
	u := unpacker{store: s, archive: d, container: c, release: release}
	err = u.unpack(ctx, h.Sums)
	for i := 0; err == nil && i < len(p.Platforms); i++ {
		err = checkProgram(ctx, s, p.Platforms[i], release.For(p.Platforms[i])[p.Program])
	}
	if err != nil {
		return Release{}, u.undo(ctx, err)
	}
	return release, nil
}

// Release returns what was checked. The caller owns it.
func (v Verified) Release() Release {
	r := v.release
	r.Files, r.SignedBy = slices.Clone(r.Files), slices.Clone(r.SignedBy)
	return r
}

// IsZero reports whether v was not made by Check.
func (v Verified) IsZero() bool { return v.store == nil }

// Open returns the content of the file called name in the archive. What it
// yields is compared with the digest that was signed, as Opener.Open says.
func (v Verified) Open(ctx context.Context, name string) (io.ReadSeekCloser, int64, error) {
	if v.IsZero() {
		return nil, 0, fmt.Errorf("archive: open %s: the release was not checked: %w", quoteName(name), fs.ErrInvalid)
	}
	i := slices.IndexFunc(v.release.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil, 0, fmt.Errorf("archive: open %s: not in the release: %w", quoteName(name), fs.ErrNotExist)
	}
	return v.store.Open(ctx, v.release.Files[i].Digest)
}
