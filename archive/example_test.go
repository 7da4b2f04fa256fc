package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing/fstest"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/spf13/afero"
)

// A release goes from its files to programs that may be installed.
func Example() {
	ctx := context.Background()
	linux := archive.Platform{OS: "linux", Arch: "amd64"}

	// Its maker packs and signs it.
	key, err := archive.GenerateKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	files, err := archive.FilesIn(fstest.MapFS{
		"bin/linux/amd64/server": {Data: archivetest.Program(linux, "version 2")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var packed, signed bytes.Buffer
	_, err = archive.Pack(&packed, archive.PackConfig{
		Manifest: archive.Manifest{Product: "example", Version: "2.0.0", Counter: 2},
		Files:    files,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := archive.Sign(&signed, bytes.NewReader(packed.Bytes()), int64(packed.Len()), key, ""); err != nil {
		fmt.Println(err)
		return
	}

	// A server stores what it is sent, and checks it.
	store, err := archive.NewDir(afero.NewMemMapFs(), "/var/lib/example/upgrade")
	if err != nil {
		fmt.Println(err)
		return
	}
	digest, err := store.Put(ctx, "", &signed)
	if err != nil {
		fmt.Println(err)
		return
	}
	release, err := archive.Check(ctx, store, digest, archive.Policy{
		Product:   "example",
		Program:   "server",
		Platforms: []archive.Platform{linux},
		Keys:      []archive.PublicKey{key.Public()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(release.Release().Manifest.Version, release.Release().For(linux)["server"].Name)
	// Output: 2.0.0 bin/linux/amd64/server
}

// A refusal has a Reason for programs, and a Remedy for people.
func ExampleError() {
	page := "<!DOCTYPE html><title>Please log in</title>"
	_, err := archive.ReadHead(bytes.NewReader([]byte(page)), int64(len(page)))
	var refusal *archive.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Reason)
		fmt.Println(refusal.Detail)
		fmt.Println(refusal.Remedy())
	}
	// Output:
	// NotAnArchive
	// this is an HTML page, perhaps the error page of a proxy or a login form, not a zip or gzip-compressed tar archive
	// send the release archive itself, a .zip or .tar.gz
}

func ExampleVerify() {
	d := archive.DigestOf([]byte("what was asked for"))
	_, err := io.ReadAll(archive.Verify(bytes.NewReader([]byte("what came")), d))
	fmt.Println(errors.Is(err, archive.ErrDigest))
	// Output: true
}
