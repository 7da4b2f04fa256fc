package archive

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The tar profile: what GNU tar (its own format, ustar, pax) and archive/tar
// write for regular files and directories. One gzip member, with nothing behind
// it; no data in paddings; an end marker, and only zeros after that.
const (
	tarBlock      = 512
	tarMaxPadding = 1 << 20 // zeros behind the end marker: tar fills up its last record
	tarMaxLong    = 8 << 10 // bytes of a pax header or a GNU long name
)

// A tarContainer is read from the start each time: there is no index.
type tarContainer struct {
	size, unpacked int64
	entries        []entry
	heads          map[string][]byte
}

func (t *tarContainer) files() []entry          { return t.entries }
func (t *tarContainer) head() map[string][]byte { return t.heads }

func scanTar(r io.ReaderAt, size, unpacked int64) (container, error) {
	t := &tarContainer{size: size, unpacked: unpacked, heads: make(map[string][]byte)}
	err := t.each(r, func(e entry, r io.Reader) error {
		t.entries = append(t.entries, e)
		return readHead(t.heads, e, r)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *tarContainer) walk(r io.ReaderAt, want func(entry) bool, do visit) error {
	return t.each(r, func(e entry, r io.Reader) error {
		if !want(e) {
			return nil
		}
		return do(e, r)
	})
}

// each reads the whole archive, checking all of it, and visits each file.
func (t *tarContainer) each(r io.ReaderAt, do visit) error {
	buf := bufio.NewReaderSize(io.NewSectionReader(r, 0, t.size), inflateBuffer)
	z, err := gzip.NewReader(buf)
	if err != nil {
		return gzipError(err)
	}
	z.Multistream(false)
	s := &tarStream{r: &gunzip{z}, sum: total{limit: t.unpacked}}
	for {
		e, dir, err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if dir {
			continue
		}
		content := &io.LimitedReader{R: s.r, N: e.size}
		if err := do(e, &tarContent{content}); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, &tarContent{content}); err != nil {
			return err
		}
		if err := s.zeros(e.name, -e.size&(tarBlock-1)); err != nil {
			return err
		}
	}
	if err := s.tail(); err != nil {
		return err
	}
	if _, err := buf.ReadByte(); err == nil {
		return refuse(HiddenData, "", "there are bytes after the end of the gzip data")
	} else if err != io.EOF {
		return fmt.Errorf("archive: read: %w", err)
	}
	return nil
}

// gunzip gives the faults of the compression their names.
type gunzip struct{ z *gzip.Reader }

func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	return n, gzipError(err)
}

func gzipError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == nil || err == io.EOF:
		return err
	case err == io.ErrUnexpectedEOF:
		return refuse(Truncated, "", "the gzip data is cut off")
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return &Error{Reason: Corrupt, Detail: "does not decompress", Err: err}
	}
	return err
}

// tarContent yields the bytes of one file, and knows that they must all come.
type tarContent struct{ l *io.LimitedReader }

func (c *tarContent) Read(p []byte) (int, error) {
	if c.l.N == 0 {
		return 0, io.EOF
	}
	n, err := c.l.Read(p)
	if err == io.EOF && c.l.N > 0 {
		err = refuse(Truncated, "", "the tar archive ends inside a file")
	} else if err == io.EOF {
		err = nil // said at the next call
	}
	return n, err
}

// A tarStream reads headers one after the other.
type tarStream struct {
	r     io.Reader
	names nameSet
	sum   total
}

// next returns the next file or directory, and io.EOF behind the end marker.
func (s *tarStream) next() (e entry, dir bool, err error) {
	extended, long := false, "" // an extension header came before, with this name for the next
	for {
		h, err := s.header()
		if err != nil {
			return e, false, err
		}
		if h == nil && extended {
			return e, false, refuse(Malformed, "", "the tar archive ends after an extension header")
		}
		if h == nil {
			return e, false, io.EOF
		}
		if err := s.sum.entry(); err != nil {
			return e, false, err
		}
		switch h.kind {
		case 'x', 'L':
			if extended {
				return e, false, refuse(Malformed, "", "two extension headers follow each other")
			}
			if long, err = s.extension(h); err != nil {
				return e, false, err
			}
			s.sum.entries-- // belongs to the next
			extended = true
		case '0', 0, '5':
			name := h.name
			if long != "" {
				name = long
			}
			name = strings.TrimPrefix(name, "./")
			dir := h.kind == '5'
			if dir {
				name = strings.TrimSuffix(name, "/")
			}
			if dir && (name == "" || name == ".") { // the directory that was packed
				if h.size != 0 {
					return e, false, refuse(SpecialFile, ".", "is a directory with content")
				}
				extended, long = false, ""
				continue
			}
			e = entry{name: name, size: h.size, exec: h.mode&modeExec != 0}
			return e, dir, s.accept(e, dir, h)
		case '1', '2', '3', '4', '6', '7', 'K':
			return e, false, refuse(SpecialFile, h.name, "is a link, device or pipe")
		default:
			return e, false, refuse(Unsupported, h.name, fmt.Sprintf("has the tar type %q", rune(h.kind)))
		}
	}
}

func (s *tarStream) accept(e entry, dir bool, h *tarHeader) error {
	if err := checkName(e.name); err != nil {
		return err
	}
	if err := checkModeBits(e.name, h.mode); err != nil {
		return err
	}
	switch {
	case dir && h.size != 0:
		return refuse(SpecialFile, e.name, "is a directory with content")
	case h.link:
		return refuse(Malformed, e.name, "is a file with a link target")
	}
	if err := s.names.add(e.name, dir); err != nil {
		return err
	}
	if err := s.sum.file(e); err != nil {
		return err
	}
	return nil
}

// extension reads the content of an extension header, and returns the name it
// gives to the next entry, if it does.
func (s *tarStream) extension(h *tarHeader) (string, error) {
	if h.size == 0 || h.size > tarMaxLong {
		return "", refuse(Malformed, "", fmt.Sprintf("an extension header has %d bytes", h.size))
	}
	b := make([]byte, h.size)
	if err := s.full(b); err != nil {
		return "", err
	}
	if err := s.zeros("", -h.size&(tarBlock-1)); err != nil {
		return "", err
	}
	if h.kind == 'L' {
		name, ok := bytes.CutSuffix(b, []byte{0})
		if !ok || len(name) == 0 || bytes.IndexByte(name, 0) >= 0 {
			return "", refuse(Malformed, "", "a long name is not terminated")
		}
		return string(name), nil
	}
	return paxPath(b)
}

func (s *tarStream) full(b []byte) error {
	_, err := io.ReadFull(s.r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return refuse(Truncated, "", "the tar archive has no end: it was cut off")
	}
	return err
}

// zeros reads n bytes of padding, fewer than a block.
func (s *tarStream) zeros(name string, n int64) error {
	b := make([]byte, n)
	if err := s.full(b); err != nil {
		return err
	}
	if !allZero(b) {
		return refuse(HiddenData, name, "has data in its padding")
	}
	return nil
}

// tail reads what is behind the end marker, to the end of the gzip data, whose
// checksum is compared there.
func (s *tarStream) tail() error {
	b := make([]byte, 32<<10)
	for n := 0; ; {
		m, err := s.r.Read(b)
		n += m
		switch {
		case !allZero(b[:m]) || n > tarMaxPadding:
			return refuse(HiddenData, "", "there is data after the end of the tar archive")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
