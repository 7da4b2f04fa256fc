package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A copyJob is one file to be made.
type copyJob struct {
	to   string         // a name that is free
	from io.Reader      // the content
	size int64          // bytes that must come from it
	want archive.Digest // of them; any if ""
	like string         // whose mode, owner, attributes and capabilities it gets
}

// make makes a file that is complete and durable, its name excepted. After an
// error it is gone again.
func (s *swap) make(ctx context.Context, j copyJob) (_ durable.Info, err error) {
	like, err := s.fs.Open(j.like)
	if err != nil {
		return durable.Info{}, err
	}
	defer like.Close()
	f, err := s.fs.Create(j.to)
	if err != nil {
		return durable.Info{}, err
	}
	open := true
	defer func() {
		if err == nil {
			return
		}
		if open {
			f.Close()
		}
		if rerr := s.remove(j.to); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}()
	if err = f.Allocate(j.size); err != nil {
		return durable.Info{}, err
	}
	digest, err := pump(ctx, f, j.from, j.size)
	if err != nil {
		return durable.Info{}, err
	}
	if j.want != "" && digest != j.want {
		return durable.Info{}, fmt.Errorf("%s instead of %s: %w", digest, j.want, archive.ErrDigest)
	}
	if err = s.dress(f, like, j.like); err != nil {
		return durable.Info{}, err
	}
	// Last, because a change of owner or content would drop them.
	if err = s.copier.Copy(ctx, j.to, j.like); err != nil {
		return durable.Info{}, err
	}
	if err = f.Sync(); err != nil {
		return durable.Info{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return durable.Info{}, err
	}
	open = false
	if err = f.Close(); err != nil {
		return durable.Info{}, err
	}
	awaitForks()
	return info, nil
}

// awaitForks is called between closing a program that was written and starting
// it. A child that was being forked has a copy of the descriptor until it execs,
// and a file open for writing cannot be started (golang.org/issue/22315).
func awaitForks() {
	syscall.ForkLock.Lock()
	//lint:ignore SA2001 waiting is all it is for
	syscall.ForkLock.Unlock()
}

const (
	chunkSize = 256 << 10
	chunks    = 4
)

// pump copies exactly size bytes and returns their digest. Hashing runs beside
// reading and writing, a few chunks behind.
func pump(ctx context.Context, dst io.Writer, src io.Reader, size int64) (archive.Digest, error) {
	free := make(chan []byte, chunks)
	for range chunks {
		free <- nil
	}
	todo := make(chan []byte, chunks)
	sum := make(chan string, 1)
	go func() {
		h := sha256.New()
		for p := range todo {
			h.Write(p)
			free <- p[:cap(p)]
		}
		sum <- hex.EncodeToString(h.Sum(nil))
	}()
	err := func() error {
		defer close(todo)
		for left := size; left > 0; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p := <-free
			if p == nil {
				p = make([]byte, min(chunkSize, size))
			}
			p = p[:min(int64(cap(p)), left)]
			if _, err := io.ReadFull(src, p); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return fmt.Errorf("read, %d bytes short: %w", left, err)
			}
			todo <- p
			if n, err := dst.Write(p); err != nil {
				return err
			} else if n < len(p) {
				return io.ErrShortWrite
			}
			left -= int64(len(p))
		}
		var more [1]byte
		switch n, err := io.ReadFull(src, more[:]); {
		case n > 0:
			return fmt.Errorf("more than the %d bytes announced: %w", size, archive.ErrDigest)
		case err != io.EOF:
			return err
		}
		return nil
	}()
	digest := archive.Digest("sha256:" + <-sum)
	return digest, err
}

// digest returns the digest of the file at path, and its Info.
func (s *swap) digest(ctx context.Context, path string) (archive.Digest, durable.Info, error) {
	f, err := s.fs.Open(path)
	if err != nil {
		return "", durable.Info{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", durable.Info{}, err
	}
	d, err := pump(ctx, io.Discard, f, info.Size)
	return d, info, err
}

// sameBytes reports whether two readers yield the same. It stops at the first
// difference, which for two builds of one program comes early.
func sameBytes(ctx context.Context, a, b io.Reader) (bool, error) {
	pa, pb := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		na, erra := io.ReadFull(a, pa)
		nb, errb := io.ReadFull(b, pb)
		if string(pa[:na]) != string(pb[:nb]) {
			return false, nil
		}
		for _, err := range []error{erra, errb} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		if erra != nil || errb != nil {
			return (erra != nil) == (errb != nil), nil
		}
	}
}
