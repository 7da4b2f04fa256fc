package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/leaderlast/leaderlast/archive"
)

// blob returns n bytes that begin with seed and are unlike those of others.
func blob(seed string, n int) []byte {
	b := make([]byte, 0, n+64)
	for d := archive.DigestOf([]byte(seed)); len(b) < n; d = archive.DigestOf([]byte(d)) {
		b = append(b, d.Hex()...)
	}
	return b[:n]
}

func put(ctx context.Context, s archive.Store, b []byte) error {
	d, err := s.Put(ctx, archive.DigestOf(b), bytes.NewReader(b))
	if err == nil && d != archive.DigestOf(b) {
		err = fmt.Errorf("Put returns the digest %q of another blob", d)
	}
	return err
}

// has reads the blob, and says what is wrong with it.
func has(ctx context.Context, s archive.Store, b []byte) error {
	r, _, err := s.Open(ctx, archive.DigestOf(b))
	if err != nil {
		return err
	}
	defer r.Close()
	return sameBytes(r, b)
}

func sameBytes(r io.Reader, want []byte) error {
	got, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("read %d bytes, which are not the %d expected", len(got), len(want))
	}
	return nil
}

// hasNothing checks that the store is empty, and that none of names is in it.
func hasNothing(ctx context.Context, s archive.Store, names ...archive.Digest) error {
	for _, d := range names {
		if r, _, err := s.Open(ctx, d); err == nil {
			r.Close()
			return fmt.Errorf("%s can be opened", d)
		}
	}
	all, err := list(ctx, s)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return fmt.Errorf("listed in a store that should be empty: %v", all)
	}
	return nil
}

func list(ctx context.Context, s archive.Store) (map[archive.Digest]int64, error) {
	all := make(map[archive.Digest]int64)
	for info, err := range s.List(ctx) {
		if err != nil {
			return nil, err
		}
		if _, dup := all[info.Digest]; dup {
			return nil, fmt.Errorf("%s is listed twice", info.Digest)
		}
		all[info.Digest] = info.Size
	}
	return all, nil
}

var errBreak = errors.New("archivetest: the reader breaks here")

// breaking yields b and then errBreak.
func breaking(b []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(b), &cancelling{fail: errBreak})
}

// cancelling cancels at the first Read, and goes on to yield zeros.
type cancelling struct {
	cancel func()
	left   int64
	fail   error // instead of io.EOF
}

func (c *cancelling) Read(p []byte) (int, error) {
	if c.cancel != nil {
		c.cancel()
	}
	if c.left == 0 && c.fail != nil {
		return 0, c.fail
	}
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), c.left)
	clear(p[:n])
	c.left -= n
	return int(n), nil
}

// meeting holds its first Read until all others have come.
type meeting struct {
	io.Reader
	in  chan<- struct{}
	all <-chan struct{}
}

func (m *meeting) Read(p []byte) (int, error) {
	if m.in != nil {
		m.in <- struct{}{}
		m.in = nil
		<-m.all
	}
	return m.Reader.Read(p)
}
