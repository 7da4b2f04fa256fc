package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/leaderlast/leaderlast/archive"
)

func TestMemory(t *testing.T) {
	TestStore(t, func(*testing.T) archive.Store { return &Memory{} })
}

// broken is a Memory with some of its methods replaced.
type broken struct {
	Memory
	put    func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error)
	open   func(m *Memory, ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error)
	delete func(m *Memory, ctx context.Context, d archive.Digest) error
	list   func(m *Memory, ctx context.Context) iter.Seq2[archive.Info, error]
}

func (b *broken) Put(ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
	if b.put != nil {
		return b.put(&b.Memory, ctx, want, r)
	}
	return b.Memory.Put(ctx, want, r)
}

func (b *broken) Open(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	if b.open != nil {
		return b.open(&b.Memory, ctx, d)
	}
	return b.Memory.Open(ctx, d)
}

func (b *broken) Delete(ctx context.Context, d archive.Digest) error {
	if b.delete != nil {
		return b.delete(&b.Memory, ctx, d)
	}
	return b.Memory.Delete(ctx, d)
}

func (b *broken) List(ctx context.Context) iter.Seq2[archive.Info, error] {
	if b.list != nil {
		return b.list(&b.Memory, ctx)
	}
	return b.Memory.List(ctx)
}

// reader is what a broken store opens.
type reader struct {
	read func(p []byte) (int, error)
	seek func(offset int64, whence int) (int64, error)
}

func (r reader) Read(p []byte) (int, error)                { return r.read(p) }
func (r reader) Seek(off int64, whence int) (int64, error) { return r.seek(off, whence) }
func (r reader) Close() error                              { return nil }

