package archivetest

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

// A Spec describes a release to make. The zero Spec is a small signed one of
// the product "server" for the platform of the test.
type Spec struct {
	Product   string             // "server" if ""
	Version   string             // "1.0.0" if ""
	Counter   uint64             // 1 if 0
	Expires   time.Time          // never if zero
	Program   string             // base name; "server" if ""
	Platforms []archive.Platform // the one of the test if empty
	Files     map[string][]byte  // by name: further files, or other content
	Format    archive.Format     // archive.Zip if ""
	Stored    bool
	Unsigned  bool
	Key       archive.PrivateKey // a new one if zero
	Store     archive.Store      // a new Memory if nil
}

// A Packed release was packed, signed, put into a Store and checked.
type Packed struct {
	archive.Verified
	Bytes  []byte         // the archive
	Digest archive.Digest // of Bytes
	Store  archive.Store  // holds the archive and what was unpacked from it
	Policy archive.Policy // that accepts it
	Key    archive.PrivateKey
}

// Release makes the release that spec describes, or ends the test.
func Release(t testing.TB, spec Spec) Packed {
	t.Helper()
	p := Pack(t, spec)
	if _, err := p.Store.Put(t.Context(), p.Digest, bytes.NewReader(p.Bytes)); err != nil {
		t.Fatal(err)
	}
	v, err := archive.Check(t.Context(), p.Store, p.Digest, p.Policy)
	if err != nil {
		t.Fatal(err)
	}
	p.Verified = v
	return p
}

// Pack makes the archive that spec describes, and leaves putting it into the
// Store and checking it to the caller.
func Pack(t testing.TB, spec Spec) Packed {
	t.Helper()
	spec = spec.complete(t)
	var b bytes.Buffer
	config := archive.PackConfig{
		Manifest: archive.Manifest{Product: spec.Product, Version: spec.Version, Counter: spec.Counter, Expires: spec.Expires},
		Format:   spec.Format, Stored: spec.Stored,
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Files)) {
		content := spec.Files[name]
		config.Files = append(config.Files, archive.PackFile{Name: name, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		}})
	}
	if _, err := archive.Pack(&b, config); err != nil {
		t.Fatal(err)
	}
	packed := Packed{Store: spec.Store, Key: spec.Key, Policy: archive.Policy{
		Product: spec.Product, Program: spec.Program, Platforms: spec.Platforms, AllowUnsigned: spec.Unsigned,
	}}
	if !spec.Unsigned {
		packed.Policy.Keys = []archive.PublicKey{spec.Key.Public()}
		var signed bytes.Buffer
		if err := archive.Sign(&signed, bytes.NewReader(b.Bytes()), int64(b.Len()), spec.Key, ""); err != nil {
			t.Fatal(err)
		}
		b = signed
	}
	packed.Bytes, packed.Digest = b.Bytes(), archive.DigestOf(b.Bytes())
	return packed
}

func (s Spec) complete(t testing.TB) Spec {
	t.Helper()
	if s.Product == "" {
		s.Product = "server"
	}
	if s.Version == "" {
		s.Version = "1.0.0"
	}
	if s.Counter == 0 {
		s.Counter = 1
	}
	if s.Program == "" {
		s.Program = "server"
	}
	if len(s.Platforms) == 0 {
		s.Platforms = []archive.Platform{{OS: runtime.GOOS, Arch: runtime.GOARCH}}
	}
	if s.Store == nil {
		s.Store = &Memory{}
	}
	if s.Key.IsZero() && !s.Unsigned {
		key, err := archive.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		s.Key = key
	}
	files := make(map[string][]byte)
	for _, p := range s.Platforms {
		files["bin/"+p.String()+"/"+s.Program] = Program(p, s.Product+" "+s.Version)
	}
	maps.Copy(files, s.Files)
	s.Files = files
	return s
}

// Program returns what passes for a program of p as far as Check looks, unlike
// that of another p or text. It cannot be run.
func Program(p archive.Platform, text string) []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	b := make([]byte, 128)
	switch p.OS {
	case "darwin", "ios":
		le.PutUint32(b, 0xfeedfacf)
		le.PutUint32(b[4:], map[string]uint32{"amd64": 0x01000007, "arm64": 0x0100000c}[p.Arch])
		le.PutUint32(b[12:], 2)
	case "windows":
		copy(b, "MZ")
		b[0x3c] = 0x40
		copy(b[0x40:], "PE\x00\x00")
		le.PutUint16(b[0x44:], map[string]uint16{"386": 0x14c, "amd64": 0x8664, "arm": 0x1c4, "arm64": 0xaa64}[p.Arch])
		le.PutUint16(b[0x56:], 2)
	default:
		m := map[string]struct {
			class, data byte
			machine     uint16
		}{
			"386": {1, 1, 3}, "amd64": {2, 1, 62}, "arm": {1, 1, 40}, "arm64": {2, 1, 183}, "loong64": {2, 1, 258},
			"mips": {1, 2, 8}, "mipsle": {1, 1, 8}, "mips64": {2, 2, 8}, "mips64le": {2, 1, 8},
			"ppc64": {2, 2, 21}, "ppc64le": {2, 1, 21}, "riscv64": {2, 1, 243}, "s390x": {2, 2, 22},
		}[p.Arch]
		var order binary.ByteOrder = le
		if m.data == 2 {
			order = be
		}
		copy(b, "\x7fELF")
		b[4], b[5], b[6] = m.class, m.data, 1
		order.PutUint16(b[16:], 2)
		order.PutUint16(b[18:], m.machine)
	}
	return append(b, "program for "+p.String()+": "+text+"\n"...)
}
