package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/spf13/afero"
)

func count(t testing.TB, s archive.Store) (n int) {
	t.Helper()
	for _, err := range s.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func staged(t testing.TB, s archive.Store, spec archivetest.Spec) archivetest.Packed {
	t.Helper()
	spec.Store = s
	if spec.Platforms == nil {
		spec.Platforms = []archive.Platform{linuxAMD64}
	}
	p := archivetest.Pack(t, spec)
	if _, err := s.Put(t.Context(), p.Digest, bytes.NewReader(p.Bytes)); err != nil {
		t.Fatal(err)
	}
	return p
}

// Whatever call to the store fails, Check fails, names the cause, and leaves
// the store as it was.
func TestCheckFaults(t *testing.T) {
	files := map[string][]byte{"LICENSE": []byte("free"), "bin/linux/amd64/client": bytes.Repeat([]byte("client"), 100_000)}
	fail := errors.New("failed on request")
	for _, format := range []archive.Format{archive.Zip, archive.TarGzip} {
		for _, op := range []archivetest.Op{archivetest.Open, archivetest.Read, archivetest.Put} {
			for nth := 1; ; nth++ {
				memory := &archivetest.Memory{}
				p := staged(t, memory, archivetest.Spec{Format: format, Files: files})
				s := archivetest.NewFaulty(memory, archivetest.Fault{Op: op, Nth: nth, Err: fail})
				_, err := archive.Check(t.Context(), s, p.Digest, p.Policy)
				if s.Calls(op) < nth {
					if err != nil || nth < 3 {
						t.Errorf("%s: %d calls of %s: %v", format, s.Calls(op), op, err)
					}
					break
				}
				if err == nil && op == archivetest.Read {
					continue // of a blob that was only opened to see that it is there
				}
				if !errors.Is(err, fail) {
					t.Errorf("%s: %s %d fails: %v", format, op, nth, err)
				}
				if n := count(t, memory); n != 1 {
					t.Errorf("%s: %s %d fails: %d blobs are left", format, op, nth, n)
				}
			}
		}
	}
}

// What was in the store before is neither written again nor taken away.
func TestCheckKeeps(t *testing.T) {
	memory := &archivetest.Memory{}
	p := staged(t, memory, archivetest.Spec{Files: map[string][]byte{"LICENSE": []byte("free"), "COPY": []byte("free")}})
	if _, err := memory.Put(t.Context(), "", strings.NewReader("free")); err != nil {
		t.Fatal(err)
	}
	bad := p.Policy
	bad.Platforms = append(bad.Platforms, archive.Platform{OS: "windows", Arch: "amd64"})
	_, err := archive.Check(t.Context(), memory, p.Digest, bad)
	wantReason(t, err, archive.NoPlatform)
	s := archivetest.NewFaulty(memory)
	for i, want := range []int{3, 3} { // sums, manifest, program; then nothing more
		v, err := archive.Check(t.Context(), s, p.Digest, p.Policy)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.Calls(archivetest.Put); n != want || s.Calls(archivetest.Delete) != 0 {
			t.Errorf("check %d: %d blobs were put", i+1, n)
		}
		r, size, err := v.Open(t.Context(), "LICENSE")
		if err != nil || size != 4 {
			t.Fatalf("Open: %d bytes, %v", size, err)
		}
		r.Close()
		if _, _, err := v.Open(t.Context(), "none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open of what is not there: %v", err)
		}
	}
	if _, _, err := (archive.Verified{}).Open(t.Context(), "LICENSE"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Open of the zero Verified: %v", err)
	}
	if _, err := archive.Check(t.Context(), memory, archive.DigestOf([]byte("no")), p.Policy); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Check of what is not there: %v", err)
	}
}

