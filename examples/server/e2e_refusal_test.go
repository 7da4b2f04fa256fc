package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
)

// An entry is a file of an archive that a test takes apart.
type entry struct {
	name string
	mode fs.FileMode
	data []byte
}

// rezip returns the zip b with its entries changed by edit.
func rezip(t testing.TB, b []byte, edit func([]entry) []entry) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	for _, f := range r.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		rc.Close()
		entries = append(entries, entry{f.Name, f.Mode(), data})
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range edit(entries) {
		h := &zip.FileHeader{Name: e.name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(e.data),
			CompressedSize64: uint64(len(e.data)), UncompressedSize64: uint64(len(e.data))}
		h.SetMode(e.mode)
		f, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// of applies change to the entry of a name.
func of(name string, change func(e *entry)) func([]entry) []entry {
	return func(entries []entry) []entry {
		for i := range entries {
			if entries[i].name == name {
				change(&entries[i])
			}
		}
		return entries
	}
}

// fresh fails the test unless the server is as it was installed.
func (k *kvd) fresh() trace {
	k.t.Helper()
	at := k.trace()
	if len(at.Stored) > 0 || !slices.Equal(at.Installed, []string{"kvctl", "kvd"}) || at.Record != "none" {
		k.t.Fatalf("the server was used before: %+v", at)
	}
	return at
}

// unchanged fails the test if the server is no longer as it was.
func (k *kvd) unchanged(t testing.TB, was trace) {
	t.Helper()
	if diff := cmp.Diff(was, k.trace()); diff != "" {
		t.Errorf("something was left behind (-before +after):\n%s", diff)
	}
}

func TestBadArchivesAreRefused(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	was := k.fresh()
	good := mock(t, "1.1.0", 2, k.key, nil)
	tarball := mock(t, "1.1.0", 2, k.key, func(c *archive.PackConfig) { c.Format = archive.TarGzip })
	program, err := os.ReadFile(k.program)
	if err != nil {
		t.Fatal(err)
	}
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	fmt.Fprint(z, "a text")
	z.Close()

	for _, c := range []struct {
		name   string
		body   []byte
		status int
		reason string
	}{
		{"text", []byte("this is not an archive\n"), http.StatusUnprocessableEntity, archive.NotAnArchive},
		{"HTML", []byte("<!DOCTYPE html><html><body>Sign in to download</body></html>"), http.StatusUnprocessableEntity, archive.NotAnArchive},
		{"bare program", program, http.StatusUnprocessableEntity, archive.NotAnArchive},
		{"gzip of something else", gz.Bytes(), http.StatusUnprocessableEntity, ""},
		{"nothing", []byte{}, http.StatusUnprocessableEntity, ""},
		{"half a zip", good[:len(good)/2], http.StatusUnprocessableEntity, archive.Truncated},
		{"half a tarball", tarball[:len(tarball)/2], http.StatusUnprocessableEntity, archive.Truncated},
		{"tarball without its last byte", tarball[:len(tarball)-1], http.StatusUnprocessableEntity, archive.Truncated},
		{"bytes behind the zip", append(slices.Clone(good), "more"...), http.StatusUnprocessableEntity, archive.HiddenData},
		{"file changed", rezip(t, good, of(inArchive("kvd"), func(e *entry) { e.data[len(e.data)/2] ^= 1 })),
			http.StatusUnprocessableEntity, archive.DigestMismatch},
		{"file missing", rezip(t, good, func(e []entry) []entry {
			return slices.DeleteFunc(e, func(e entry) bool { return e.name == inArchive("kvctl") })
		}), http.StatusUnprocessableEntity, archive.FileMissing},
		{"file not listed", rezip(t, good, func(e []entry) []entry { return append(e, entry{"install.sh", 0o644, []byte("rm -r /\n")}) }),
			http.StatusUnprocessableEntity, archive.FileNotListed},
		{"sums changed", rezip(t, good, of(archive.SumsName, func(e *entry) { e.data[0] = "10"[e.data[0]&1] })),
			http.StatusForbidden, archive.BadSignature},
		{"no sums", rezip(t, good, func(e []entry) []entry {
			return slices.DeleteFunc(e, func(e entry) bool { return e.name == archive.SumsName })
		}), http.StatusUnprocessableEntity, archive.NoSums},
		{"setuid", rezip(t, good, of(inArchive("kvd"), func(e *entry) { e.mode |= fs.ModeSetuid })),
			http.StatusUnprocessableEntity, archive.SetuidRefused},
		{"setgid", rezip(t, good, of(inArchive("kvctl"), func(e *entry) { e.mode |= fs.ModeSetgid })),
			http.StatusUnprocessableEntity, archive.SetuidRefused},
		{"link", rezip(t, good, of(inArchive("kvd"), func(e *entry) { e.mode, e.data = fs.ModeSymlink|0o777, []byte("/bin/sh") })),
			http.StatusUnprocessableEntity, archive.SpecialFile},
		{"path out of it", rezip(t, good, of(inArchive("kvctl"), func(e *entry) { e.name = "../../kvctl" })),
			http.StatusUnprocessableEntity, archive.BadName},
		{"unsigned", mock(t, "1.1.0", 2, archive.PrivateKey{}, nil), http.StatusForbidden, archive.Unsigned},
		{"unknown key", mock(t, "1.1.0", 2, newKey(t), nil), http.StatusForbidden, archive.UnknownKey},
		{"signature of another release", rezip(t, good, of("sha256sums.minisig", func(e *entry) {
			other := mock(t, "1.1.0", 3, k.key, nil)
			rezip(t, other, of("sha256sums.minisig", func(o *entry) { e.data = o.data }))
		})), http.StatusForbidden, archive.BadSignature},
		{"expired", mock(t, "1.1.0", 2, k.key, func(c *archive.PackConfig) { c.Manifest.Expires = time.Now().Add(-time.Hour) }),
			http.StatusForbidden, archive.Expired},
		{"other product", mock(t, "1.1.0", 2, k.key, func(c *archive.PackConfig) { c.Manifest.Product = "kvx" }),
			http.StatusUnprocessableEntity, archive.WrongProduct},
		{"other platform", mock(t, "1.1.0", 2, k.key, func(c *archive.PackConfig) {
			p := archive.Platform{OS: "windows", Arch: "arm64"}
			c.Files = []archive.PackFile{inMemory("bin/windows/arm64/kvd", archivetest.Program(p, "kvd"))}
		}), http.StatusUnprocessableEntity, archive.NoPlatform},
		{"other program", mock(t, "1.1.0", 2, k.key, func(c *archive.PackConfig) { c.Files[0].Name = inArchive("other") }),
			http.StatusUnprocessableEntity, archive.NoProgram},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"system/upgrade/stage", "system/upgrade"} {
				k.upload(path, c.body).refused(t, c.status, c.reason)
			}
			k.unchanged(t, was)
		})
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	was := k.fresh()
	good := mock(t, "1.1.0", 2, k.key, nil)
	plain := []string{"Content-Type", "application/octet-stream"}
	with := func(header ...string) []string { return append(slices.Clone(plain), header...) }
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, _ := w.CreateFormFile("file", "kvd.zip")
	part.Write(good)
	w.Close()

	for _, c := range []struct {
		name         string
		method, path string
		body         []byte
		header       []string
		status       int
		reason       string
	}{
		{"run with nothing staged", "POST", "system/upgrade/run", nil, nil, http.StatusNotFound, "NothingStaged"},
		{"unstage with nothing staged", "DELETE", "system/upgrade/stage", nil, nil, http.StatusNotFound, "NothingStaged"},
		{"exec with nothing staged", "POST", "system/upgrade/exec", nil, nil, http.StatusNotFound, "NothingStaged"},
		{"form", "POST", "system/upgrade/stage", form.Bytes(), []string{"Content-Type", w.FormDataContentType()}, http.StatusUnsupportedMediaType, "MediaType"},
		{"compressed on the way", "POST", "system/upgrade/stage", good, with("Content-Encoding", "gzip"), http.StatusUnsupportedMediaType, "MediaType"},
		{"empty", "POST", "system/upgrade/stage", []byte{}, plain, http.StatusUnprocessableEntity, "BadRequest"},
		{"other digest announced", "POST", "system/upgrade/stage?sha256=" + strings.Repeat("0", 64), good, plain, http.StatusUnprocessableEntity, archive.DigestMismatch},
		{"no digest announced", "POST", "system/upgrade/stage?sha256=latest", good, plain, http.StatusUnprocessableEntity, "BadRequest"},
		{"wrong password", "POST", "system/upgrade/stage", good, with("Authorization", "Basic YWRtaW46YWRtaW4="), http.StatusUnauthorized, "Unauthenticated"},
		{"unknown token", "POST", "system/upgrade/stage", good, with("Authorization", "Bearer tok123"), http.StatusUnauthorized, "Unauthenticated"},
		{"nobody", "POST", "system/upgrade", good, with("Authorization", ""), http.StatusUnauthorized, "Unauthenticated"},
		{"page of another site", "POST", "system/upgrade/stage", good, with("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"), http.StatusForbidden, "CrossOrigin"},
		{"GET of an upload", "GET", "system/upgrade/stage", nil, nil, http.StatusMethodNotAllowed, "MethodNotAllowed"},
		{"PUT of an upload", "PUT", "system/upgrade/stage", good, plain, http.StatusMethodNotAllowed, "MethodNotAllowed"},
		{"unknown option of a run", "POST", "system/upgrade/run", []byte(`{"dry-run":true}`), []string{"Content-Type", "application/json"}, http.StatusUnprocessableEntity, "BadRequest"},
		{"unknown check to skip", "POST", "system/upgrade/run?skip=everything", nil, nil, http.StatusUnprocessableEntity, "CheckUnknown"},
		{"no such path", "POST", "system/upgrade/undo", nil, nil, http.StatusNotFound, "NoSuchPath"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body io.Reader
			if c.body != nil {
				body = bytes.NewReader(c.body)
			}
			k.do(c.method, c.path, body, c.header...).refused(t, c.status, c.reason)
			k.unchanged(t, was)
		})
	}
}

