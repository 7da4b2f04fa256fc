package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

// genTar writes headers and contents as archive/tar does.
func genTar(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.content))
		if e.Typeflag == 0 {
			e.Typeflag = tar.TypeReg
		}
		if e.Mode == 0 && e.Typeflag != tar.TypeXGlobalHeader {
			e.Mode = 0o755
		}
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type tarEntry struct {
	tar.Header
	content string
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// releaseTar is a good release with further entries that are listed if regular.
func releaseTar(t testing.TB, more ...tarEntry) []byte {
	files := map[string]string{program: server}
	for _, e := range more {
		if e.Typeflag == 0 {
			files[strings.TrimPrefix(e.Name, "./")] = e.content
		}
	}
	all := []tarEntry{
		{tar.Header{Name: "sha256sums"}, sumsOf(files)},
		{tar.Header{Name: program}, server},
	}
	return genTar(t, append(all, more...)...)
}

// patched changes one header block, the one of name, and mends its checksum.
func patched(b []byte, name string, change func(h []byte)) []byte {
	b = bytes.Clone(b)
	for at := 0; at+512 <= len(b); at += 512 {
		h := b[at : at+512]
		if !bytes.HasPrefix(h, append([]byte(name), 0)) {
			continue
		}
		change(h)
		sum := 8 * int(' ')
		for i, c := range h {
			if i < 148 || i >= 156 {
				sum += int(c)
			}
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}
	panic("no header " + name)
}

func TestTarCases(t *testing.T) {
	good := releaseTar(t)
	file := func(h tar.Header) []byte { return gz(releaseTar(t, tarEntry{Header: h, content: ""})) }
	named := func(name string) []byte { return file(tar.Header{Name: name}) }
	patch := func(change func(h []byte)) []byte { return gz(patched(good, program, change)) }
	long := "assets/" + strings.Repeat("l", 120) + "/" + strings.Repeat("m", 100)
	end := len(good) - 1024
	badSum := bytes.Clone(good)
	badSum[0] ^= 1
	for _, c := range []struct {
		name   string
		b      []byte
		reason string
	}{
		{"good", gz(good), ""},
		{"GNU format", gz(genTar(t,
			tarEntry{tar.Header{Name: "./", Typeflag: tar.TypeDir, Format: tar.FormatGNU}, ""},
			tarEntry{tar.Header{Name: "./sha256sums", Format: tar.FormatGNU}, sumsOf(map[string]string{program: server, long: "x"})},
			tarEntry{tar.Header{Name: "./" + long, Format: tar.FormatGNU}, "x"},
			tarEntry{tar.Header{Name: "./" + program, Format: tar.FormatGNU}, server})), ""},
		{"pax path", gz(releaseTar(t, tarEntry{tar.Header{Name: long, Format: tar.FormatPAX}, "x"})), ""},
		{"directories", gz(releaseTar(t, tarEntry{tar.Header{Name: "assets/", Typeflag: tar.TypeDir}, ""})), ""},
		{"record padding", gz(append(bytes.Clone(good), make([]byte, 9216)...)), ""},
		{"parent", named("../x"), archive.BadName},
		{"dot slash twice", named("././x"), archive.BadName},
		{"absolute", named("/x"), archive.BadName},
		{"newline", named("a\nb"), archive.BadName},
		{"duplicate", gz(releaseTar(t, tarEntry{Header: tar.Header{Name: "a"}}, tarEntry{Header: tar.Header{Name: "./a"}})), archive.DuplicateName},
		{"case twin", named("SHA256SUMS"), archive.DuplicateName},
		{"file and directory", gz(releaseTar(t, tarEntry{Header: tar.Header{Name: "a"}}, tarEntry{Header: tar.Header{Name: "a/b"}})), archive.DuplicateName},
		{"symlink", file(tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}), archive.SpecialFile},
		{"hard link", file(tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: program}), archive.SpecialFile},
		{"device", file(tar.Header{Name: "l", Typeflag: tar.TypeChar}), archive.SpecialFile},
		{"fifo", file(tar.Header{Name: "l", Typeflag: tar.TypeFifo}), archive.SpecialFile},
		{"contiguous", file(tar.Header{Name: "l", Typeflag: tar.TypeCont}), archive.SpecialFile},
		{"sparse", file(tar.Header{Name: "l", Typeflag: tar.TypeGNUSparse}), archive.Unsupported},
		{"volume", patch(func(h []byte) { h[156] = 'V' }), archive.Unsupported},
		{"global header", gz(releaseTar(t, tarEntry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}})), archive.Unsupported},
		{"attributes", file(tar.Header{Name: "a", PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}, Format: tar.FormatPAX}), archive.Unsupported},
		{"setuid", file(tar.Header{Name: "a", Mode: 0o4755}), archive.SetuidRefused},
		{"sticky directory", file(tar.Header{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o1755}), archive.SetuidRefused},
		{"link target of a file", patch(func(h []byte) { h[157] = 'x' }), archive.Malformed},
		{"old format", patch(func(h []byte) { clear(h[257:265]) }), archive.NotAnArchive},
		{"number not octal", patch(func(h []byte) { h[124] = '9' }), archive.Malformed},
		{"size in base 256", patch(func(h []byte) { clear(h[124:136]); h[124], h[135] = 0x80, 9 }), archive.Malformed},
		{"data behind a name", patch(func(h []byte) { h[99] = 'x' }), archive.HiddenData},
		{"size too large", patch(func(h []byte) { copy(h[124:136], "00077777777\x00") }), archive.TooLarge},
		{"size beyond the end", patch(func(h []byte) { copy(h[124:136], "00000100000\x00") }), archive.Truncated},
		{"checksum", gz(badSum), archive.Corrupt},
		{"data in the padding", gz(append(append(bytes.Clone(good[:end-1]), 'x'), good[end:]...)), archive.HiddenData},
		{"no end", gz(good[:end]), archive.Truncated},
		{"half an end", gz(good[:end+512]), archive.Truncated},
		{"one zero block inside", gz(append(append(bytes.Clone(good[:end]), make([]byte, 512)...), good...)), archive.Malformed},
		{"data behind the end", gz(append(bytes.Clone(good), 'x')), archive.HiddenData},
		{"archive behind the end", gz(append(bytes.Clone(good), good...)), archive.HiddenData},
		{"endless padding", gz(append(bytes.Clone(good), make([]byte, 2<<20)...)), archive.HiddenData},
		{"second gzip member", append(gz(good), gz(nil)...), archive.HiddenData},
		{"junk behind gzip", append(gz(good), 0), archive.HiddenData},
		{"gzip cut off", gz(good)[:len(gz(good))-9], archive.Truncated},
		{"gzip checksum", flip(gz(good), -5), archive.Corrupt},
		{"gzip header alone", gz(good)[:5], archive.Truncated},
		{"gzip of text", gz([]byte(strings.Repeat("hello ", 200))), archive.NotAnArchive},
		{"gzip of nothing", gz(nil), archive.Truncated},
		{"empty tar", gz(genTar(t)), archive.NoSums},
		{"bomb", gz(releaseTar(t, tarEntry{tar.Header{Name: "z"}, strings.Repeat("\x00", 3<<20)})), archive.TooLarge},
		{"257 entries", gz(releaseTar(t, manyTar(255)...)), archive.TooManyFiles},
		{"not listed", gz(genTar(t, tarEntry{tar.Header{Name: "sha256sums"}, sumsOf(map[string]string{program: server})},
			tarEntry{tar.Header{Name: program}, server}, tarEntry{tar.Header{Name: "x"}, "x"})), archive.FileNotListed},
		{"other content", gz(genTar(t, tarEntry{tar.Header{Name: "sha256sums"}, sumsOf(map[string]string{program: "other"})},
			tarEntry{tar.Header{Name: program}, server})), archive.DigestMismatch},
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

