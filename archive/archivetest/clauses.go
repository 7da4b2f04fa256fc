package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leaderlast/leaderlast/archive"
)

var clauses = []clause{
	{"RoundTrip", "Open returns the blob named d, and its size in bytes",
		func(ctx context.Context, s archive.Store) error {
			b := blob("round trip", 1000)
			if err := put(ctx, s, b); err != nil {
				return err
			}
			r, size, err := s.Open(ctx, archive.DigestOf(b))
			if err != nil {
				return err
			}
			defer r.Close()
			if size != int64(len(b)) {
				return fmt.Errorf("Open gives the size %d of %d bytes", size, len(b))
			}
			return sameBytes(r, b)
		}},
	{"UnknownDigest", "Put stores what it reads from r to the end, and returns its digest",
		func(ctx context.Context, s archive.Store) error {
			b := blob("unknown digest", 1000)
			d, err := s.Put(ctx, "", bytes.NewReader(b))
			if err != nil {
				return err
			}
			if d != archive.DigestOf(b) {
				return fmt.Errorf("Put without a digest returns %q", d)
			}
			return has(ctx, s, b)
		}},
	{"Empty", "a blob of no bytes is a blob",
		func(ctx context.Context, s archive.Store) error {
			if err := put(ctx, s, nil); err != nil {
				return err
			}
			return has(ctx, s, nil)
		}},
	{"Large", "Put stores what it reads from r to the end",
		func(ctx context.Context, s archive.Store) error {
			b := blob("large", 3<<20+1)
			if err := put(ctx, s, b); err != nil {
				return err
			}
			return has(ctx, s, b)
		}},
	{"DataWithEOF", "r may return bytes together with io.EOF, as io.Reader permits",
		func(ctx context.Context, s archive.Store) error {
			b := blob("data with EOF", 1000)
			if _, err := s.Put(ctx, archive.DigestOf(b), iotest.DataErrReader(bytes.NewReader(b))); err != nil {
				return err
			}
			return has(ctx, s, b)
		}},
	{"Missing", "if there is no such blob, the error wraps fs.ErrNotExist",
		func(ctx context.Context, s archive.Store) error {
			_, _, err := s.Open(ctx, archive.DigestOf([]byte("missing")))
			if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("Open of a blob that was never stored returns %v", err)
			}
			return nil
		}},
	{"NotADigest", "what is not a digest names no blob",
		func(ctx context.Context, s archive.Store) error {
			for _, d := range []archive.Digest{"", "sha256:", "../../secret", "sha256:../../../../secret"} {
				if r, _, err := s.Open(ctx, d); err == nil {
					r.Close()
					return fmt.Errorf("Open(%q) succeeds", d)
				}
				if err := s.Delete(ctx, d); err != nil {
					return fmt.Errorf("Delete(%q) returns %v", d, err)
				}
			}
			return nil
		}},
	{"Mismatch", "if want is not zero, and the bytes do not hash to it, the error wraps ErrDigest",
		func(ctx context.Context, s archive.Store) error {
			want := archive.DigestOf([]byte("something else"))
			if _, err := s.Put(ctx, want, bytes.NewReader(blob("mismatch", 1000))); !errors.Is(err, archive.ErrDigest) {
				return fmt.Errorf("Put of other bytes returns %v", err)
			}
			return nil
		}},
	{"MismatchLeavesNothing", "when Put returns an error, nothing of what was read can be opened or listed",
		func(ctx context.Context, s archive.Store) error {
			b, want := blob("mismatch leaves nothing", 1000), archive.DigestOf([]byte("something else"))
			if _, err := s.Put(ctx, want, bytes.NewReader(b)); err == nil {
				return errors.New("Put of other bytes succeeds")
			}
			return hasNothing(ctx, s, want, archive.DigestOf(b))
		}},
	{"ReadError", "when Put returns an error, it wraps that of r",
		func(ctx context.Context, s archive.Store) error {
			b := blob("read error", 1000)
			if _, err := s.Put(ctx, archive.DigestOf(b), breaking(b[:500])); !errors.Is(err, errBreak) {
				return fmt.Errorf("Put returns %v when r fails with %v", err, errBreak)
			}
			return nil
		}},
	{"ReadErrorLeavesNothing", "when Put returns an error, nothing of what was read can be opened or listed",
		func(ctx context.Context, s archive.Store) error {
			b := blob("read error leaves nothing", 1000)
			for _, want := range []archive.Digest{"", archive.DigestOf(b), archive.DigestOf(b[:500])} {
				if _, err := s.Put(ctx, want, breaking(b[:500])); err == nil {
					return errors.New("Put succeeds though r fails")
				}
			}
			return hasNothing(ctx, s, archive.DigestOf(b), archive.DigestOf(b[:500]))
		}},
	{"Cancelled", "implementations must return promptly once ctx is done",
		func(ctx context.Context, s archive.Store) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			r := &cancelling{cancel: cancel, left: 64 << 20}
			if _, err := s.Put(ctx, "", r); err == nil || r.left == 0 {
				return fmt.Errorf("Put goes on reading after ctx is done, and returns %v", err)
			}
			return hasNothing(context.WithoutCancel(ctx), s)
		}},
	{"FailedPutKeeps", "a Put that fails takes nothing away that was there before",
		func(ctx context.Context, s archive.Store) error {
			b := blob("failed put keeps", 1000)
			if err := put(ctx, s, b); err != nil {
				return err
			}
			if _, err := s.Put(ctx, archive.DigestOf(b), breaking(b[:500])); err == nil {
				return errors.New("Put succeeds though r fails")
			}
			return has(ctx, s, b)
		}},
	{"PutTwice", "storing a blob that is already there succeeds",
		func(ctx context.Context, s archive.Store) error {
			b := blob("put twice", 1000)
			for range 2 {
				if err := put(ctx, s, b); err != nil {
					return err
				}
			}
			return has(ctx, s, b)
		}},
	{"PutConcurrently", "implementations must be safe for concurrent use",
		func(ctx context.Context, s archive.Store) error {
			const writers = 8
			b := blob("put concurrently", 1000)
			errs := make(chan error, writers)
			in := make(chan struct{}, writers)
			all := make(chan struct{})
			for range writers {
				go func() {
					_, err := s.Put(ctx, archive.DigestOf(b), &meeting{bytes.NewReader(b), in, all})
					errs <- err
				}()
			}
			// A store that takes one at a time makes the others wait, as it may;
			// then they are not all in a Read at once.
			patience := time.After(time.Second)
			var ended []error
			for waiting := writers; waiting > 0; waiting-- {
				select {
				case <-in:
				case err := <-errs:
					ended = append(ended, err)
				case <-patience:
					waiting = 0
				}
			}
			close(all)
			for len(ended) < writers {
				ended = append(ended, <-errs)
			}
			if err := errors.Join(ended...); err != nil {
				return fmt.Errorf("%d Puts of one blob at once: %w", writers, err)
			}
			return has(ctx, s, b)
		}},
	{"Delete", "Delete removes the blob named d",
		func(ctx context.Context, s archive.Store) error {
			b := blob("delete", 1000)
			if err := put(ctx, s, b); err != nil {
				return err
			}
			if err := s.Delete(ctx, archive.DigestOf(b)); err != nil {
				return err
			}
			return hasNothing(ctx, s, archive.DigestOf(b))
		}},
	{"DeleteTwice", "deleting a blob that is not there succeeds",
		func(ctx context.Context, s archive.Store) error {
			return s.Delete(ctx, archive.DigestOf([]byte("never stored")))
		}},
	{"DeleteUnderReader", "readers that are already open may go on reading it",
		func(ctx context.Context, s archive.Store) error {
			b := blob("delete under reader", 1<<20)
			if err := put(ctx, s, b); err != nil {
				return err
			}
			r, _, err := s.Open(ctx, archive.DigestOf(b))
			if err != nil {
				return err
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
				return err
			}
			if err := s.Delete(ctx, archive.DigestOf(b)); err != nil {
				return err
			}
			return sameBytes(r, b[10:])
		}},
	{"Seek", "Open returns an io.ReadSeekCloser",
		func(ctx context.Context, s archive.Store) error {
			b := blob("seek", 1000)
			if err := put(ctx, s, b); err != nil {
				return err
			}
			r, _, err := s.Open(ctx, archive.DigestOf(b))
			if err != nil {
				return err
			}
			defer r.Close()
			if n, err := r.Seek(-100, io.SeekEnd); err != nil || n != 900 {
				return fmt.Errorf("seeking to 100 before the end of 1000 gives %d, %v", n, err)
			}
			if err := sameBytes(r, b[900:]); err != nil {
				return err
			}
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				return err
			}
			return sameBytes(r, b)
		}},
	{"ReadersApart", "each reader has its own place",
		func(ctx context.Context, s archive.Store) error {
			b := blob("readers apart", 1000)
			if err := put(ctx, s, b); err != nil {
				return err
			}
			r, _, err := s.Open(ctx, archive.DigestOf(b))
			if err != nil {
				return err
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
				return err
			}
			if err := has(ctx, s, b); err != nil {
				return err
			}
			return sameBytes(r, b[10:])
		}},
	{"List", "List yields every blob in the store",
		func(ctx context.Context, s archive.Store) error {
			want := make(map[archive.Digest]int64)
			for i := range 5 {
				b := blob("list", 100+i)
				if err := put(ctx, s, b); err != nil {
					return err
				}
				want[archive.DigestOf(b)] = int64(len(b))
			}
			got, err := list(ctx, s)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("digests and sizes (-want +got):\n%s", diff)
			}
			return nil
		}},
	{"ListStops", "a listing ends when the caller breaks out of it",
		func(ctx context.Context, s archive.Store) error {
			for i := range 3 {
				if err := put(ctx, s, blob("list stops", 100+i)); err != nil {
					return err
				}
			}
			calls := 0
			s.List(ctx)(func(archive.Info, error) bool {
				calls++
				return false
			})
			if calls != 1 {
				return fmt.Errorf("List calls yield %d times, though it returned false the first time", calls)
			}
			return nil
		}},
}