// dial sends the head of an upload, as somebody who then does as they like.
func (k *kvd) dial(t testing.TB, path, header string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(k.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	req, _ := http.NewRequest(http.MethodPost, k.url, nil)
	req.SetBasicAuth(k.login())
	fmt.Fprintf(conn, "POST /api/v3/%s HTTP/1.1\r\nHost: kvd\r\nAuthorization: %s\r\nContent-Type: application/octet-stream\r\n%s\r\n\r\n",
		path, req.Header.Get("Authorization"), header)
	return conn.(*net.TCPConn)
}

func TestBrokenUploadsAreRefused(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	was := k.fresh()
	good := mock(t, "1.1.0", 2, k.key, nil)
	half := good[:len(good)/2]
	chunk := func(conn net.Conn, b []byte) {
		fmt.Fprintf(conn, "%x\r\n", len(b))
		conn.Write(b)
		fmt.Fprint(conn, "\r\n")
	}
	// The server has dealt with a lost client once it says so.
	noticed := func(from int) { k.await(from, "upgrade API: refused") }

	t.Run("client gone between chunks", func(t *testing.T) {
		from := k.logged()
		conn := k.dial(t, "system/upgrade/stage", "Transfer-Encoding: chunked")
		chunk(conn, half)
		conn.Close()
		noticed(from)
		k.unchanged(t, was)
	})
	t.Run("client gone inside a chunk", func(t *testing.T) {
		from := k.logged()
		conn := k.dial(t, "system/upgrade/stage", "Transfer-Encoding: chunked")
		fmt.Fprintf(conn, "%x\r\n", len(good))
		conn.Write(half)
		conn.Close()
		noticed(from)
		k.unchanged(t, was)
	})
	t.Run("connection reset", func(t *testing.T) {
		from := k.logged()
		conn := k.dial(t, "system/upgrade", "Transfer-Encoding: chunked")
		chunk(conn, half)
		conn.SetLinger(0)
		conn.Close()
		noticed(from)
		k.unchanged(t, was)
	})
	for _, path := range []string{"system/upgrade/stage", "system/upgrade"} {
		t.Run("less than announced to "+path, func(t *testing.T) {
			conn := k.dial(t, path, fmt.Sprintf("Content-Length: %d", len(good)))
			conn.Write(half)
			conn.CloseWrite()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			gotten{res.StatusCode, 1, res.Header, b}.refused(t, http.StatusBadRequest, "BodyEndedEarly")
			k.unchanged(t, was)
		})
	}
	t.Run("more announced than allowed", func(t *testing.T) {
		// The refusal comes although nothing of the body does.
		conn := k.dial(t, "system/upgrade/stage", "Content-Length: 9000000000")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		gotten{res.StatusCode, 1, res.Header, b}.refused(t, http.StatusRequestEntityTooLarge, "BodyTooLarge")
		k.unchanged(t, was)
	})
	t.Run("two at once", func(t *testing.T) {
		from := k.logged()
		conn := k.dial(t, "system/upgrade/stage", "Transfer-Encoding: chunked")
		chunk(conn, half)
		// Once a part lies in the store, the first upload is under way.
		for limit := time.Now().Add(patience); len(filesIn(t, k.data+"/archives")) == 0; {
			if time.Now().After(limit) {
				t.Fatal("no part of the upload in the store")
			}
			time.Sleep(time.Millisecond)
		}
		g := k.upload("system/upgrade/stage", good)
		g.refused(t, http.StatusTooManyRequests, "UploadInProgress")
		if g.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		conn.Close()
		noticed(from)
		k.await(from, "ended early")
		k.unchanged(t, was)
	})
	t.Run("and then a whole one", func(t *testing.T) {
		k.upload("system/upgrade/stage", good).ok(t, http.StatusCreated)
		k.do(http.MethodDelete, "system/upgrade/stage", nil).ok(t, http.StatusNoContent)
		k.unchanged(t, was)
	})
}
