package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	unpackWorkers = 4                // at most; each holds about a megabyte
	undoTime      = 30 * time.Second // for deleting again, whatever became of ctx
)

// An unpacker puts the files of one release into a store.
type unpacker struct {
	store     Store
	archive   Digest
	container container
	release   Release

	mu  sync.Mutex
	put []Digest // by this call, and not there before
}

// unpack stores sums and every file that the store lacks.
func (u *unpacker) unpack(ctx context.Context, sums []byte) error {
	there, err := u.has(ctx, u.release.Sums, int64(len(sums)))
	if err != nil {
		return err
	}
	if !there {
		if err := u.putOne(ctx, u.release.Sums, bytes.NewReader(sums), SumsName); err != nil {
			return err
		}
	}
	lacks := make(map[Digest]File)
	for _, f := range u.release.Files {
		if _, dup := lacks[f.Digest]; dup {
			continue
		}
		there, err := u.has(ctx, f.Digest, f.Size)
		if err != nil {
			return err
		}
		if !there {
			lacks[f.Digest] = f
		}
	}
	return u.run(ctx, u.batches(lacks))
}

// batches divides the work. A zip is read at any place, so each file is a batch
// of its own, the large ones first; a tar has to be read in one go.
func (u *unpacker) batches(lacks map[Digest]File) []map[string]File {
	var files []File
	for _, f := range lacks {
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil
	}
	if _, indexed := u.container.(*zipContainer); !indexed {
		all := make(map[string]File)
		for _, f := range files {
			all[f.Name] = f
		}
		return []map[string]File{all}
	}
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	var batches []map[string]File
	for _, f := range files {
		batches = append(batches, map[string]File{f.Name: f})
	}
	return batches
}

// run unpacks the batches with a few workers, and returns the first error once
// all have stopped.
func (u *unpacker) run(ctx context.Context, batches []map[string]File) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan map[string]File, len(batches))
	for _, b := range batches {
		queue <- b
	}
	close(queue)
	workers := min(len(batches), unpackWorkers, runtime.GOMAXPROCS(0))
	errs := make(chan error, workers)
	for range workers {
		go func() {
			err := u.work(ctx, queue)
			if err != nil {
				cancel(err)
			}
			errs <- err
		}()
	}
	var first error
	for range workers {
		err := <-errs
		if e, ok := asError(err); ok {
			first = e // says more than that others were cancelled for it
		} else if first == nil {
			first = err
		}
	}
	return first
}

func (u *unpacker) work(ctx context.Context, queue <-chan map[string]File) error {
	src, _, err := openAt(ctx, u.store, u.archive)
	if err != nil {
		return err
	}
	defer src.Close()
	for batch := range queue {
		err := u.container.walk(src, func(e entry) bool { _, ok := batch[e.name]; return ok },
			func(e entry, r io.Reader) error { return u.putOne(ctx, batch[e.name].Digest, r, e.name) })
		if err != nil {
			return err
		}
	}
	return nil
}

// has reports whether the store holds d in full.
func (u *unpacker) has(ctx context.Context, d Digest, size int64) (bool, error) {
	r, have, err := u.store.Open(ctx, d)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return have == size, r.Close()
}

// putOne puts one blob.
func (u *unpacker) putOne(ctx context.Context, d Digest, r io.Reader, name string) error {
	_, err := u.store.Put(ctx, d, r)
	if err == nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.put = append(u.put, d)
		return nil
	}
	if e, ok := asError(err); ok {
		return e
	}
	if errors.Is(err, ErrDigest) {
		return &Error{Reason: DigestMismatch, Name: name, Detail: "is not what " + SumsName + " says", Err: ErrDigest}
	}
	return fmt.Errorf("unpack %s: %w", quoteName(name), err)
}

// undo deletes what was put, and returns why.
func (u *unpacker) undo(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	for _, d := range u.put {
		if err := u.store.Delete(ctx, d); err != nil {
			why = errors.Join(why, fmt.Errorf("what was unpacked is left in the store: %w", err))
		}
	}
	return why
}

// An atReader is an open blob that can be read at any place.
type atReader struct {
	ctx context.Context
	io.Closer

	mu sync.Mutex
	rs io.ReadSeeker
	at io.ReaderAt // rs, if it can do that by itself
}

// openAt opens the blob d for reading at any place, until ctx is done.
func openAt(ctx context.Context, s Opener, d Digest) (*atReader, int64, error) {
	r, size, err := s.Open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	a := &atReader{ctx: ctx, Closer: r, rs: r}
	a.at, _ = r.(io.ReaderAt)
	return a, size, nil
}

func (a *atReader) ReadAt(p []byte, off int64) (int, error) {
	if a.ctx.Err() != nil {
		return 0, context.Cause(a.ctx)
	}
	if a.at != nil {
		return a.at.ReadAt(p, off)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.rs.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(a.rs, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
