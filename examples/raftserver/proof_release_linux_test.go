package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// spoilPlace is linked into a program in the place of a spoil.Way, and is as long
// as any; blanks after one do not count.
const spoilPlace = "spoilt-in-this-way"

// made is the program of which the next version is made.
func (f *fleet) made() []byte {
	if f.way == spoil.Good {
		return f.program
	}
	return bytes.ReplaceAll(f.spoilt, []byte(spoilPlace), fmt.Appendf(nil, "%-*s", len(spoilPlace), f.way))
}

// archive makes the release of version n.
func (f *fleet) archive(n int) []byte {
	f.t.Helper()
	next := bytes.ReplaceAll(f.made(), []byte(firstVersion), []byte(versionName(n)))
	f.mu.Lock()
	f.digests[n] = string(archive.DigestOf(next))
	f.mu.Unlock()
	file := filepath.Join(f.d.Dir, "next")
	f.must(os.WriteFile(file, next, 0o755))
	var packed, signed bytes.Buffer
	_, err := archive.Pack(&packed, archive.PackConfig{
		Manifest: archive.Manifest{Product: product, Version: versionName(n), Counter: uint64(n + 1)}, Stored: true,
		Files: []archive.PackFile{{Name: "bin/" + runtime.GOOS + "/" + runtime.GOARCH + "/" + product, Path: file, Executable: true}},
	})
	f.must(err)
	f.must(archive.Sign(&signed, bytes.NewReader(packed.Bytes()), int64(packed.Len()), f.key, ""))
	return signed.Bytes()
}

// stage makes the next version and stages it at a member.
func (f *fleet) stage() {
	f.t.Helper()
	f.warden.begin()
	f.next++
	next := f.archive(f.next)
	f.allow(true)
	ctx, cancel := f.ctx()
	defer cancel()
	if _, err := f.client().Stage(ctx, bytes.NewReader(next), int64(len(next)), httpapi.UploadOptions{}); err != nil {
		f.t.Fatalf("stage: %v\n%s", err, f.story())
	}
	f.logf("staged %s", versionName(f.next))
}

func (f *fleet) start() {
	f.t.Helper()
	ctx, cancel := f.ctx()
	defer cancel()
	if _, err := f.client().Run(ctx, upgrade.StartOptions{}); err != nil {
		f.t.Fatalf("start: %v\n%s", err, f.story())
	}
	f.logf("started")
}
