package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// Sign copies the archive in src to dst, with a signature of key added, or
// replaced if key has signed it before. The first key signs in
// sha256sums.minisig, further ones in sha256sums.<KEY ID>.minisig. The trusted
// comment is shown by minisign; if it is "" it names the release. The same
// input gives the same bytes.
//
// What is signed was read and compared before: an archive that Check would
// refuse whatever its policy gives an *Error, and nothing is written to dst.
func Sign(dst io.Writer, src io.ReaderAt, size int64, key PrivateKey, trustedComment string) error {
	if key.IsZero() {
		return refuse(BadKey, "", "there is no key to sign with")
	}
	if len(trustedComment) > 1024 || !plainText(trustedComment) {
		return refuse(BadInput, "", "the trusted comment is too long, or has control characters")
	}
	c, err := scan(src, size, readHeadLimit)
	if err != nil {
		return err
	}
	h, err := headOf(c, size)
	if err != nil {
		return err
	}
	m, err := verifyContent(c, src, h)
	if err != nil {
		return err
	}
	if trustedComment == "" {
		trustedComment = fmt.Sprintf("%s %s counter %d", m.Product, m.Version, m.Counter)
	}
	name, replaces := placeSignature(h, key.ID())
	files := c.files()
	if !replaces && len(files) == MaxEntries {
		return refuse(TooManyFiles, "", fmt.Sprintf("there is no room for a signature: the archive has %d entries", MaxEntries))
	}
	signature := entryContent{name, key.sign(h.Sums, trustedComment)}
	// A new one stands behind what it belongs to.
	behind := SumsName
	for _, e := range files {
		if isSignatureName(e.name) {
			behind = e.name
		}
	}
	switch c := c.(type) {
	case *zipContainer:
		err = c.copyWith(dst, src, signature, behind)
	case *tarContainer:
		err = c.copyWith(dst, src, signature, behind)
	}
	if _, ok := asError(err); err != nil && !ok {
		return fmt.Errorf("archive: sign: %w", err)
	}
	return err
}

type entryContent struct {
	name string
	b    []byte
}

func plainText(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return false
		}
	}
	return true
}

// placeSignature returns the name for the signature of the key id, and whether
// a file of that name is there already.
func placeSignature(h Head, id string) (name string, replaces bool) {
	const first = SumsName + signatureSuffix
	b, taken := h.Signatures[first]
	if s, err := parseSignature(first, b); !taken || err != nil || formatKeyID(s.KeyID) == id {
		return first, taken
	}
	name = signatureName(id)
	_, replaces = h.Signatures[name]
	return name, replaces
}

// verifyContent compares every file with sha256sums, and returns the manifest.
func verifyContent(c container, src io.ReaderAt, h Head) (Manifest, error) {
	sums, err := parseSums(h.Sums)
	if err != nil {
		return Manifest{}, err
	}
	files, _, err := Policy{MaxUnpacked: readHeadLimit}.files(sums, h.Sizes)
	if err != nil {
		return Manifest{}, err
	}
	digests := make(map[string]Digest)
	for _, f := range files {
		digests[f.Name] = f.Digest
	}
	buf := make([]byte, copyBuffer)
	err = c.walk(src, func(e entry) bool { return digests[e.name] != "" }, func(e entry, r io.Reader) error {
		_, err := io.CopyBuffer(onlyWriter{io.Discard}, Verify(r, digests[e.name]), buf)
		if errors.Is(err, ErrDigest) {
			return &Error{Reason: DigestMismatch, Name: e.name, Detail: "is not what " + SumsName + " says", Err: ErrDigest}
		}
		return err
	})
	if err != nil {
		return Manifest{}, err
	}
	if _, ok := h.Sizes[ManifestName]; !ok {
		return Manifest{}, refuse(NoManifest, "", "there is no "+ManifestName)
	}
	return parseManifest(h.Manifest)
}

