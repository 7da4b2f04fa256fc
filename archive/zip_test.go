package archive_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

// server is the program that the generated archives hold.
var server = archivetestProgram()

// releaseZip makes an unsigned archive that differs from a good one by files:
// those of a listed name take the place of the honest entry, further ones come
// behind.
func releaseZip(files []zipFile, end zipEnd) []byte {
	good := []zipFile{
		{name: "sha256sums", content: sumsOf(map[string]string{"bin/linux/amd64/server": server})},
		{name: "bin/linux/amd64/server", content: server, attributes: ptr(uint32(0o100755 << 16))},
	}
	var all []zipFile
	for _, g := range good {
		for _, f := range files {
			if f.name == g.name {
				g, f.name = f, ""
			}
		}
		all = append(all, g)
	}
	for _, f := range files {
		if f.name != good[0].name && f.name != good[1].name {
			all = append(all, f)
		}
	}
	return genZip(all, end)
}

const program = "bin/linux/amd64/server"

// withFile has one further file, which sha256sums lists if it can.
func withFile(f zipFile) []byte {
	return releaseZip([]zipFile{{name: "sha256sums", content: sumsOf(map[string]string{program: server, f.name: f.content})}, f}, zipEnd{})
}

func TestZipCases(t *testing.T) {
	mode := func(m uint32) *uint32 { return ptr(m << 16) }
	prog := func(f zipFile) []byte {
		f.name, f.content = program, server
		return releaseZip([]zipFile{f}, zipEnd{})
	}
	two := func(a, b zipFile) []byte { return releaseZip([]zipFile{a, b}, zipEnd{}) }
	ending := func(e zipEnd) []byte { return releaseZip(nil, e) }
	crc := crc32.ChecksumIEEE([]byte(server))
	size := uint32(len(server))
	good := ending(zipEnd{})
	many := func(n int) []zipFile {
		var files []zipFile
		for i := range n {
			files = append(files, zipFile{name: fmt.Sprintf("f/%d", i)})
		}
		return files
	}
	for _, c := range []struct {
		name   string // number of the class and what it is
		b      []byte
		reason string // "" is accepted
	}{
		{"00 good", good, ""},
		{"01 parent", withFile(zipFile{name: "../x"}), archive.BadName},
		{"02 absolute", withFile(zipFile{name: "/etc/x"}), archive.BadName},
		{"03 drive", withFile(zipFile{name: `C:\x`}), archive.BadName},
		{"04 backslash", withFile(zipFile{name: `a\..\..\x`}), archive.BadName},
		{"05 dots alone", withFile(zipFile{name: ".."}), archive.BadName},
		{"06 empty name", withFile(zipFile{name: ""}), archive.BadName},
		{"06 slash alone", withFile(zipFile{name: "/"}), archive.BadName},
		{"07 NUL in name", withFile(zipFile{name: "a\x00b"}), archive.BadName},
		{"08 newline in name", withFile(zipFile{name: "a\nb"}), archive.BadName},
		{"09 not UTF-8", withFile(zipFile{name: "a\xff"}), archive.BadName},
		{"10 trailing dot", withFile(zipFile{name: "a./b"}), archive.BadName},
		{"10 trailing space", withFile(zipFile{name: "a /b"}), archive.BadName},
		{"11 device", withFile(zipFile{name: "NUL.txt"}), archive.BadName},
		{"11 device below", withFile(zipFile{name: "a/com1"}), archive.BadName},
		{"12 stream", withFile(zipFile{name: "x:stream"}), archive.BadName},
		{"13 parent inside", withFile(zipFile{name: "a/../b"}), archive.BadName},
		{"14 dot slash", withFile(zipFile{name: "./x"}), archive.BadName},
		{"15 empty component", withFile(zipFile{name: "a//b"}), archive.BadName},
		{"16 right to left", withFile(zipFile{name: "a\u202eb"}), archive.BadName},
		{"17 UNC", withFile(zipFile{name: `\\srv\share\x`}), archive.BadName},
		{"18 long name", releaseZip([]zipFile{{name: strings.Repeat("a", 65000)}}, zipEnd{}), archive.BadName},
		{"18 name of 241", withFile(zipFile{name: strings.Repeat("a", 241)}), archive.BadName},
		{"19 deep", withFile(zipFile{name: strings.Repeat("a/", 8) + "a"}), archive.BadName},
		{"20 duplicate", two(zipFile{name: "a", content: "1"}, zipFile{name: "a", content: "2"}), archive.DuplicateName},
		{"21 case twin", withFile(zipFile{name: "SHA256SUMS"}), archive.DuplicateName},
		{"22 NFC twin", withFile(zipFile{name: "\u00e9"}), archive.BadName},
		{"23 file and directory", two(zipFile{name: "a"}, zipFile{name: "a/b"}), archive.DuplicateName},
		{"23 directory and file", two(zipFile{name: "a/b"}, zipFile{name: "A"}), archive.DuplicateName},
		{"24 a/ and a", two(zipFile{name: "a/"}, zipFile{name: "a"}), archive.DuplicateName},
		{"25 symlink", withFile(zipFile{name: "l", content: "/etc", attributes: mode(0o120777)}), archive.SpecialFile},
		{"27 fifo", withFile(zipFile{name: "l", attributes: mode(0o010644)}), archive.SpecialFile},
		{"27 device", withFile(zipFile{name: "l", attributes: mode(0o020644)}), archive.SpecialFile},
		{"27 socket", withFile(zipFile{name: "l", attributes: mode(0o140644)}), archive.SpecialFile},
		{"28 setuid", prog(zipFile{attributes: mode(0o104755)}), archive.SetuidRefused},
		{"28 setgid", prog(zipFile{attributes: mode(0o102755)}), archive.SetuidRefused},
		{"28 sticky", prog(zipFile{attributes: mode(0o101755)}), archive.SetuidRefused},
		{"28 setuid without type, from DOS", prog(zipFile{attributes: mode(0o4755), madeBy: 20}), archive.SetuidRefused},
		{"29 directory with data", withFile(zipFile{name: "d/", content: "x"}), archive.SpecialFile},
		{"30 directory mode", withFile(zipFile{name: "d", attributes: mode(0o040755)}), archive.SpecialFile},
		{"30 DOS directory", withFile(zipFile{name: "d", attributes: ptr(uint32(0x10))}), archive.SpecialFile},
		{"31 local name", prog(zipFile{localName: "bin/linux/amd64/sErver"}), archive.Malformed},
		{"32 local method", prog(zipFile{localMethod: ptr(uint16(8))}), archive.Malformed},
		{"32 local flags", prog(zipFile{localFlags: ptr(uint16(2))}), archive.Malformed},
		{"33 local size", prog(zipFile{localSize: ptr(size + 1)}), archive.Malformed},
		{"34 local CRC", prog(zipFile{localCRC: ptr(crc + 1)}), archive.Malformed},
		{"35 wrong CRC", prog(zipFile{crc: ptr(crc + 1)}), archive.Corrupt},
		{"36 no CRC", prog(zipFile{crc: ptr(uint32(0))}), archive.Corrupt},
		{"37 size too small", prog(zipFile{deflate: true, size: ptr(size - 1)}), archive.Corrupt},
		{"38 size too large", prog(zipFile{deflate: true, size: ptr(size + 1)}), archive.Corrupt},
		{"39 stored with two sizes", prog(zipFile{size: ptr(size - 1)}), archive.Malformed},
		{"40 encrypted", prog(zipFile{flags: 1}), archive.Encrypted},
		{"41 bzip2", prog(zipFile{method: ptr(uint16(12))}), archive.Unsupported},
		{"41 zstd", prog(zipFile{method: ptr(uint16(93))}), archive.Unsupported},
		{"41 AES", prog(zipFile{method: ptr(uint16(99))}), archive.Unsupported},
		{"41 patch flag", prog(zipFile{flags: 0x20}), archive.Unsupported},
		{"42 disk of entry", prog(zipFile{disk: 7}), archive.Unsupported},
		{"42 disk of end", ending(zipEnd{disk: 1}), archive.Unsupported},
		{"43 Unicode path", prog(zipFile{extra: extraField(0x7075, "\x01abcdx")}), archive.Unsupported},
		{"43 local Unicode path", prog(zipFile{localExtra: extraField(0x7075, "\x01abcdx")}), archive.Unsupported},
		{"43 times and owner", prog(zipFile{extra: extraField(0x5455, "\x01abcd"), localExtra: extraField(0x7875, "\x01")}), ""},
		{"44 entry comment", prog(zipFile{comment: "\x1b[2J"}), archive.Unsupported},
		{"44 archive comment", ending(zipEnd{comment: "\x1b[2J"}), archive.Unsupported},
		{"45 extra cut off", prog(zipFile{extra: extraField(0x5455, "abcd")[:6]}), archive.Malformed},
		{"45 extra of three bytes", prog(zipFile{extra: []byte{0x55, 0x54, 0}}), archive.Malformed},
		{"46 corrupt deflate", prog(zipFile{method: ptr(uint16(8)), data: []byte("\xff\xff\xff\xff\xff\xff")}), archive.Corrupt},
		{"47 bytes behind deflate", prog(zipFile{method: ptr(uint16(8)), data: append(deflated(server), "hidden"...)}), archive.Corrupt},
		{"48 offset beyond end", prog(zipFile{offset: ptr(uint32(1 << 20))}), archive.HiddenData},
		{"49 offset into data", prog(zipFile{offset: ptr(uint32(3))}), archive.Overlap},
		{"50 zip64 marks", prog(zipFile{offset: ptr(uint32(0xffffffff))}), archive.Unsupported},
		{"51 packed past end", prog(zipFile{deflate: true, packed: ptr(uint32(1 << 20))}), archive.Overlap},
		{"52 zip64 extra", prog(zipFile{extra: extraField(1, "abc")}), archive.Unsupported},
		{"53 zip64 size", prog(zipFile{size: ptr(uint32(0xffffffff)), extra: extraField(1, "\x00\x00\x00\x00\x00\x00\x00\x40")}), archive.Unsupported},
		{"53 version 45", prog(zipFile{need: 45}), archive.Unsupported},
		{"54 descriptor", prog(zipFile{flags: 8}), ""},
		{"54 descriptor, deflated", prog(zipFile{flags: 8, deflate: true}), ""},
		{"55 descriptor CRC", prog(zipFile{flags: 8, descriptor: descriptor(crc+1, size, size)}), archive.Malformed},
		{"56 no descriptor", prog(zipFile{flags: 8, descriptor: []byte{}}), archive.Overlap},
		{"56 no descriptor, more behind", two(zipFile{name: program, content: server, flags: 8, descriptor: []byte{}}, zipFile{name: "z", content: strings.Repeat("z", 99)}), archive.Malformed},
		{"57 descriptor size", prog(zipFile{flags: 8, descriptor: descriptor(crc, size, size+1)}), archive.Malformed},
		{"58 full overlap", two(zipFile{name: "a"}, zipFile{name: "b", noLocal: true, offset: ptr(uint32(0))}), archive.Overlap},
		{"59 listed twice", releaseZip([]zipFile{{name: "a"}, {name: "a", noLocal: true}}, zipEnd{}), archive.DuplicateName},
		{"60 overlap kernel", overlapKernel(), archive.Overlap},
		{"61 quoted overlap", quotedOverlap(20, 64<<10), archive.Overlap},
		{"62 bomb", withFile(zipFile{name: "z", content: strings.Repeat("\x00", 3<<20), deflate: true}), archive.TooLarge},
		{"62 impossible ratio", withFile(zipFile{name: "z", deflate: true, size: ptr(uint32(1 << 20)), content: "z"}), archive.Malformed},
		{"63 hidden entry", releaseZip([]zipFile{{name: "h", noCentral: true, content: "x"}, {name: "z"}}, zipEnd{}), archive.HiddenData},
		{"63 hidden entry last", releaseZip([]zipFile{{name: "h", noCentral: true, content: "x"}}, zipEnd{}), archive.HiddenData},
		{"64 gap", ending(zipEnd{gap: []byte("junk")}), archive.HiddenData},
		{"64 gap behind the directory", ending(zipEnd{afterDir: []byte("junk")}), archive.HiddenData},
		{"65 shell prefix", ending(zipEnd{prefix: []byte("#!/bin/sh\n")}), archive.NotAnArchive},
		{"65 prefix of an entry", ending(zipEnd{prefix: good[:60]}), archive.HiddenData},
		{"66 trailing junk", ending(zipEnd{trailer: []byte("junk")}), archive.HiddenData},
		{"67 two archives", ending(zipEnd{prefix: good}), archive.HiddenData},
		{"68 archive in comment", ending(zipEnd{comment: string(good)}), archive.HiddenData},
		{"69 count lower", ending(zipEnd{count: ptr(uint16(1))}), archive.Malformed},
		{"69 count higher", ending(zipEnd{count: ptr(uint16(3))}), archive.Malformed},
		{"69 two counts", ending(zipEnd{countOnDisk: ptr(uint16(1))}), archive.Malformed},
		{"70 65537 entries, said to be one", genZip(many(65537), zipEnd{count: ptr(uint16(1))}), archive.TooLarge},
		{"71 257 entries", releaseZip(many(255), zipEnd{}), archive.TooManyFiles},
		{"71 256 entries", releaseZip(many(254), zipEnd{}), archive.FileNotListed},
		{"72 comment length", ending(zipEnd{commentLen: ptr(uint16(9))}), archive.HiddenData},
		{"73 directory offset", ending(zipEnd{dirOffset: ptr(uint32(1 << 30))}), archive.Truncated},
		{"73 directory size", ending(zipEnd{dirSize: ptr(uint32(10))}), archive.HiddenData},
		{"74 empty file", nil, archive.NotAnArchive},
		{"74 empty archive", genZip(nil, zipEnd{}), archive.NoSums},
		{"74 truncated tail", good[:len(good)-5], archive.Truncated},
		{"74 head cut off", good[5:], archive.NotAnArchive},
		{"76 nested archive", withFile(zipFile{name: "inner.zip", content: string(good)}), ""},
		{"77 no sha256sums", genZip([]zipFile{{name: program, content: server}}, zipEnd{}), archive.NoSums},
		{"77 sha256sums below", genZip([]zipFile{{name: "x/sha256sums"}, {name: program, content: server}}, zipEnd{}), archive.NoSums},
		{"78 not listed", releaseZip([]zipFile{{name: "x"}}, zipEnd{}), archive.FileNotListed},
		{"78 not there", releaseZip([]zipFile{{name: "sha256sums", content: sumsOf(map[string]string{program: server, "x": ""})}}, zipEnd{}), archive.FileMissing},
		{"78 other content", releaseZip([]zipFile{{name: "sha256sums", content: sumsOf(map[string]string{program: "other"})}}, zipEnd{}), archive.DigestMismatch},
		{"79 sums too large", releaseZip([]zipFile{{name: "sha256sums", content: strings.Repeat("a", 64<<10+1)}}, zipEnd{}), archive.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			left, err := checkBytes(t, c.b, archive.Policy{MaxUnpacked: 2 << 20})
			wantReason(t, err, c.reason)
			if c.reason != "" && left != 1 {
				t.Errorf("%d blobs are in the store after the refusal, want the archive alone", left)
			}
		})
	}
}

