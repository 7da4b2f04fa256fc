package archive_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
)

func packConfig(t testing.TB, format archive.Format, stored bool) archive.PackConfig {
	t.Helper()
	files, err := archive.FilesIn(fstest.MapFS{
		"bin/linux/amd64/server":  {Data: []byte(server), Mode: 0o644, ModTime: time.Now()},
		"bin/linux/amd64/client":  {Data: bytes.Repeat([]byte("client "), 100_000)},
		"tools/install.sh":        {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"LICENSE":                 {Data: nil},
		"assets/" + longName + "": {Data: []byte("long")},
		"sha256sums":              {Data: []byte("of another archive")},
		"sha256sums.minisig":      {},
		"manifest.json":           {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return archive.PackConfig{
		Manifest: archive.Manifest{Product: "server", Version: "1.2.3", Counter: 4, Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))},
		Files:    files, Format: format, Stored: stored,
	}
}

var longName = strings.Repeat("n", 200) // more than ustar can split

// eachFormat runs a test for everything that Pack can make.
func eachFormat(t *testing.T, test func(t *testing.T, c archive.PackConfig)) {
	for _, format := range []archive.Format{archive.Zip, archive.TarGzip} {
		for _, stored := range []bool{false, true} {
			name := string(format)
			if stored {
				name += " stored"
			}
			t.Run(name, func(t *testing.T) { test(t, packConfig(t, format, stored)) })
		}
	}
}

func pack(t testing.TB, c archive.PackConfig) ([]byte, archive.Release) {
	t.Helper()
	var b bytes.Buffer
	r, err := archive.Pack(&b, c)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), r
}

func sign(t testing.TB, b []byte, k archive.PrivateKey, comment string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := archive.Sign(&out, bytes.NewReader(b), int64(len(b)), k, comment); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPackSignCheck(t *testing.T) {
	eachFormat(t, func(t *testing.T, c archive.PackConfig) {
		b, packed := pack(t, c)
		shuffled := c
		shuffled.Files = slices.Clone(c.Files)
		slices.Reverse(shuffled.Files)
		if again, _ := pack(t, shuffled); !bytes.Equal(b, again) {
			t.Error("the same files in another order give another archive")
		}
		if packed.Archive != archive.DigestOf(b) || packed.Size != int64(len(b)) {
			t.Errorf("Pack says %s of %d bytes", packed.Archive, packed.Size)
		}
		first, second := newKey(t), newKey(t)
		one := sign(t, b, first, "")
		if !bytes.Equal(one, sign(t, b, first, "")) || !bytes.Equal(one, sign(t, one, first, "")) {
			t.Error("signing again gives another archive")
		}
		two := sign(t, one, second, "checked by the second")
		if !bytes.Equal(two, sign(t, two, first, "")) || !bytes.Equal(two, sign(t, two, second, "checked by the second")) {
			t.Error("replacing a signature by itself gives another archive")
		}
		if bytes.Equal(two, sign(t, two, second, "other comment")) {
			t.Error("the comment is not written")
		}
		s := &archivetest.Memory{}
		d, err := s.Put(t.Context(), "", bytes.NewReader(two))
		if err != nil {
			t.Fatal(err)
		}
		v, err := archive.Check(t.Context(), s, d, archive.Policy{
			Product: "server", Program: "server", Platforms: []archive.Platform{linuxAMD64},
			Keys: []archive.PublicKey{second.Public(), first.Public()}, Threshold: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		r := v.Release()
		signed := []string{first.ID(), second.ID()}
		slices.Sort(signed)
		if !slices.Equal(r.SignedBy, signed) || r.Sums != packed.Sums || r.Unpacked != packed.Unpacked || !slices.Equal(r.Files, packed.Files) || r.Manifest != packed.Manifest {
			t.Errorf("packed %+v\nchecked %+v", packed, r)
		}
		if want := time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC); !r.Manifest.Created.Equal(want) {
			t.Errorf("created %v", r.Manifest.Created)
		}
	})
}

// Other tools read what Pack makes, and see the same.
func TestPackForeign(t *testing.T) {
	eachFormat(t, func(t *testing.T, c archive.PackConfig) {
		b, _ := pack(t, c)
		key := newKey(t)
		b = sign(t, b, key, "")
		dir, file := t.TempDir(), filepath.Join(t.TempDir(), "release")
		writeFile(t, file, b)
		if c.Format == archive.Zip {
			mustRun(t, dir, "", needTool(t, "unzip"), "-q", file)
			mustRun(t, dir, "", needTool(t, "python3"), "-c", "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; assert len(z.infolist())==8, z.namelist()", file)
		} else {
			mustRun(t, dir, "", needTool(t, "tar"), "-xzf", file)
		}
		mustRun(t, dir, "", needTool(t, "sha256sum"), "--strict", "-c", "sha256sums")
		for name, mode := range map[string]os.FileMode{"bin/linux/amd64/server": 0o755, "tools/install.sh": 0o755, "LICENSE": 0o644, "sha256sums": 0o644, "sha256sums.minisig": 0o644} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Error(err)
			} else if info.Mode() != mode {
				t.Errorf("%s has the mode %v", name, info.Mode())
			}
		}
		mustRun(t, dir, "", needTool(t, "minisign"), "-Vm", "sha256sums", "-P", key.Public().String())
		writeFile(t, filepath.Join(dir, "key.pub"), []byte(key.Public().Text()))
		out := mustRun(t, dir, "", "minisign", "-Vm", "sha256sums", "-p", "key.pub")
		if !strings.Contains(out, "Trusted comment: server 1.2.3 counter 4") {
			t.Errorf("minisign says %s", out)
		}
	})
}

// What other tools make of a release is accepted.
func TestForeignArchives(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, program), []byte(server))
	writeFile(t, filepath.Join(dir, "assets", "startup", strings.Repeat("s", 90)), []byte("unit"))
	mustRun(t, dir, "", "sh", "-c", "find . -type f ! -name sha256sums -exec sha256sum {} + > sha256sums")
	for name, c := range map[string]struct{ tool, command string }{
		"gnu tar":    {"tar", "tar -czf $OUT ."},
		"ustar":      {"tar", "tar --format=ustar -czf $OUT sha256sums bin assets"},
		"pax":        {"tar", "tar --format=pax -czf $OUT ."},
		"gnu piped":  {"tar", "tar -c . | gzip -9 > $OUT"},
		"python zip": {"python3", `python3 -c 'import shutil,os; shutil.make_archive(os.environ["OUT"],"zip","."); os.rename(os.environ["OUT"]+".zip",os.environ["OUT"])'`},
		"python tar": {"python3", `python3 -c 'import tarfile,os; t=tarfile.open(os.environ["OUT"],"w:gz"); t.add("."); t.close()'`},
		"zip":        {"zip", "zip -qr $OUT.zip . && mv $OUT.zip $OUT"},
		"zip stored": {"zip", "zip -q0rX $OUT.zip . && mv $OUT.zip $OUT"},
	} {
		t.Run(name, func(t *testing.T) {
			needTool(t, c.tool)
			out := filepath.Join(t.TempDir(), "out")
			mustRun(t, dir, "", "sh", "-c", "OUT="+out+"; export OUT; "+c.command)
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			_, err = checkBytes(t, b, archive.Policy{})
			wantReason(t, err, "")
		})
	}
}

