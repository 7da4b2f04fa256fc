package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// A Format is a container that archives come in.
type Format string

// Formats.
const (
	Zip     Format = "zip"
	TarGzip Format = "tar.gz"
)

// A PackConfig says what goes into an archive.
type PackConfig struct {
	Manifest Manifest   // Product and Version are required; times are cut to seconds
	Files    []PackFile // in any order; at least one under bin/
	Format   Format     // Zip if ""
	Stored   bool       // do not compress: larger to send, faster to stage
}

// A PackFile is one file to pack.
type PackFile struct {
	Name       string                        // in the archive
	Path       string                        // of the file to read, unless Open is set
	Open       func() (io.ReadCloser, error) // called twice, and has to give the same bytes
	Executable bool                          // mode 0755 also outside bin/
}

// maxPacked keeps archives in what zip holds without zip64.
const maxPacked = 4<<30 - 64<<20

// Pack writes an archive, unsigned, to w. The same input gives the same bytes,
// as long as it is the same release of Go that compresses them: times, owners
// and the order of files do not depend on where and when it is called. The
// files are read twice, and nothing larger than a buffer is held in memory. An
// input that cannot be packed gives an *Error with the Reason BadInput, or that
// for which Check would refuse the archive; w may have been written to.
func Pack(w io.Writer, c PackConfig) (Release, error) {
	manifest, err := formatManifest(c.Manifest)
	if err != nil {
		return Release{}, err
	}
	if c.Format != "" && c.Format != Zip && c.Format != TarGzip {
		return Release{}, refuse(BadInput, "", fmt.Sprintf("there is no format %q", c.Format))
	}
	files := slices.Clone(c.Files)
	slices.SortFunc(files, func(a, b PackFile) int { return strings.Compare(a.Name, b.Name) })
	if err := checkPackFiles(files); err != nil {
		return Release{}, err
	}
	members := []packMember{contentMember(SumsName, nil), contentMember(ManifestName, manifest)}
	for _, f := range files {
		m, err := f.member()
		if err != nil {
			return Release{}, err
		}
		members = append(members, m)
	}
	r := Release{Manifest: c.Manifest, Unsigned: true}
	if r.Manifest, err = parseManifest(manifest); err != nil {
		return Release{}, err
	}
	var sums []sum
	for _, m := range members[1:] {
		sums = append(sums, sum{m.name, m.digest})
		platform, _ := platformOf(m.name)
		r.Files = append(r.Files, File{Name: m.name, Digest: m.digest, Size: m.size, Platform: platform})
		if r.Unpacked += m.size; r.Unpacked > maxPacked {
			return Release{}, refuse(TooLarge, m.name, fmt.Sprintf("with this file there are more than the %d bytes an archive may have", int64(maxPacked)))
		}
	}
	byName := func(a, b File) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(r.Files, byName)
	slices.SortFunc(sums, func(a, b sum) int { return strings.Compare(a.name, b.name) })
	text := formatSums(sums)
	members[0] = contentMember(SumsName, text)
	r.Sums = DigestOf(text)

	out := &countingHash{w: w, hash: sha256.New()}
	if c.Format == TarGzip {
		err = packTar(out, members, c.Stored)
	} else {
		err = packZip(out, members, c.Stored)
	}
	if err != nil {
		if _, ok := asError(err); ok {
			return Release{}, err
		}
		return Release{}, fmt.Errorf("archive: pack: %w", err)
	}
	r.Archive, r.Size = digestOfSum(out.hash.Sum(nil)), out.n
	return r, nil
}

func checkPackFiles(files []PackFile) error {
	if len(files)+2 > MaxEntries { // with sha256sums and manifest.json
		return refuse(TooManyFiles, "", fmt.Sprintf("there are more than %d files to pack", MaxEntries-2))
	}
	names := nameSet{}
	names.add(SumsName, false)
	names.add(ManifestName, false)
	programs := false
	for _, f := range files {
		if err := checkName(f.Name); err != nil {
			return err
		}
		if isSignatureName(f.Name) {
			return refuse(BadInput, f.Name, "is the name of a signature; signing adds it")
		}
		if err := names.add(f.Name, false); err != nil {
			return err
		}
		platform, err := platformOf(f.Name)
		if err != nil {
			return err
		}
		programs = programs || platform != Platform{}
	}
	if !programs {
		return refuse(BadInput, "", "there is no program, no file named bin/<os>/<arch>/<name>")
	}
	return nil
}

// FilesIn returns the regular files of fsys, a directory laid out as the
// archive is to be, bin/<os>/<arch>/<name> and whatever goes with it. Generated
// files of an earlier archive are left out: sha256sums, its signatures and
// manifest.json. Links and other special files are refused by name.
func FilesIn(fsys fs.FS) ([]PackFile, error) {
	var files []PackFile
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("archive: read the files to pack: %w", err)
		}
		switch {
		case d.IsDir(), name == SumsName, name == ManifestName, isSignatureName(name):
			return nil
		case !d.Type().IsRegular():
			return refuse(SpecialFile, name, "is not a regular file")
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("archive: read the files to pack: %w", err)
		}
		files = append(files, PackFile{
			Name:       name,
			Open:       func() (io.ReadCloser, error) { return fsys.Open(name) },
			Executable: info.Mode()&modeExec != 0,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// A packMember is a file whose content was read once.
type packMember struct {
	name   string
	digest Digest
	crc    uint32
	size   int64
	exec   bool
	open   func() (io.ReadCloser, error)
}

func (f PackFile) member() (packMember, error) {
	m := packMember{name: f.Name, exec: f.Executable || strings.HasPrefix(f.Name, "bin/"), open: f.Open}
	if m.open == nil {
		m.open = func() (io.ReadCloser, error) { return os.Open(f.Path) }
	}
	r, err := m.open()
	if err != nil {
		return m, fmt.Errorf("archive: pack %s: %w", f.Name, err)
	}
	defer r.Close()
	sum, crc := sha256.New(), crc32.NewIEEE()
	m.size, err = io.CopyBuffer(io.MultiWriter(sum, crc), onlyReader{r}, make([]byte, copyBuffer))
	if err != nil {
		return m, fmt.Errorf("archive: pack %s: %w", f.Name, err)
	}
	m.digest, m.crc = digestOfSum(sum.Sum(nil)), crc.Sum32()
	return m, nil
}

func contentMember(name string, b []byte) packMember {
	return packMember{
		name: name, digest: DigestOf(b), crc: crc32.ChecksumIEEE(b), size: int64(len(b)),
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
	}
}

// copyTo writes the content to w, which must still be what was read first.
func (m packMember) copyTo(w io.Writer) error {
	r, err := m.open()
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	defer r.Close()
	_, err = io.CopyBuffer(onlyWriter{w}, Verify(io.LimitReader(r, m.size), m.digest), make([]byte, copyBuffer))
	if err == nil {
		if n, _ := io.ReadFull(r, make([]byte, 1)); n > 0 {
			err = ErrDigest
		}
	}
	if errors.Is(err, ErrDigest) {
		return &Error{Reason: BadInput, Name: m.name, Detail: "changed while it was packed", Err: ErrDigest}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	return nil
}

func (m packMember) mode() fs.FileMode {
	if m.exec {
		return 0o755
	}
	return 0o644
}

// onlyReader hides WriteTo, and onlyWriter ReadFrom, which would not use the
// buffer that io.CopyBuffer is given.
type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }

// A countingHash writes to w, and knows what and how much.
type countingHash struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (c *countingHash) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}
