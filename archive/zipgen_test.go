package archive_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
)

// A zipFile is an entry of a zip archive, with every field of both its headers
// open to lies. genZip fills in honest values for what is not set.
type zipFile struct {
	name    string
	content string
	deflate bool

	localName     string // "" is name
	data          []byte // as stored; made from content if nil
	method        *uint16
	localMethod   *uint16
	flags         uint16
	localFlags    *uint16
	crc, localCRC *uint32
	size          *uint32 // uncompressed
	localSize     *uint32
	packed        *uint32
	localPacked   *uint32
	need          uint16
	attributes    *uint32 // external
	madeBy        uint16
	disk          uint16
	extra         []byte // of the central record
	localExtra    []byte
	comment       string
	descriptor    []byte  // behind the data; honest if nil and the flag is set
	offset        *uint32 // of the local header, as the directory says
	before        []byte  // bytes in front of the local header
	noLocal       bool    // list only
	noCentral     bool    // do not list
}

// A zipEnd is what genZip puts behind the entries.
type zipEnd struct {
	gap         []byte // before the directory
	afterDir    []byte // between directory and end record
	comment     string
	commentLen  *uint16
	trailer     []byte
	prefix      []byte // in front of all, offsets not adjusted
	count       *uint16
	disk        uint16
	dirOffset   *uint32
	dirSize     *uint32
	countOnDisk *uint16
}

func ptr[T any](v T) *T { return &v }

func or[T any](p *T, v T) T {
	if p != nil {
		return *p
	}
	return v
}

func deflated(content string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	w.Write([]byte(content))
	w.Close()
	return b.Bytes()
}

func genZip(files []zipFile, end zipEnd) []byte {
	le := binary.LittleEndian
	out := bytes.NewBuffer(nil)
	var dir []byte
	n := 0
	for _, f := range files {
		data, method := []byte(f.content), uint16(0)
		if f.deflate {
			data, method = deflated(f.content), 8
		}
		if f.data != nil {
			data = f.data
		}
		m := or(f.method, method)
		crc, size, packed := or(f.crc, crc32.ChecksumIEEE([]byte(f.content))), or(f.size, uint32(len(f.content))), or(f.packed, uint32(len(data)))
		need := f.need
		if need == 0 {
			need = 20
		}
		out.Write(f.before)
		at := uint32(out.Len())
		if !f.noLocal {
			lcrc, lsize, lpacked := crc, size, packed
			if f.flags&8 != 0 {
				lcrc, lsize, lpacked = 0, 0, 0
			}
			name := f.localName
			if name == "" {
				name = f.name
			}
			h := le.AppendUint32(nil, 0x04034b50)
			h = le.AppendUint16(h, need)
			h = le.AppendUint16(h, or(f.localFlags, f.flags))
			h = le.AppendUint16(h, or(f.localMethod, m))
			h = le.AppendUint32(h, 33<<16)
			h = le.AppendUint32(h, or(f.localCRC, lcrc))
			h = le.AppendUint32(h, or(f.localPacked, lpacked))
			h = le.AppendUint32(h, or(f.localSize, lsize))
			h = le.AppendUint16(h, uint16(len(name)))
			h = le.AppendUint16(h, uint16(len(f.localExtra)))
			out.Write(append(append(h, name...), f.localExtra...))
			out.Write(data)
			if f.descriptor != nil {
				out.Write(f.descriptor)
			} else if f.flags&8 != 0 {
				out.Write(descriptor(crc, packed, size))
			}
		}
		if f.noCentral {
			continue
		}
		n++
		attributes := uint32(0o100644 << 16)
		if len(f.name) > 0 && f.name[len(f.name)-1] == '/' {
			attributes = 0o040755<<16 | 0x10
		}
		madeBy := f.madeBy
		if madeBy == 0 {
			madeBy = 3<<8 | 20
		}
		h := le.AppendUint32(nil, 0x02014b50)
		h = le.AppendUint16(h, madeBy)
		h = le.AppendUint16(h, need)
		h = le.AppendUint16(h, f.flags)
		h = le.AppendUint16(h, m)
		h = le.AppendUint32(h, 33<<16)
		h = le.AppendUint32(h, crc)
		h = le.AppendUint32(h, packed)
		h = le.AppendUint32(h, size)
		h = le.AppendUint16(h, uint16(len(f.name)))
		h = le.AppendUint16(h, uint16(len(f.extra)))
		h = le.AppendUint16(h, uint16(len(f.comment)))
		h = le.AppendUint16(h, f.disk)
		h = le.AppendUint16(h, 0)
		h = le.AppendUint32(h, or(f.attributes, attributes))
		h = le.AppendUint32(h, or(f.offset, at))
		dir = append(append(append(append(dir, h...), f.name...), f.extra...), f.comment...)
	}
	out.Write(end.gap)
	dirAt := uint32(out.Len())
	out.Write(dir)
	out.Write(end.afterDir)
	count := or(end.count, uint16(n))
	h := le.AppendUint32(nil, 0x06054b50)
	h = le.AppendUint16(h, end.disk)
	h = le.AppendUint16(h, end.disk)
	h = le.AppendUint16(h, or(end.countOnDisk, count))
	h = le.AppendUint16(h, count)
	h = le.AppendUint32(h, or(end.dirSize, uint32(len(dir))))
	h = le.AppendUint32(h, or(end.dirOffset, dirAt))
	h = le.AppendUint16(h, or(end.commentLen, uint16(len(end.comment))))
	out.Write(append(h, end.comment...))
	out.Write(end.trailer)
	return append(bytes.Clone(end.prefix), out.Bytes()...)
}

func descriptor(crc, packed, size uint32) []byte {
	le := binary.LittleEndian
	d := le.AppendUint32(nil, 0x08074b50)
	d = le.AppendUint32(d, crc)
	d = le.AppendUint32(d, packed)
	return le.AppendUint32(d, size)
}

func extraField(id uint16, b string) []byte {
	h := binary.LittleEndian.AppendUint16(nil, id)
	return append(binary.LittleEndian.AppendUint16(h, uint16(len(b))), b...)
}