// overlapKernel has fifty directory entries that share one compressed stream.
func overlapKernel() []byte {
	kernel := zipFile{name: "k", content: strings.Repeat("\x00", 10<<10), deflate: true}
	files := []zipFile{kernel}
	for i := range 50 {
		f := kernel
		f.name, f.noLocal, f.offset = fmt.Sprintf("k%d", i), true, ptr(uint32(0))
		files = append(files, f)
	}
	return genZip(files, zipEnd{})
}

// quotedOverlap builds entries whose data is a stored block quoting the next
// entry's header, and then the next one's data, down to one kernel; the headers
// of each agree with each other (Fifield, A better zip bomb, WOOT 2019).
func quotedOverlap(n int, kernel int) []byte {
	le := binary.LittleEndian
	type layer struct{ local, data []byte }
	content := bytes.Repeat([]byte{0}, kernel)
	data := deflated(string(content))
	var files []zipFile
	var body []byte // from the header of the last made layer to the end of the data
	var offsets []int
	for i := n - 1; i >= 0; i-- {
		if i < n-1 { // quote what is there so far up to its data
			head := body[:30+len(files[0].name)]
			content = append(bytes.Clone(head), content...)
			block := []byte{0}
			block = le.AppendUint16(block, uint16(len(head)))
			block = le.AppendUint16(block, ^uint16(len(head)))
			data = append(append(block, head...), data...)
		}
		f := zipFile{name: fmt.Sprintf("%02d", i), method: ptr(uint16(8)), data: data, content: string(content)}
		one := genZip([]zipFile{f}, zipEnd{})
		body = one[:30+len(f.name)+len(data)]
		files = append([]zipFile{f}, files...)
	}
	total := len(body)
	for _, f := range files {
		offsets = append(offsets, total-30-len(f.name)-len(f.data))
	}
	for i := range files {
		if i > 0 {
			files[i].noLocal = true
		}
		files[i].offset = ptr(uint32(offsets[i]))
	}
	return genZip(files, zipEnd{})
}
