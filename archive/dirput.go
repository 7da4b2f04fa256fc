package archive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/afero"
)

const (
	tempPrefix = "put-"
	// Where files cannot be locked, a temporary one that nobody has written to
	// for so long has no writer: an upload that is idle is given up far earlier.
	staleAfter = time.Hour

	createTries = 10
)

// Put implements Store. The content is written once, hashed meanwhile, and held
// in memory only a buffer at a time. ctx is looked at between reads; a Read
// that blocks has to be ended by whoever owns r. If the disk is full the error
// wraps syscall.ENOSPC, and what was written is given back.
func (d *Dir) Put(ctx context.Context, want Digest, r io.Reader) (Digest, error) {
	if want != "" && !want.Valid() {
		return "", fmt.Errorf("archive: put %.80q: not a digest: %w: %w", string(want), fs.ErrInvalid, ErrDigest)
	}
	got, err := d.put(ctx, want, r)
	if err == nil {
		return got, nil
	}
	what := string(want)
	if what == "" {
		what = "blob"
	}
	if noSpace(err) {
		if !errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w: %w", err, syscall.ENOSPC)
		}
		return "", fmt.Errorf("archive: put %s: the disk is full; make room under %s: %w", what, d.path, err)
	}
	return "", fmt.Errorf("archive: put %s: %w", what, err)
}

func (d *Dir) put(ctx context.Context, want Digest, r io.Reader) (got Digest, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	f, temp, locked, err := d.create()
	if err != nil {
		return "", err
	}
	published := false
	defer func() { // also if r panics
		if !published {
			f.Close()
			d.remove(temp)
		}
	}()
	sum, err := copyHashing(ctx, f, r)
	if err != nil {
		return "", err
	}
	got = digestOfSum(sum)
	if want != "" {
		if err := compare(want, got); err != nil {
			return "", err
		}
	}
	// An error of Sync is said once and then forgotten by the kernel: the file
	// is thrown away, never synced again.
	if err := f.Sync(); err != nil {
		return "", err
	}
	if !locked {
		if err := f.Close(); err != nil {
			return "", err
		}
	}
	if err := d.publish(temp, got); err != nil {
		return "", err
	}
	published = true
	if locked {
		f.Close() // held until the name was safe from a Sweep; Sync has said all
	}
	return got, nil
}

// create makes a temporary file and locks it, so that it is known whether its
// writer is alive. A Sweep may come between the two and take the file away.
func (d *Dir) create() (f afero.File, temp string, locked bool, err error) {
	for try := 0; ; try++ {
		var random [16]byte
		rand.Read(random[:])
		temp = filepath.Join(d.tmp(), tempPrefix+hex.EncodeToString(random[:]))
		f, err = d.fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, "", false, err
		}
		locked, held := lock(f)
		if !held {
			if _, err = d.fsys.Stat(temp); err == nil {
				return f, temp, locked, nil
			}
		}
		f.Close()
		d.remove(temp)
		if try == createTries {
			return nil, "", false, fmt.Errorf("%s is swept away each time: %w", temp, fs.ErrNotExist)
		}
	}
}

// publish gives a complete file its name. If that fails the name is not there,
// unless the blob had been there before.
func (d *Dir) publish(temp string, digest Digest) error {
	dir, name := d.blob(digest)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fsys.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	_, missing := d.fsys.Stat(name)
	if err := d.fsys.Rename(temp, name); err != nil {
		return err
	}
	err := d.syncDir(dir)
	if err == nil {
		// Somebody else may have made dir a moment ago without having synced.
		err = d.syncDir(d.blobs())
	}
	if err != nil && missing != nil {
		d.fsys.Remove(name)
	}
	return err
}

func (d *Dir) remove(temp string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fsys.Remove(temp) // Sweep comes later if this fails
}

// syncDir flushes the names in dir, where the system can do that.
func (d *Dir) syncDir(dir string) error {
	f, err := d.fsys.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if runtime.GOOS == "windows" || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// Sweep removes what writers that died have left: temporary files of this
// package that no process has locked or, where files cannot be locked, that are
// unchanged for an hour. NewDir does it too.
func (d *Dir) Sweep(ctx context.Context) error {
	names, err := d.names(d.tmp())
	if err != nil {
		return fmt.Errorf("archive: sweep: %w", err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return fmt.Errorf("archive: sweep: %w", context.Cause(ctx))
		}
		random, ok := strings.CutPrefix(name, tempPrefix)
		if b, err := hex.DecodeString(random); !ok || err != nil || len(b) != 16 {
			continue
		}
		path := filepath.Join(d.tmp(), name)
		info, err := d.fsys.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		err = d.removeStale(path, info)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("archive: sweep: %w", err)
		}
	}
	return nil
}

// removeStale removes a temporary file unless somebody writes to it.
func (d *Dir) removeStale(path string, info fs.FileInfo) error {
	f, err := d.fsys.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // the lock goes after the name
	ok, held := lock(f)
	if held || !ok && time.Since(info.ModTime()) < staleAfter {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fsys.Remove(path)
}

const (
	copyBuffers = 4
	copyBuffer  = 256 << 10
)

// copyHashing copies r to f and returns the SHA-256 of it, hashing one buffer
// while the next is read and written: each costs about as much as the other.
func copyHashing(ctx context.Context, f afero.File, r io.Reader) ([]byte, error) {
	type chunk struct {
		b    []byte
		free chan struct{} // has a value when the hash is done with b
	}
	h := sha256.New()
	full := make(chan chunk, copyBuffers)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c := range full {
			h.Write(c.b)
			c.free <- struct{}{}
		}
	}()
	stop := sync.OnceFunc(func() {
		close(full)
		<-done
	})
	defer stop()
	var ring [copyBuffers]chunk
	for i := 0; ; i = (i + 1) % copyBuffers {
		c := &ring[i]
		if c.free == nil {
			c.b, c.free = make([]byte, copyBuffer), make(chan struct{}, 1)
		} else {
			<-c.free
		}
		n, end := fill(ctx, r, c.b[:copyBuffer])
		if end != nil && end != io.EOF {
			return nil, end
		}
		c.b = c.b[:n]
		full <- *c
		if m, err := f.Write(c.b); err != nil {
			return nil, err
		} else if m < n {
			return nil, io.ErrShortWrite
		}
		if end == io.EOF {
			break
		}
	}
	stop()
	return h.Sum(nil), nil
}

// fill reads until p is full, r ends, or ctx is done.
func fill(ctx context.Context, r io.Reader, p []byte) (n int, err error) {
	for empty := 0; n < len(p); {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
