package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

// BenchmarkPrepareCommit100MB swaps two programs of 100 MB, durably, on the disk
// of the temporary directory.
func BenchmarkPrepareCommit100MB(b *testing.B) {
	const size = 100 << 20
	dir := b.TempDir()
	var files [2]archive.File
	for i := range files {
		h := sha256.New()
		f, err := os.Create(filepath.Join(dir, []string{"a", "b"}[i]))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(rand.NewChaCha8([32]byte{byte(i)}), int64(size+i)))
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		files[i] = archive.File{Name: f.Name(), Size: n, Digest: archive.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))}
	}
	open := func(_ context.Context, name string) (io.ReadSeekCloser, int64, error) {
		f, err := os.Open(name)
		return f, size, err
	}
	if err := os.WriteFile(filepath.Join(dir, "server"), []byte("old"), 0o755); err != nil {
		b.Fatal(err)
	}
	p, err := ProgramAt(filepath.Join(dir, "server"))
	if err != nil {
		b.Fatal(err)
	}
	e := &Executable{Program: p}
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := e.prepare(b.Context(), map[string]archive.File{"server": files[i%2]}, open); err != nil {
			b.Fatal(err)
		}
		if err := e.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
