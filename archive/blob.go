package archive

import (
	"hash"
	"io"
	"sync"

	"github.com/spf13/afero"
)

// A blobReader reads a blob and, as long as it is read from the start without a
// gap, compares it at the end.
type blobReader struct {
	mu     sync.Mutex // ReadAt of afero's memory files moves their offset
	f      afero.File
	want   Digest
	hash   hash.Hash
	pos    int64 // of the next Read
	hashed int64 // bytes from the start that hash has seen
}

func (b *blobReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.f.Read(p)
	if b.pos == b.hashed {
		b.hash.Write(p[:n])
		b.hashed += int64(n)
	}
	b.pos += int64(n)
	if err == io.EOF && b.pos == b.hashed {
		if mismatch := compare(b.want, digestOfSum(b.hash.Sum(nil))); mismatch != nil {
			err = mismatch
		}
	}
	return n, err
}

func (b *blobReader) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pos, err := b.f.Seek(offset, whence)
	if err != nil {
		return pos, err
	}
	if b.pos = pos; pos == 0 {
		b.hash.Reset()
		b.hashed = 0
	}
	return pos, nil
}

func (b *blobReader) ReadAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.f.ReadAt(p, off)
}

func (b *blobReader) Close() error { return b.f.Close() }