func flip(b []byte, at int) []byte {
	b[len(b)+at] ^= 1
	return b
}

func manyTar(n int) (entries []tarEntry) {
	for i := range n {
		entries = append(entries, tarEntry{Header: tar.Header{Name: fmt.Sprintf("f/%d", i)}})
	}
	return entries
}

// Whoever sends the wrong file is told what it is.
func TestNotAnArchive(t *testing.T) {
	for start, says := range map[string]string{
		"\n<!DOCTYPE html><html>": "HTML",
		"<html><body>502":         "HTML",
		`{"error":"no"}`:          "JSON",
		"<?xml version":           "XML",
		"\x7fELF\x02\x01":         "ELF",
		"MZ\x90":                  "Windows",
		"\xcf\xfa\xed\xfe":        "Mach-O",
		"#!/bin/sh\n":             "script",
		"BZh91AY":                 "bzip2",
		"\xfd7zXZ\x00":            "xz",
		"\x28\xb5\x2f\xfd":        "zstandard",
		"--b\r\nContent-Disposition: form-data; name=f": "multipart",
		"hello, world": "text",
		"\x01\x02\x03": "unknown",
		"\x00\x00":     "zero",
		"":             "empty",
		string(releaseTar(t, tarEntry{Header: tar.Header{Name: "x"}})): "tar archive that is not compressed",
	} {
		_, err := archive.ReadHead(strings.NewReader(start), int64(len(start)))
		wantReason(t, err, archive.NotAnArchive)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20q: want a word of %q, have %v", start, says, err)
		}
	}
}

// An upload that was cut off anywhere is refused, and nothing of it is left.
func TestTruncated(t *testing.T) {
	for name, whole := range map[string][]byte{
		"zip": releaseZip([]zipFile{{name: program, content: server, deflate: true, flags: 8}}, zipEnd{}),
		"tar": gz(releaseTar(t)),
	} {
		for i := range 64 {
			b := whole[:len(whole)*i/64]
			left, err := checkBytes(t, b, archive.Policy{})
			var e *archive.Error
			if !errors.As(err, &e) || i > 0 && e.Reason != archive.Truncated {
				t.Errorf("%s, %d of %d bytes: %v", name, len(b), len(whole), err)
			}
			if left != 1 {
				t.Errorf("%s, %d of %d bytes: %d blobs", name, len(b), len(whole), left)
			}
		}
	}
}