// A blob of the wrong size does not count as there.
func TestCheckRepairs(t *testing.T) {
	root := t.TempDir()
	d := newDir(t, afero.NewOsFs(), root)
	p := staged(t, d, archivetest.Spec{})
	v, err := archive.Check(t.Context(), d, p.Digest, p.Policy)
	if err != nil {
		t.Fatal(err)
	}
	f := v.Release().For(linuxAMD64)["server"]
	writeFile(t, filepath.Join(root, "sha256", f.Digest.Hex()[:2], f.Digest.Hex()), []byte("cut o"))
	if v, err = archive.Check(t.Context(), d, p.Digest, p.Policy); err != nil {
		t.Fatal(err)
	}
	r, _, err := v.Open(t.Context(), f.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
}

func TestCheckDiskFull(t *testing.T) {
	root := t.TempDir()
	good := newDir(t, afero.NewOsFs(), root)
	p := staged(t, good, archivetest.Spec{Stored: true, Files: map[string][]byte{"big": make([]byte, 2<<20)}})
	var written atomic.Int32
	full := newDir(t, faultFs{afero.NewOsFs(), func(op, name string) error {
		if op == "write" {
			if written.Add(1) > 6 {
				return &fs.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
			}
		}
		return nil
	}}, root)
	_, err := archive.Check(t.Context(), full, p.Digest, p.Policy)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Check on a full disk: %v", err)
	}
	if left := tree(t, root); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestCheckCancelled(t *testing.T) {
	why := errors.New("the operator left")
	for _, format := range []archive.Format{archive.Zip, archive.TarGzip} {
		memory := &archivetest.Memory{}
		p := staged(t, memory, archivetest.Spec{Format: format, Files: map[string][]byte{"big": make([]byte, 1<<20)}})
		ctx, cancel := context.WithCancelCause(t.Context())
		s := cancelOnPut{memory, func() { cancel(why) }}
		if _, err := archive.Check(ctx, s, p.Digest, p.Policy); !errors.Is(err, why) {
			t.Errorf("%s: %v", format, err)
		}
		if n := count(t, memory); n != 1 {
			t.Errorf("%s: %d blobs are left", format, n)
		}
	}
}

// cancelOnPut cancels once the first blob is stored.
type cancelOnPut struct {
	archive.Store
	cancel func()
}

func (c cancelOnPut) Put(ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
	defer c.cancel()
	return c.Store.Put(ctx, want, r)
}

func TestCheckMachine(t *testing.T) {
	platform := func(s string) archive.Platform {
		os, arch, _ := strings.Cut(s, "/")
		return archive.Platform{OS: os, Arch: arch}
	}
	all := []string{"linux/386", "linux/amd64", "linux/arm", "linux/arm64", "linux/loong64", "linux/mips", "linux/mipsle", "linux/mips64", "linux/mips64le",
		"linux/ppc64", "linux/ppc64le", "linux/riscv64", "linux/s390x", "darwin/amd64", "darwin/arm64", "windows/386", "windows/amd64", "windows/arm64"}
	type test struct {
		on      string
		content []byte
		reason  string
	}
	shared := archivetest.Program(platform("linux/amd64"), "")
	shared[16] = 1 // an object file
	universal := "\xca\xfe\xba\xbe\x00\x00\x00\x02\x01\x00\x00\x07" + strings.Repeat("\x00", 16) + "\x01\x00\x00\x0c" + strings.Repeat("\x00", 16)
	library := archivetest.Program(platform("windows/amd64"), "")
	library[0x57] |= 0x20
	tests := []test{
		{"linux/amd64", nil, archive.WrongMachine},
		{"linux/amd64", []byte("\x7fELF"), archive.WrongMachine},
		{"linux/amd64", []byte("<html>"), archive.WrongMachine},
		{"linux/amd64", shared, archive.WrongMachine},
		{"linux/amd64", []byte("#!/bin/sh\nexit 0\n"), ""},
		{"windows/amd64", []byte("#!/bin/sh\nexit 0\n"), archive.WrongMachine},
		{"windows/amd64", library, archive.WrongMachine},
		{"linux/armv7", archivetest.Program(platform("linux/arm"), ""), ""},
		{"linux/armv7", archivetest.Program(platform("darwin/arm64"), ""), archive.WrongMachine},
		{"plan9/amd64", []byte("anything"), ""},
		{"darwin/arm64", []byte(universal), ""},
		{"darwin/386", []byte(universal), archive.WrongMachine},
		{"darwin/arm64", []byte("\xca\xfe\xba\xbe\x00\x00\x00\x41 a class of Java"), archive.WrongMachine},
	}
	for _, on := range all {
		for _, built := range all {
			reason := archive.WrongMachine
			if on == built {
				reason = ""
			}
			tests = append(tests, test{on, archivetest.Program(platform(built), "x"), reason})
		}
	}
	for _, c := range tests {
		memory := &archivetest.Memory{}
		p := staged(t, memory, archivetest.Spec{Unsigned: true, Stored: true, Platforms: []archive.Platform{platform(c.on)}, Files: map[string][]byte{"bin/" + c.on + "/server": c.content}})
		_, err := archive.Check(t.Context(), memory, p.Digest, p.Policy)
		wantReason(t, err, c.reason)
		if n := count(t, memory); (n == 1) != (err != nil) {
			t.Errorf("on %s: %d blobs after %v", c.on, n, err)
		}
	}
}

// A store whose readers cannot ReadAt serves as well.
func TestCheckSeekOnly(t *testing.T) {
	memory := &archivetest.Memory{}
	p := staged(t, memory, archivetest.Spec{Files: map[string][]byte{"LICENSE": []byte("free")}})
	if _, err := archive.Check(t.Context(), seekOnly{memory}, p.Digest, p.Policy); err != nil {
		t.Error(err)
	}
}

type seekOnly struct{ archive.Store }

func (s seekOnly) Open(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	r, size, err := s.Store.Open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	return struct{ io.ReadSeekCloser }{r}, size, nil
}
