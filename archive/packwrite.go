package archive

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"io"
	"time"
)

// dosEpoch is 1980-01-01 in the form of a zip header: the earliest that can be
// said, and the same for all.
const dosEpoch = 1<<5 | 1

// writeBuffer gathers headers and small files into larger writes.
const writeBuffer = 128 << 10

// packZip writes members in their order.
func packZip(w io.Writer, members []packMember, stored bool) error {
	buf := bufio.NewWriterSize(w, writeBuffer)
	z := zip.NewWriter(buf)
	for _, m := range members {
		//lint:ignore SA1019 Modified would add a field with the time to some entries and not to others
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, ModifiedDate: dosEpoch}
		h.SetMode(m.mode())
		var content io.Writer
		var err error
		if stored || m.size == 0 {
			// Sizes are known, so no data descriptor follows.
			h.Method, h.ReaderVersion, h.CRC32 = zip.Store, 10, m.crc
			h.CreatorVersion |= 20
			h.CompressedSize64, h.UncompressedSize64 = uint64(m.size), uint64(m.size)
			content, err = z.CreateRaw(h)
		} else {
			content, err = z.CreateHeader(h)
		}
		if err != nil {
			return err
		}
		if err := m.copyTo(content); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return buf.Flush()
}

// packTar writes members in their order.
func packTar(w io.Writer, members []packMember, stored bool) error {
	t, err := newTarWriter(w, stored)
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := t.header(m.name, m.size, m.exec); err != nil {
			return err
		}
		if err := m.copyTo(t.tar); err != nil {
			return err
		}
	}
	return t.close()
}

// A tarWriter writes gzip-compressed tar in the one way that packing and
// signing share.
type tarWriter struct {
	tar *tar.Writer
	zip *gzip.Writer
	buf *bufio.Writer
}

func newTarWriter(w io.Writer, stored bool) (*tarWriter, error) {
	level := gzip.DefaultCompression
	if stored {
		level = gzip.NoCompression
	}
	buf := bufio.NewWriterSize(w, writeBuffer)
	z, err := gzip.NewWriterLevel(buf, level) // its header says nothing of time and name
	if err != nil {
		return nil, err
	}
	return &tarWriter{tar.NewWriter(z), z, buf}, nil
}

func (t *tarWriter) header(name string, size int64, exec bool) error {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size,
		Mode: int64(packMember{exec: exec}.mode()), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	err := t.tar.WriteHeader(h)
	if err != nil { // the name is one that ustar cannot split
		h.Format = tar.FormatPAX
		err = t.tar.WriteHeader(h)
	}
	return err
}

func (t *tarWriter) close() error {
	if err := t.tar.Close(); err != nil {
		return err
	}
	if err := t.zip.Close(); err != nil {
		return err
	}
	return t.buf.Flush()
}