func TestPackRefuses(t *testing.T) {
	content := func(s string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
	}
	file := func(name string) archive.PackFile { return archive.PackFile{Name: name, Open: content("x")} }
	for name, c := range map[string]struct {
		change func(c *archive.PackConfig)
		reason string
	}{
		"no product":      {func(c *archive.PackConfig) { c.Manifest.Product = "" }, archive.BadInput},
		"no version":      {func(c *archive.PackConfig) { c.Manifest.Version = "" }, archive.BadInput},
		"version of two":  {func(c *archive.PackConfig) { c.Manifest.Version = "1 2" }, archive.BadInput},
		"format":          {func(c *archive.PackConfig) { c.Format = "rar" }, archive.BadInput},
		"no program":      {func(c *archive.PackConfig) { c.Files = []archive.PackFile{file("README")} }, archive.BadInput},
		"bad name":        {func(c *archive.PackConfig) { c.Files = append(c.Files, file("a b")) }, archive.BadName},
		"duplicate":       {func(c *archive.PackConfig) { c.Files = append(c.Files, file("license")) }, archive.DuplicateName},
		"manifest":        {func(c *archive.PackConfig) { c.Files = append(c.Files, file("manifest.json")) }, archive.DuplicateName},
		"sums":            {func(c *archive.PackConfig) { c.Files = append(c.Files, file("sha256sums")) }, archive.DuplicateName},
		"signature":       {func(c *archive.PackConfig) { c.Files = append(c.Files, file("sha256sums.minisig")) }, archive.BadInput},
		"layout":          {func(c *archive.PackConfig) { c.Files = append(c.Files, file("bin/x")) }, archive.BadLayout},
		"too many":        {func(c *archive.PackConfig) { c.Files = append(c.Files, make([]archive.PackFile, 255)...) }, archive.TooManyFiles},
		"changed content": {func(c *archive.PackConfig) { c.Files = append(c.Files, changing("x", "y")) }, archive.BadInput},
		"grown content":   {func(c *archive.PackConfig) { c.Files = append(c.Files, changing("x", "xx")) }, archive.BadInput},
		"shrunk content":  {func(c *archive.PackConfig) { c.Files = append(c.Files, changing("x", "")) }, archive.BadInput},
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []archive.Format{archive.Zip, archive.TarGzip} {
				config := packConfig(t, format, false)
				c.change(&config)
				_, err := archive.Pack(io.Discard, config)
				wantReason(t, err, c.reason)
			}
		})
	}
	if _, err := archive.Pack(io.Discard, archive.PackConfig{Manifest: archive.Manifest{Product: "p", Version: "1"},
		Files: []archive.PackFile{{Name: program, Path: filepath.Join(t.TempDir(), "none")}}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, program), []byte(server))
	if err := os.Symlink("server", filepath.Join(dir, "bin/linux/amd64/link")); err == nil {
		_, err := archive.FilesIn(os.DirFS(dir))
		wantReason(t, err, archive.SpecialFile)
	}
}

