package archive_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

// FuzzScan looks for archives that crash the reader, and for zip archives that
// it accepts and archive/zip reads differently.
func FuzzScan(f *testing.F) {
	good := releaseZip([]zipFile{{name: program, content: server, deflate: true, flags: 8}}, zipEnd{})
	f.Add(good)
	f.Add(releaseZip(nil, zipEnd{}))
	f.Add(overlapKernel())
	f.Add(quotedOverlap(4, 1000))
	f.Add(gz(releaseTar(f)))
	f.Add(releaseTar(f))
	f.Add(good[:len(good)/2])
	f.Add([]byte("<html>"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		// The bare tar is fuzzed too: mutations rarely survive a compression.
		for _, b := range [][]byte{b, gz(b)} {
			fuzzOne(t, b)
		}
	})
}

func fuzzOne(t *testing.T, b []byte) {
	h, err := archive.ReadHead(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		var e *archive.Error
		if !errors.As(err, &e) {
			t.Errorf("not a refusal: %v", err)
		}
		return
	}
	for _, c := range err2string(archive.Policy{}.CheckHead(h)) {
		if c < ' ' || c > '~' && c < 0xa0 {
			t.Errorf("the message has the control character %q", c)
		}
	}
	_, err = checkBytes(t, b, archive.Policy{MaxUnpacked: 1 << 20})
	if err != nil || !bytes.HasPrefix(b, []byte("PK")) {
		return
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("accepted, but archive/zip says %v", err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatalf("accepted, but archive/zip says %v", err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("accepted, but archive/zip says %v of %q", err, f.Name)
		}
		if size, ok := h.Sizes[f.Name]; ok && size != int64(len(content)) {
			t.Errorf("%q has %d bytes for archive/zip, and %d here", f.Name, len(content), size)
		}
	}
}

func err2string(_ archive.Release, err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
