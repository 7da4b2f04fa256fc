package archivetest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/leaderlast/leaderlast/archive"
)

// An Op is a kind of call to a Store.
type Op string

// Ops. A read is not one call of Read but all of one reader.
const (
	Put    Op = "put"
	Open   Op = "open"
	Read   Op = "read"
	Delete Op = "delete"
	List   Op = "list"
)

// A Fault makes one call fail.
type Fault struct {
	Op  Op
	Nth int   // of the calls of this Op, counted from 1; 0 for all of them
	Err error // what the call returns

	// After is how many bytes a Put takes from its reader, and a Read yields,
	// before it fails.
	After int64

	// Done makes the call before it reports Err, as if only the answer had been
	// lost. Of a Read it means nothing.
	Done bool
}

// Faulty is a Store whose calls fail as told, and otherwise are those of the
// Store it wraps. It is safe for concurrent use if that is.
type Faulty struct {
	store  archive.Store
	faults []Fault

	mu    sync.Mutex
	calls map[Op]int
}

var _ archive.Store = (*Faulty)(nil)

// NewFaulty returns s with faults.
func NewFaulty(s archive.Store, faults ...Fault) *Faulty {
	return &Faulty{store: s, faults: faults, calls: make(map[Op]int)}
}

// Calls returns how many calls of op there were, failed ones included. Failing
// the first, the second and so on until a run has fewer calls visits every
// place where a caller can meet an error.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// next counts a call, and returns the fault it has to have.
func (f *Faulty) next(op Op) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	for _, fault := range f.faults {
		if fault.Op == op && (fault.Nth == 0 || fault.Nth == f.calls[op]) {
			return fault, true
		}
	}
	return Fault{}, false
}

// Put implements archive.Store.
func (f *Faulty) Put(ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
	fault, fails := f.next(Put)
	switch {
	case !fails:
		return f.store.Put(ctx, want, r)
	case fault.Done:
		if _, err := f.store.Put(ctx, want, r); err != nil {
			return "", err
		}
	default:
		if _, err := io.CopyN(io.Discard, r, fault.After); err != nil && err != io.EOF {
			return "", err
		}
	}
	return "", fmt.Errorf("archivetest: put %s: %w", want, fault.Err)
}

// Open implements archive.Store.
func (f *Faulty) Open(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	if fault, fails := f.next(Open); fails {
		return nil, 0, fmt.Errorf("archivetest: open %s: %w", d, fault.Err)
	}
	r, size, err := f.store.Open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	if fault, fails := f.next(Read); fails {
		r = &faultyReader{ReadSeekCloser: r, left: fault.After, err: fault.Err}
	}
	return r, size, nil
}

// A faultyReader counts the bytes it yields, wherever they are from.
type faultyReader struct {
	io.ReadSeekCloser
	left int64
	err  error
}

func (r *faultyReader) Read(p []byte) (int, error) {
	if r.left == 0 && len(p) > 0 {
		return 0, fmt.Errorf("archivetest: read: %w", r.err)
	}
	n, err := r.ReadSeekCloser.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// Delete implements archive.Store.
func (f *Faulty) Delete(ctx context.Context, d archive.Digest) error {
	fault, fails := f.next(Delete)
	if !fails || fault.Done {
		if err := f.store.Delete(ctx, d); err != nil || !fails {
			return err
		}
	}
	return fmt.Errorf("archivetest: delete %s: %w", d, fault.Err)
}

// List implements archive.Store.
func (f *Faulty) List(ctx context.Context) iter.Seq2[archive.Info, error] {
	if fault, fails := f.next(List); fails {
		return func(yield func(archive.Info, error) bool) {
			yield(archive.Info{}, fmt.Errorf("archivetest: list: %w", fault.Err))
		}
	}
	return f.store.List(ctx)
}
