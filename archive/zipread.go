package archive

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// tile checks that the local entries fill the archive up to the directory, each
// byte belonging to exactly one.
func (z *zipContainer) tile(r io.ReaderAt, directory int64) error {
	var at int64
	for i := range z.entries {
		e := &z.entries[i]
		switch {
		case e.local < at:
			return refuse(Overlap, e.name, fmt.Sprintf("begins at byte %d, inside the entry before it", e.local))
		case e.local > at:
			return refuse(HiddenData, e.name, fmt.Sprintf("has %d bytes before it that belong to no entry", e.local-at))
		}
		if err := e.readLocal(r, directory); err != nil {
			return err
		}
		at = e.end
	}
	if at != directory {
		return refuse(HiddenData, "", fmt.Sprintf("%d bytes before the directory belong to no entry", directory-at))
	}
	return nil
}

// readLocal compares the local header and data descriptor with the record of
// the directory, and finds the data.
func (e *zipEntry) readLocal(r io.ReaderAt, limit int64) error {
	le := binary.LittleEndian
	var h [zipLocalLen]byte
	if e.local+zipLocalLen > limit {
		return refuse(Truncated, e.name, "its header lies outside the archive")
	}
	if err := readFull(r, h[:], e.local); err != nil {
		return err
	}
	nameLen, extraLen := int64(le.Uint16(h[26:])), int64(le.Uint16(h[28:]))
	e.data = e.local + zipLocalLen + nameLen + extraLen
	e.end = e.data + e.packed
	if e.flags&zipFlagDescriptor != 0 {
		e.end += zipDescLen
	}
	switch {
	case le.Uint32(h[:]) != zipLocalSig:
		return refuse(Malformed, e.name, "its header is not where the directory says")
	case e.end > limit:
		return refuse(Overlap, e.name, "reaches into the directory of the archive")
	case le.Uint16(h[4:])&0xff > 20:
		return refuse(Unsupported, e.name, "uses zip64 or another late feature")
	case le.Uint16(h[6:]) != e.flags || le.Uint16(h[8:]) != e.method:
		return refuse(Malformed, e.name, "its header and the directory give different flags or methods")
	}
	b := make([]byte, nameLen+extraLen)
	if err := readFull(r, b, e.local+zipLocalLen); err != nil {
		return err
	}
	name := e.name
	if e.dir {
		name += "/"
	}
	if string(b[:nameLen]) != name {
		return refuse(Malformed, e.name, "its header gives it the name "+quoteName(string(b[:nameLen])))
	}
	if err := zipExtra(e.name, b[nameLen:]); err != nil {
		return err
	}
	crc, packed, size := le.Uint32(h[14:]), int64(le.Uint32(h[18:])), int64(le.Uint32(h[22:]))
	same := crc == e.crc && packed == e.packed && size == e.size
	if e.flags&zipFlagDescriptor == 0 {
		if !same {
			return refuse(Malformed, e.name, "its header and the directory give different sizes or checksums")
		}
		return nil
	}
	if !same && (crc != 0 || packed != 0 || size != 0) {
		return refuse(Malformed, e.name, "its header and the directory give different sizes or checksums")
	}
	var d [zipDescLen]byte
	if err := readFull(r, d[:], e.end-zipDescLen); err != nil {
		return err
	}
	if le.Uint32(d[:]) != zipDescSig || le.Uint32(d[4:]) != e.crc || int64(le.Uint32(d[8:])) != e.packed || int64(le.Uint32(d[12:])) != e.size {
		return refuse(Malformed, e.name, "its data descriptor is missing or differs from the directory")
	}
	return nil
}

func (z *zipContainer) walk(r io.ReaderAt, want func(entry) bool, do visit) error {
	for i := range z.entries {
		e := &z.entries[i]
		if e.dir || !want(e.entry) {
			continue
		}
		if err := do(e.entry, e.open(r)); err != nil {
			return err
		}
	}
	return nil
}

// inflateBuffer is how much compressed data is read at a time.
const inflateBuffer = 128 << 10

// open returns the content. The reader yields exactly the declared size and
// then io.EOF, or an Error: more or less data, another checksum, and compressed
// bytes that the decompressor did not consume are all refused.
func (e *zipEntry) open(r io.ReaderAt) io.Reader {
	c := &zipContent{e: e, raw: io.NewSectionReader(r, e.data, e.packed)}
	if e.method == zipStored {
		c.r = c.raw
		return c
	}
	// flate reads byte by byte from an io.ByteReader, and so not past the end.
	c.buf = bufio.NewReaderSize(c.raw, int(min(e.packed+1, inflateBuffer)))
	c.r = flate.NewReader(c.buf)
	return c
}

type zipContent struct {
	e    *zipEntry
	raw  *io.SectionReader
	buf  *bufio.Reader // nil if stored
	r    io.Reader
	n    int64
	crc  uint32
	fail error
}

func (c *zipContent) Read(p []byte) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n > c.e.size {
		c.fail = refuse(Corrupt, c.e.name, fmt.Sprintf("yields more than the %d bytes it declares", c.e.size))
		return 0, c.fail
	}
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	if err != nil {
		c.fail = c.finish(err)
	}
	return n, c.fail
}

// finish judges the whole entry once its data has ended with err.
func (c *zipContent) finish(err error) error {
	name := c.e.name
	if err != io.EOF {
		var corrupt flate.CorruptInputError
		if err == io.ErrUnexpectedEOF || errors.As(err, &corrupt) {
			return &Error{Reason: Corrupt, Name: name, Detail: "does not decompress", Err: err}
		}
		return err
	}
	if c.buf != nil {
		if _, err := c.buf.ReadByte(); err != io.EOF {
			return refuse(Corrupt, name, "has bytes behind the end of its compressed data")
		}
	}
	switch {
	case c.n != c.e.size:
		return refuse(Corrupt, name, fmt.Sprintf("yields %d bytes, but declares %d", c.n, c.e.size))
	case c.crc != c.e.crc:
		return refuse(Corrupt, name, "does not match its checksum")
	}
	return io.EOF
}
