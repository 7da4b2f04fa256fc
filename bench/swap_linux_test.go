package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/minio/selfupdate"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// jobs names everything that a child can do.
func jobs() map[string]job {
	return map[string]job{
		"swap": swapOurs, "swap-selfupdate": swapSelfupdate,
		"stage": stageOurs, "stage-copy": stageCopy,
		"outage-exec": servePlain,
	}
}

const (
	swapSize  = 100 << 20
	stageSize = 200 << 20
)

// noise is size bytes that do not compress, after a head that passes for a
// program.
func noise(size int64) io.Reader {
	head := []byte("#!/bin/sh\nexit 0\n")
	return io.MultiReader(bytes.NewReader(head), io.LimitReader(rand.NewChaCha8([32]byte{1}), size-int64(len(head))))
}

func writeFile(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// policy takes what pack makes.
func policy() archive.Policy {
	return archive.Policy{
		Product: "app", Program: "app", AllowUnsigned: true,
		Platforms: []archive.Platform{{OS: runtime.GOOS, Arch: runtime.GOARCH}},
	}
}

// pack writes an archive with one program of size bytes, stored.
func pack(path string, size int64) error {
	dir := filepath.Dir(path)
	program := filepath.Join(dir, "program")
	if err := writeFile(program, noise(size)); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = archive.Pack(out, archive.PackConfig{
		Manifest: archive.Manifest{Product: "app", Version: "2", Counter: 2},
		Stored:   true,
		Files:    []archive.PackFile{{Name: "bin/" + runtime.GOOS + "/" + runtime.GOARCH + "/app", Path: program}},
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// BenchmarkSwap replaces a program of 100 MB, fully durable; the yardstick is
// the Apply of minio/selfupdate with its SHA-256 check, which syncs nothing.
func BenchmarkSwap(b *testing.B) {
	release := b.TempDir()
	if err := pack(filepath.Join(release, "app.zip"), swapSize); err != nil {
		b.Fatal(err)
	}
	store, err := archive.OpenDir(filepath.Join(release, "store"))
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(filepath.Join(release, "app.zip"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	d, err := store.Put(b.Context(), "", f)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := archive.Check(b.Context(), store, d, policy()); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(release, "digest"), []byte(d), 0o600); err != nil {
		b.Fatal(err)
	}
	compare(b, "swap", "swap-selfupdate", func(b *testing.B) string {
		path := filepath.Join(release, "installed", "app")
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			b.Fatal(err)
		}
		old := io.MultiReader(bytes.NewReader([]byte("#!/bin/sh\nexit 1\n")), noise(swapSize))
		if err := writeFile(path, old); err != nil {
			b.Fatal(err)
		}
		return release
	})
}

func swapOurs(dir string) (time.Duration, error) {
	ctx := context.Background()
	d, err := os.ReadFile(filepath.Join(dir, "digest"))
	if err != nil {
		return 0, err
	}
	store, err := archive.OpenDir(filepath.Join(dir, "store"))
	if err != nil {
		return 0, err
	}
	rel, err := archive.Check(ctx, store, archive.Digest(d), policy())
	if err != nil {
		return 0, err
	}
	program, err := upgrade.ProgramAt(filepath.Join(dir, "installed", "app"))
	if err != nil {
		return 0, err
	}
	e := upgrade.Executable{Program: program}
	begin := time.Now()
	if _, err := e.Prepare(ctx, rel); err != nil {
		return 0, err
	}
	if err := e.Commit(ctx); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

func swapSelfupdate(dir string) (time.Duration, error) {
	program := filepath.Join(dir, "program")
	h := sha256.New()
	f, err := os.Open(program)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	begin := time.Now()
	err = selfupdate.Apply(f, selfupdate.Options{
		TargetPath: filepath.Join(dir, "installed", "app"), TargetMode: 0o755,
		Checksum: h.Sum(nil), Hash: crypto.SHA256,
	})
	if err != nil {
		return 0, fmt.Errorf("selfupdate: %w", err)
	}
	return time.Since(begin), nil
}

// BenchmarkStage takes an archive of 200 MB, verifies and unpacks it, durably;
// the yardstick writes the same bytes once with an fsync, hashing them.
func BenchmarkStage(b *testing.B) {
	release := b.TempDir()
	if err := pack(filepath.Join(release, "app.zip"), stageSize); err != nil {
		b.Fatal(err)
	}
	compare(b, "stage", "stage-copy", func(b *testing.B) string {
		for _, name := range []string{"store", "copy"} {
			if err := os.RemoveAll(filepath.Join(release, name)); err != nil {
				b.Fatal(err)
			}
		}
		return release
	})
}

func stageOurs(dir string) (time.Duration, error) {
	ctx := context.Background()
	f, err := os.Open(filepath.Join(dir, "app.zip"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	store, err := archive.OpenDir(filepath.Join(dir, "store"))
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	d, err := store.Put(ctx, "", f)
	if err != nil {
		return 0, err
	}
	if _, err := archive.Check(ctx, store, d, policy()); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

func stageCopy(dir string) (time.Duration, error) {
	in, err := os.Open(filepath.Join(dir, "app.zip"))
	if err != nil {
		return 0, err
	}
	defer in.Close()
	begin := time.Now()
	h := sha256.New()
	if err := writeFile(filepath.Join(dir, "copy"), io.TeeReader(in, h)); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}