// changing has another content each time it is opened.
func changing(contents ...string) archive.PackFile {
	return archive.PackFile{Name: "z", Open: func() (io.ReadCloser, error) {
		c := contents[0]
		contents = append(contents[1:], c)
		return io.NopCloser(strings.NewReader(c)), nil
	}}
}

// Nothing is signed that would be refused later.
func TestSignRefuses(t *testing.T) {
	key := newKey(t)
	manifest := `{"product":"server","version":"1"}`
	files := map[string]string{program: server, "manifest.json": manifest}
	archiveOf := func(sums string, changed string) []byte {
		return genZip([]zipFile{{name: "sha256sums", content: sums}, {name: "manifest.json", content: manifest}, {name: program, content: changed}}, zipEnd{})
	}
	for name, c := range map[string]struct {
		b      []byte
		key    archive.PrivateKey
		reason string
	}{
		"good":          {archiveOf(sumsOf(files), server), key, ""},
		"no key":        {archiveOf(sumsOf(files), server), archive.PrivateKey{}, archive.BadKey},
		"no archive":    {[]byte("x"), key, archive.NotAnArchive},
		"other content": {archiveOf(sumsOf(files), server+"!"), key, archive.DigestMismatch},
		"no manifest":   {releaseZip(nil, zipEnd{}), key, archive.NoManifest},
		"not listed":    {archiveOf(sumsOf(map[string]string{program: server}), server), key, archive.FileNotListed},
		"in tar":        {gz(genTar(t, tarEntry{content: "x\n"}, tarEntry{content: server})), key, archive.BadName},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := archive.Sign(&out, bytes.NewReader(c.b), int64(len(c.b)), c.key, "")
			wantReason(t, err, c.reason)
			if err != nil && out.Len() > 0 {
				t.Errorf("%d bytes were written", out.Len())
			}
		})
	}
	b := archiveOf(sumsOf(files), server)
	wantReason(t, archive.Sign(io.Discard, bytes.NewReader(b), int64(len(b)), key, "two\nlines"), archive.BadInput)
}
