package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Names with a meaning, and how much of each is read into memory.
const (
	SumsName     = "sha256sums"
	ManifestName = "manifest.json"

	signatureSuffix = ".minisig"

	maxSums       = 64 << 10
	maxManifest   = 64 << 10
	maxSignature  = 4 << 10
	maxSignatures = 16
)

// An entry is a regular file in an archive.
type entry struct {
	name string
	size int64
	exec bool // any execute bit is set
}

// A visit is handed each file of an archive once. Not reading r to the end
// leaves the rest of the file unchecked.
type visit func(e entry, r io.Reader) error

// A container is the structure of an archive. That it exists means that the
// structure was accepted.
type container interface {
	// files returns the regular files in the order of the archive.
	files() []entry

	// head returns the content of the files that headLimit names.
	head() map[string][]byte

	// walk hands every file that want accepts to do, read from r, which holds
	// the same bytes as those that were scanned, in the order of the archive.
	walk(r io.ReaderAt, want func(entry) bool, do visit) error
}

// scan reads the structure of the archive in r, of which no more than unpacked
// bytes may come out.
func scan(r io.ReaderAt, size, unpacked int64) (container, error) {
	if size < 0 {
		return nil, fmt.Errorf("archive: scan: negative size %d", size)
	}
	start := make([]byte, min(size, sniffBytes))
	if err := readFull(r, start, 0); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("PK\x03\x04")), bytes.HasPrefix(start, []byte("PK\x05\x06")):
		return scanZip(r, size, unpacked)
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		return scanTar(r, size, unpacked)
	}
	return nil, refuse(NotAnArchive, "", "this is "+sniff(start)+", not a zip or gzip-compressed tar archive")
}

// readFull reads exactly len(p) bytes at off; the end of r before that means
// that r is shorter than was said.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return fmt.Errorf("archive: read at %d: %w", off, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("archive: read at %d: %w", off, err)
}

// headLimit says whether name belongs to the head, and how long it may be.
func headLimit(name string) (limit int64, ok bool) {
	switch {
	case name == SumsName:
		return maxSums, true
	case name == ManifestName:
		return maxManifest, true
	case isSignatureName(name):
		return maxSignature, true
	}
	return 0, false
}

// readHead reads a file of the head, if e is one, into head.
func readHead(head map[string][]byte, e entry, r io.Reader) error {
	limit, ok := headLimit(e.name)
	if !ok {
		return nil
	}
	if e.size > limit {
		return refuse(TooLarge, e.name, fmt.Sprintf("has %d bytes, more than the %d allowed", e.size, limit))
	}
	if isSignatureName(e.name) {
		n := 0
		for name := range head {
			if isSignatureName(name) {
				n++
			}
		}
		if n == maxSignatures {
			return refuse(TooManyFiles, e.name, fmt.Sprintf("there are more than %d signatures", maxSignatures))
		}
	}
	b, err := io.ReadAll(r) // bounded: r yields e.size bytes or fails
	if err != nil {
		return err
	}
	head[e.name] = b
	return nil
}

// A total adds up what files declare, against a limit.
type total struct {
	limit, sum int64
	entries    int
}

func (t *total) entry() *Error {
	if t.entries++; t.entries > MaxEntries {
		return refuse(TooManyFiles, "", fmt.Sprintf("it has more than %d entries", MaxEntries))
	}
	return nil
}

func (t *total) file(e entry) *Error {
	if e.size > t.limit-t.sum {
		return refuse(TooLarge, e.name, fmt.Sprintf("with this file of %d bytes more than the %d allowed would be unpacked", e.size, t.limit))
	}
	t.sum += e.size
	return nil
}

// Mode bits as zip (in the upper half of its attributes) and tar hold them.
const (
	modeType   = 0o170000
	modeFile   = 0o100000
	modeDir    = 0o040000
	modeSetAny = 0o7000
	modeExec   = 0o111
)

func checkModeBits(name string, mode uint32) *Error {
	if mode&modeSetAny != 0 {
		return refuse(SetuidRefused, name, fmt.Sprintf("mode %04o has setuid, setgid or sticky set", mode&0o7777))
	}
	return nil
}

// asError returns err as an Error if it is one.
func asError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