// brokenStores returns, for each clause, a store that breaks it alone.
func brokenStores() map[string]func() archive.Store {
	return map[string]func() archive.Store{
		"RoundTrip": func() archive.Store {
			return &broken{open: func(m *Memory, ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
				r, n, err := m.Open(ctx, d)
				return r, n + 1, err
			}}
		},
		"UnknownDigest": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				_, err := m.Put(ctx, want, r)
				return want, err
			}}
		},
		"Empty": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				if want == archive.DigestOf(nil) {
					return "", errors.New("nothing to store")
				}
				return m.Put(ctx, want, r)
			}}
		},
		"Large": func() archive.Store {
			return &broken{open: func(m *Memory, ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
				r, n, err := m.Open(ctx, d)
				if n <= 2<<20 || err != nil {
					return r, n, err
				}
				l := io.LimitReader(r, 2<<20)
				return reader{l.Read, r.Seek}, n, nil
			}}
		},
		"DataWithEOF": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				return m.Put(ctx, want, reader{read: func(p []byte) (int, error) {
					n, err := r.Read(p)
					if err == io.EOF {
						n = 0
					}
					return n, err
				}})
			}}
		},
		"Missing": func() archive.Store {
			return &broken{open: func(m *Memory, ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
				r, n, err := m.Open(ctx, d)
				if err != nil {
					err = errors.New("no such blob")
				}
				return r, n, err
			}}
		},
		"NotADigest": func() archive.Store {
			return &broken{delete: func(m *Memory, ctx context.Context, d archive.Digest) error {
				if !d.Valid() {
					return fs.ErrInvalid
				}
				return m.Delete(ctx, d)
			}}
		},
		"Mismatch": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				d, err := m.Put(ctx, want, r)
				if errors.Is(err, archive.ErrDigest) {
					err = errors.New("wrong bytes")
				}
				return d, err
			}}
		},
		"MismatchLeavesNothing": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				d, err := m.Put(ctx, "", r)
				if err == nil && want != "" && d != want {
					return "", archive.ErrDigest
				}
				return d, err
			}}
		},
		"ReadError": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				d, err := m.Put(ctx, want, r)
				if err != nil && !errors.Is(err, archive.ErrDigest) {
					err = fmt.Errorf("put: %v", err)
				}
				return d, err
			}}
		},
		"ReadErrorLeavesNothing": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				var seen bytes.Buffer
				d, err := m.Put(ctx, want, io.TeeReader(r, &seen))
				if errors.Is(err, errBreak) {
					m.Put(ctx, "", &seen)
				}
				return d, err
			}}
		},
		"Cancelled": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				return m.Put(context.WithoutCancel(ctx), want, r)
			}}
		},
		"FailedPutKeeps": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				d, err := m.Put(ctx, want, r)
				if err != nil {
					m.Delete(ctx, want)
				}
				return d, err
			}}
		},
		"PutTwice": func() archive.Store {
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				_, concurrent := r.(*meeting) // or PutConcurrently would notice too
				if _, _, err := m.Open(ctx, want); err == nil && !concurrent {
					return "", fs.ErrExist
				}
				return m.Put(ctx, want, r)
			}}
		},
		"PutConcurrently": func() archive.Store {
			var at atomic.Int32
			return &broken{put: func(m *Memory, ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
				defer at.Add(-1)
				if at.Add(1) > 1 {
					return "", errors.New("busy")
				}
				return m.Put(ctx, want, r)
			}}
		},
		"Delete": func() archive.Store {
			return &broken{delete: func(*Memory, context.Context, archive.Digest) error { return nil }}
		},
		"DeleteTwice": func() archive.Store {
			return &broken{delete: func(m *Memory, ctx context.Context, d archive.Digest) error {
				if _, _, err := m.Open(ctx, d); err != nil && d.Valid() {
					return err
				}
				return m.Delete(ctx, d)
			}}
		},
		"DeleteUnderReader": func() archive.Store {
			return &broken{open: func(m *Memory, ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
				r, n, err := m.Open(ctx, d)
				if err != nil {
					return nil, 0, err
				}
				return reader{func(p []byte) (int, error) {
					if _, _, err := m.Open(ctx, d); err != nil {
						return 0, err
					}
					return r.Read(p)
				}, r.Seek}, n, nil
			}}
		},
		"Seek": func() archive.Store {
			return &broken{open: func(m *Memory, ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
				r, n, err := m.Open(ctx, d)
				if err != nil {
					return nil, 0, err
				}
				return reader{r.Read, func(int64, int) (int64, error) { return 0, errors.ErrUnsupported }}, n, nil
			}}
		},
		"ReadersApart": func() archive.Store {
			open := make(map[archive.Digest]io.ReadSeekCloser)
			return &broken{open: func(m *Memory, ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
				r, n, err := m.Open(ctx, d)
				if err != nil {
					return nil, 0, err
				}
				if open[d] == nil {
					open[d] = r
				}
				return open[d], n, nil
			}}
		},
		"List": func() archive.Store {
			return &broken{list: func(m *Memory, ctx context.Context) iter.Seq2[archive.Info, error] {
				return func(yield func(archive.Info, error) bool) {
					for info, err := range m.List(ctx) {
						info.Size = 0
						if !yield(info, err) {
							return
						}
					}
				}
			}}
		},
		"ListStops": func() archive.Store {
			return &broken{list: func(m *Memory, ctx context.Context) iter.Seq2[archive.Info, error] {
				return func(yield func(archive.Info, error) bool) {
					for info, err := range m.List(ctx) {
						yield(info, err)
					}
				}
			}}
		},
	}
}

// Each clause must be broken by its store, and by no other.
func TestClauses(t *testing.T) {
	stores := brokenStores()
	for name, newStore := range stores {
		t.Run(name, func(t *testing.T) {
			found := false
			for _, c := range clauses {
				// In a bubble, so that stores that take one Put at a time cost no time.
				var err error
				synctest.Test(t, func(t *testing.T) { err = c.check(t.Context(), newStore()) })
				switch {
				case c.name == name:
					found = true
					if err == nil {
						t.Errorf("the clause does not notice the store that breaks it")
					}
				case err != nil:
					t.Errorf("the clause %s notices it too: %v", c.name, err)
				}
			}
			if !found {
				t.Errorf("there is no such clause")
			}
		})
	}
	for _, c := range clauses {
		if stores[c.name] == nil {
			t.Errorf("no store breaks the clause %s", c.name)
		}
	}
}
