package tracking

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// ErrLocked is returned by NewFile, possibly wrapped, if the file is in use
// already: by another process, or by a File of this one.
var ErrLocked = errors.New("in use")

// A File is the Store of a single server: one file, replaced durably at every
// Swap. It keeps a copy in memory, so that Load and Wait touch no disk.
//
// Revisions count the swaps of all keys together, in the file: they go on after
// a restart. Copying an older file into place takes them back, and with them
// the promise that none is issued twice.
type File struct {
	path  string
	lock  *os.File
	write func(path string, data []byte, perm fs.FileMode) error // durable.WriteFile, but for tests

	// writing is held while the file is replaced. A channel and not a Mutex, so
	// that whoever waits for it can give up.
	writing chan struct{}

	mu      sync.Mutex    // never held during I/O
	doc     document      // what the file holds; its map is never changed in place
	changed chan struct{} // closed at the next change
	broken  error         // why the File can no longer be used
}

// Load implements Store.
func (f *File) Load(ctx context.Context, key string) ([]byte, Revision, error) {
	if ctx.Err() != nil {
		return nil, "", fmt.Errorf("tracking: load %s: %w", key, context.Cause(ctx))
	}
	if err := Check(key, nil); err != nil {
		return nil, "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, "", fmt.Errorf("tracking: load %s from %s: %w", key, f.path, f.broken)
	}
	e, found := f.doc.Keys[key]
	if !found {
		return nil, "", nil
	}
	return bytes.Clone(e.value), revision(e.rev), nil
}

// Swap implements Store. When ctx is done while the file is being written, the
// error wraps its cause and the write goes on.
//
// After an error of the disk that left the file as it was, such as a full disk,
// the File can be used on. After one that leaves it unknown what a crash would
// bring back, every call fails until the file is opened anew.
func (f *File) Swap(ctx context.Context, key string, old Revision, value []byte) (Revision, error) {
	if ctx.Err() != nil {
		return "", fmt.Errorf("tracking: swap %s: %w", key, context.Cause(ctx))
	}
	if err := Check(key, value); err != nil {
		return "", err
	}
	select {
	case f.writing <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("tracking: swap %s: %w", key, context.Cause(ctx))
	}
	type result struct {
		rev Revision
		err error
	}
	done := make(chan result, 1)
	value = append([]byte{}, value...)
	go func() {
		rev, err := f.swap(key, old, value)
		<-f.writing
		if err != nil {
			err = fmt.Errorf("tracking: swap %s in %s: %w", key, f.path, err)
		}
		done <- result{rev, err}
	}()
	select {
	case r := <-done:
		return r.rev, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("tracking: swap %s in %s: still being written: %w", key, f.path, context.Cause(ctx))
	}
}

// swap needs f.writing.
func (f *File) swap(key string, old Revision, value []byte) (Revision, error) {
	f.mu.Lock()
	doc, err := f.doc, f.broken
	f.mu.Unlock()
	if err != nil {
		return "", err
	}
	var current Revision
	if e, found := doc.Keys[key]; found {
		current = revision(e.rev)
	}
	if current != old {
		return "", fmt.Errorf("revision %q, not %q: %w", current, old, ErrConflict)
	}
	next := document{Counter: doc.Counter + 1, Keys: maps.Clone(doc.Keys)}
	if next.Keys == nil {
		next.Keys = map[string]entry{}
	}
	next.Keys[key] = entry{rev: next.Counter, value: value}
	data, err := next.encode()
	if err != nil {
		return "", err
	}
	if err := f.write(f.path, data, 0o600); err != nil {
		return "", f.failed(doc, err)
	}
	f.mu.Lock()
	f.doc = next
	f.wake()
	f.mu.Unlock()
	return revision(next.Counter), nil
}

// failed finds out what a failed write has left, doc being what was there
// before. If it is certain that doc is still there, now and after a crash, the
// File goes on. It returns the error to report.
func (f *File) failed(doc document, cause error) error {
	if !errors.Is(cause, durable.ErrUnsynced) {
		now, err := readDocument(f.path)
		if err == nil && now.equal(doc) {
			return fmt.Errorf("nothing has changed: %w", cause)
		}
		cause = errors.Join(cause, err)
	}
	err := fmt.Errorf("it is not known which value a crash would bring back; see to the disk, then restart the program: %w", cause)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = err
	f.wake()
	return err
}

// Wait implements Store.
func (f *File) Wait(ctx context.Context, since Revision) ([]string, Revision, error) {
	for {
		if ctx.Err() != nil {
			return nil, "", fmt.Errorf("tracking: wait: %w", context.Cause(ctx))
		}
		f.mu.Lock()
		doc, changed, broken := f.doc, f.changed, f.broken
		f.mu.Unlock()
		if broken != nil {
			return nil, "", fmt.Errorf("tracking: wait for %s: %w", f.path, broken)
		}
		now := revision(doc.Counter)
		seen, err := strconv.ParseUint(string(since), 10, 64)
		switch {
		case err != nil || seen > doc.Counter:
			return nil, now, nil
		case seen < doc.Counter:
			return doc.after(seen), now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// wake needs f.mu.
func (f *File) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func revision(n uint64) Revision { return Revision(strconv.FormatUint(n, 10)) }

// after returns the keys that have changed after seen, in order.
func (d document) after(seen uint64) []string {
	var keys []string
	for key, e := range d.Keys {
		if e.rev > seen {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
