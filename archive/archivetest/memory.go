package archivetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"

	"github.com/leaderlast/leaderlast/archive"
)

// Memory is an archive.Store in memory, and the smallest correct one: read it
// before writing another. The zero Memory is empty and ready.
type Memory struct {
	mu    sync.Mutex
	blobs map[archive.Digest][]byte
}

var _ archive.Store = (*Memory)(nil)

// Put implements archive.Store.
func (m *Memory) Put(ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
	b, err := readAll(ctx, r)
	if err != nil {
		return "", fmt.Errorf("archivetest: put: %w", err)
	}
	got := archive.DigestOf(b)
	if want != "" && want != got {
		return "", fmt.Errorf("archivetest: put %s: have %s: %w", want, got, archive.ErrDigest)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blobs == nil {
		m.blobs = make(map[archive.Digest][]byte)
	}
	m.blobs[got] = b
	return got, nil
}

// readAll reads r to the end, or until ctx is done.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	var all bytes.Buffer
	p := make([]byte, 64<<10)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		n, err := r.Read(p)
		all.Write(p[:n])
		if err == io.EOF {
			return all.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Open implements archive.Store. Bytes are compared by Put, and do not rot here.
func (m *Memory) Open(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[d]
	if !ok {
		return nil, 0, fmt.Errorf("archivetest: open %s: %w", d, fs.ErrNotExist)
	}
	return readSeekCloser{bytes.NewReader(b)}, int64(len(b)), nil
}

type readSeekCloser struct{ *bytes.Reader }

func (readSeekCloser) Close() error { return nil }

// Delete implements archive.Store.
func (m *Memory) Delete(ctx context.Context, d archive.Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, d)
	return nil
}

// List implements archive.Store.
func (m *Memory) List(ctx context.Context) iter.Seq2[archive.Info, error] {
	return func(yield func(archive.Info, error) bool) {
		m.mu.Lock()
		var all []archive.Info
		for d, b := range m.blobs {
			all = append(all, archive.Info{Digest: d, Size: int64(len(b))})
		}
		m.mu.Unlock()
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}