// copyWith copies the archive byte for byte, but for the one entry: what was
// compressed stays as it is.
func (z *zipContainer) copyWith(dst io.Writer, src io.ReaderAt, add entryContent, behind string) error {
	le := binary.LittleEndian
	buf := bufio.NewWriterSize(dst, writeBuffer)
	var at int64
	var directory []byte
	count := 0
	write := func(record []byte, local io.Reader) error {
		if at > maxPacked {
			return refuse(TooLarge, "", "there is no room for a signature in it")
		}
		directory = append(directory, record...)
		le.PutUint32(directory[len(directory)-len(record)+42:], uint32(at))
		n, err := io.CopyBuffer(onlyWriter{buf}, local, make([]byte, copyBuffer))
		at += n
		count++
		return err
	}
	replaced := slices.ContainsFunc(z.entries, func(e zipEntry) bool { return e.name == add.name })
	for _, e := range z.entries {
		if e.name != add.name {
			if err := write(e.central, onlyReader{io.NewSectionReader(src, e.local, e.end-e.local)}); err != nil {
				return err
			}
		}
		if e.name == add.name || !replaced && e.name == behind {
			record, local := zipRecords(add)
			if err := write(record, onlyReader{bytes.NewReader(local)}); err != nil {
				return err
			}
		}
	}
	end := make([]byte, zipEndLen)
	le.PutUint32(end, zipEndSig)
	le.PutUint16(end[8:], uint16(count))
	le.PutUint16(end[10:], uint16(count))
	le.PutUint32(end[12:], uint32(len(directory)))
	le.PutUint32(end[16:], uint32(at))
	if _, err := buf.Write(append(directory, end...)); err != nil {
		return err
	}
	return buf.Flush()
}

// zipRecords makes both records of a stored file.
func zipRecords(c entryContent) (central, local []byte) {
	le := binary.LittleEndian
	common := make([]byte, 26) // what both have, from the version needed to the length of extra fields
	le.PutUint16(common, 10)
	le.PutUint16(common[8:], dosEpoch)
	le.PutUint32(common[10:], crc32.ChecksumIEEE(c.b))
	le.PutUint32(common[14:], uint32(len(c.b)))
	le.PutUint32(common[18:], uint32(len(c.b)))
	le.PutUint16(common[22:], uint16(len(c.name)))

	local = le.AppendUint32(nil, zipLocalSig)
	local = append(append(append(local, common...), c.name...), c.b...)

	central = le.AppendUint32(nil, zipCentralSig)
	central = le.AppendUint16(central, 3<<8|20) // made on Unix
	central = append(central, common...)
	central = append(central, make([]byte, 6)...)
	central = le.AppendUint32(central, (modeFile|0o644)<<16)
	central = append(le.AppendUint32(central, 0), c.name...)
	return central, local
}

// copyWith writes the archive anew, files in their order, with modes, times and
// owners as Pack gives them.
func (t *tarContainer) copyWith(dst io.Writer, src io.ReaderAt, add entryContent, behind string) error {
	var content int64
	for _, e := range t.entries {
		content += e.size
	}
	w, err := newTarWriter(dst, t.size > content) // larger than its content: it was not compressed
	if err != nil {
		return err
	}
	write := func(name string, size int64, exec bool, r io.Reader) error {
		if err := w.header(name, size, exec); err != nil {
			return err
		}
		_, err := io.CopyBuffer(onlyWriter{w.tar}, r, make([]byte, copyBuffer))
		return err
	}
	replaced := slices.ContainsFunc(t.entries, func(e entry) bool { return e.name == add.name })
	err = t.each(src, func(e entry, r io.Reader) error {
		if e.name != add.name {
			if err := write(e.name, e.size, e.exec, r); err != nil {
				return err
			}
		}
		if e.name == add.name || !replaced && e.name == behind {
			return write(add.name, int64(len(add.b)), false, onlyReader{bytes.NewReader(add.b)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.close()
}
