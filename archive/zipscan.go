package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// The zip profile: what archive/zip, Info-ZIP and Python all read the same way.
// One disk, no zip64, no comments. The local entries tile the file from its
// first byte to the central directory, which ends where the end record begins,
// which is the last thing in the file; so there is nothing that one reader sees
// and another does not. Local and central headers say the same.
// Layouts are those of PKWARE's APPNOTE.TXT 6.3, sections 4.3.7 to 4.3.16.
const (
	zipLocalSig   = 0x04034b50
	zipCentralSig = 0x02014b50
	zipEndSig     = 0x06054b50
	zipDescSig    = 0x08074b50

	zipLocalLen   = 30
	zipCentralLen = 46
	zipEndLen     = 22
	zipDescLen    = 16

	zipStored   = 0
	zipDeflated = 8

	zipFlagEncrypted  = 0x1
	zipFlagDescriptor = 0x8
	zipFlagsAllowed   = 0x2 | 0x4 | zipFlagDescriptor | 0x800 // compression hints, UTF-8 names

	// The directory of the most and longest entries the profile allows, with
	// room for their extra fields.
	zipMaxDirectory = MaxEntries * (zipCentralLen + MaxNameBytes + 256)
	// Deflate cannot expand further than this.
	zipMaxRatio = 1032
)

// A zipEntry is a record of the central directory that agrees with its local
// header.
type zipEntry struct {
	entry
	dir     bool
	central []byte // the record
	flags   uint16
	method  uint16
	crc     uint32
	packed  int64 // bytes of the data as stored
	local   int64 // offset of the local header
	data    int64 // offset of the data
	end     int64 // offset behind the data and its descriptor
}

type zipContainer struct {
	entries []zipEntry // in the order of the local entries
	heads   map[string][]byte
}

func (z *zipContainer) head() map[string][]byte { return z.heads }

func (z *zipContainer) files() []entry {
	var files []entry
	for _, e := range z.entries {
		if !e.dir {
			files = append(files, e.entry)
		}
	}
	return files
}

func scanZip(r io.ReaderAt, size, unpacked int64) (container, error) {
	dirAt, directory, count, err := zipDirectory(r, size)
	if err != nil {
		return nil, err
	}
	z := &zipContainer{heads: make(map[string][]byte)}
	names, sum := nameSet{}, total{limit: unpacked}
	for range count {
		e, rest, err := zipCentral(directory)
		if err != nil {
			return nil, err
		}
		directory = rest
		if err := names.add(e.name, e.dir); err != nil {
			return nil, err
		}
		if err := sum.file(e.entry); err != nil {
			return nil, err
		}
		z.entries = append(z.entries, e)
	}
	if len(directory) != 0 {
		return nil, refuse(Malformed, "", "its directory has more entries than it says")
	}
	slices.SortStableFunc(z.entries, func(a, b zipEntry) int { return cmp.Compare(a.local, b.local) })
	if err := z.tile(r, dirAt); err != nil {
		return nil, err
	}
	err = z.walk(r, func(e entry) bool { _, ok := headLimit(e.name); return ok },
		func(e entry, r io.Reader) error { return readHead(z.heads, e, r) })
	if err != nil {
		return nil, err
	}
	return z, nil
}

// zipDirectory finds the central directory through the end record.
func zipDirectory(r io.ReaderAt, size int64) (at int64, directory []byte, count int, err error) {
	if size < zipEndLen {
		return 0, nil, 0, refuse(Truncated, "", fmt.Sprintf("the zip archive ends after %d bytes", size))
	}
	end := make([]byte, zipEndLen)
	if err := readFull(r, end, size-zipEndLen); err != nil {
		return 0, nil, 0, err
	}
	le := binary.LittleEndian
	if le.Uint32(end) != zipEndSig || le.Uint16(end[20:]) != 0 {
		return 0, nil, 0, zipNoEnd(r, size)
	}
	if le.Uint16(end[4:]) != 0 || le.Uint16(end[6:]) != 0 {
		return 0, nil, 0, refuse(Unsupported, "", "the zip archive is split over several files")
	}
	here, all := int(le.Uint16(end[8:])), int(le.Uint16(end[10:]))
	length, offset := int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	switch {
	case all == 0xffff || length == 0xffffffff || offset == 0xffffffff:
		return 0, nil, 0, refuse(Unsupported, "", "the zip archive uses zip64")
	case here != all:
		return 0, nil, 0, refuse(Malformed, "", "the end record gives two numbers of entries")
	case all > MaxEntries:
		return 0, nil, 0, refuse(TooManyFiles, "", fmt.Sprintf("it has %d entries, more than %d", all, MaxEntries))
	case offset+length > size-zipEndLen:
		return 0, nil, 0, refuse(Truncated, "", "the directory of the zip archive is cut off, or its start is")
	case offset+length < size-zipEndLen:
		return 0, nil, 0, refuse(HiddenData, "", "there are bytes that belong to no entry before the zip archive or its end record")
	case all == 0:
		return 0, nil, 0, refuse(NoSums, "", "the zip archive is empty")
	case length > zipMaxDirectory:
		return 0, nil, 0, refuse(TooLarge, "", fmt.Sprintf("its directory has %d bytes, more than %d", length, zipMaxDirectory))
	}
	directory = make([]byte, length)
	if err := readFull(r, directory, offset); err != nil {
		return 0, nil, 0, err
	}
	return offset, directory, all, nil
}

// zipNoEnd says why there is no end record at the very end.
func zipNoEnd(r io.ReaderAt, size int64) error {
	tail := make([]byte, min(size, zipEndLen+0xffff))
	if err := readFull(r, tail, size-int64(len(tail))); err != nil {
		return err
	}
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	switch {
	case i < 0 || i+zipEndLen > len(tail):
		return refuse(Truncated, "", "the zip archive has no end: it was cut off")
	case int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail)-i-zipEndLen:
		return refuse(Unsupported, "", "the zip archive has a comment")
	}
	return refuse(HiddenData, "", "there are bytes after the end of the zip archive")
}

// zipCentral takes the first record off a central directory.
func zipCentral(b []byte) (e zipEntry, rest []byte, err error) {
	le := binary.LittleEndian
	if len(b) < zipCentralLen || le.Uint32(b) != zipCentralSig {
		return e, nil, refuse(Malformed, "", "its directory has fewer entries than it says, or is damaged")
	}
	nameLen, extraLen, commentLen := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	length := zipCentralLen + nameLen + extraLen + commentLen
	if len(b) < length {
		return e, nil, refuse(Malformed, "", "an entry of its directory is cut off")
	}
	name := string(b[zipCentralLen : zipCentralLen+nameLen])
	extra := b[zipCentralLen+nameLen : zipCentralLen+nameLen+extraLen]
	attributes := le.Uint32(b[38:])
	e = zipEntry{
		central: b[:length:length],
		flags:   le.Uint16(b[8:]), method: le.Uint16(b[10:]), crc: le.Uint32(b[16:]),
		packed: int64(le.Uint32(b[20:])), local: int64(le.Uint32(b[42:])),
	}
	e.name, e.size = name, int64(le.Uint32(b[24:]))
	if n := len(name); n > 0 && name[n-1] == '/' {
		e.dir, e.name = true, name[:n-1]
	}
	if err := checkName(e.name); err != nil {
		return e, nil, err
	}
	mode := attributes >> 16 // also of creators that are not Unix: whoever reads them, nothing odd is in there
	e.exec = mode&modeExec != 0
	if err := e.check(le.Uint16(b[6:]), le.Uint16(b[34:]), mode, attributes&0x10 != 0, commentLen); err != nil {
		return e, nil, err
	}
	if err := zipExtra(e.name, extra); err != nil {
		return e, nil, err
	}
	return e, b[length:], nil
}

func (e *zipEntry) check(need, disk uint16, mode uint32, dosDir bool, commentLen int) error {
	kind := mode & modeType
	switch {
	case e.flags&zipFlagEncrypted != 0:
		return refuse(Encrypted, e.name, "is encrypted")
	case e.flags&^zipFlagsAllowed != 0:
		return refuse(Unsupported, e.name, fmt.Sprintf("has the flags %#x", e.flags))
	case e.method != zipStored && e.method != zipDeflated:
		return refuse(Unsupported, e.name, fmt.Sprintf("is compressed by method %d; stored and deflated are accepted", e.method))
	case e.packed == 0xffffffff || e.size == 0xffffffff || e.local == 0xffffffff || need&0xff > 20:
		return refuse(Unsupported, e.name, "uses zip64 or another late feature")
	case disk != 0:
		return refuse(Unsupported, e.name, "lies in another part of a split archive")
	case commentLen != 0:
		return refuse(Unsupported, e.name, "has a comment")
	case kind != 0 && kind != modeFile && kind != modeDir,
		kind == modeDir && !e.dir, kind == modeFile && e.dir, dosDir && !e.dir:
		return refuse(SpecialFile, e.name, "is not a regular file or directory, or is both by its name and its mode")
	case e.dir && (e.size != 0 || e.packed != 0 || e.crc != 0):
		return refuse(SpecialFile, e.name, "is a directory with content")
	case e.method == zipStored && e.packed != e.size:
		return refuse(Malformed, e.name, "is stored, but has two sizes")
	case e.size > zipMaxRatio*e.packed+64:
		return refuse(Malformed, e.name, fmt.Sprintf("declares %d bytes out of %d, more than deflate can hold", e.size, e.packed))
	}
	if err := checkModeBits(e.name, mode); err != nil {
		return err
	}
	return nil
}

// zipExtra accepts the extra fields that carry times and owners. Every other
// one could give an entry another name, size or key.
func zipExtra(name string, extra []byte) error {
	for len(extra) > 0 {
		if len(extra) < 4 {
			return refuse(Malformed, name, "has an extra field that is cut off")
		}
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if len(extra)-4 < n {
			return refuse(Malformed, name, "has an extra field that is cut off")
		}
		switch id {
		case 0x5455, 0x7875, 0x000a: // Unix times, Unix owner, NTFS times
		default:
			return refuse(Unsupported, name, fmt.Sprintf("has the extra field %#04x", id))
		}
		extra = extra[4+n:]
	}
	return nil
}
