package upgrade_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// rotten is a store that gives out other bytes than it was given.
type rotten struct {
	archive.Store
	says bool // as a store should that reads its own disk
}

func (s rotten) Open(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	r, size, err := s.Store.Open(ctx, d)
	if err != nil || size < 1<<20 {
		return r, size, err
	}
	b, err := io.ReadAll(r)
	b[len(b)/2] ^= 1
	if s.says {
		return &checked{bytes.NewReader(b), archive.Verify(bytes.NewReader(b), d)}, size, err
	}
	return &checked{raw: bytes.NewReader(b)}, size, err
}

// checked compares what is read from the start to the end, if it is to.
type checked struct {
	raw    *bytes.Reader
	verify io.Reader
}

func (c *checked) Read(p []byte) (int, error) {
	if c.verify != nil {
		return c.verify.Read(p)
	}
	return c.raw.Read(p)
}

func (c *checked) Seek(offset int64, whence int) (int64, error) {
	c.verify = nil
	return c.raw.Seek(offset, whence)
}

func (c *checked) Close() error { return nil }

// Wrong bytes are noticed, said, and not kept; another holder is asked then.
func TestWrongBytes(t *testing.T) {
	bad := make(chan struct{})
	c := crowdWith(t, func(id string, c *upgrade.Config) {
		if id == "m2" {
			c.Archives = turning{c.Archives, bad}
		}
	}, "m1", "m2")
	p := c.release("1.1.0", 2<<20)
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	close(bad)
	m := c.join("m3", false)
	good := make(chan struct{})
	m.wire.set(func(r *http.Request) error {
		if "http://"+r.URL.Host != c.members["m1"].srv.URL {
			return nil
		}
		select {
		case <-good:
			return nil
		default:
			return errors.New("m1 is away")
		}
	}, nil)
	c.boot(m)
	c.until("m3 says that it got wrong bytes", func() bool {
		l := c.report("m3").Lacks
		return l != nil && l.Reason == "WrongBytes" && strings.Contains(l.Text, "m2") && !l.Refused
	})
	close(good)
	c.until("m3 holds the archive", func() bool { return c.report("m3").Holds != "" })
	if err := c.holds("m3", p); err != nil {
		t.Error(err)
	}
	if l := c.report("m3").Lacks; l != nil {
		t.Errorf("still said: %+v", l)
	}
}

// turning rots once bad is closed.
type turning struct {
	archive.Store
	bad <-chan struct{}
}

func (s turning) Open(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	select {
	case <-s.bad:
		return rotten{s.Store, false}.Open(ctx, d)
	default:
		return s.Store.Open(ctx, d)
	}
}

// An archive that rots in the store of a member is fetched anew.
func TestRotsInTheStore(t *testing.T) {
	c := newCrowd(t, "m1", "m2")
	p := c.release("1.1.0", 1<<20)
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	m := c.members["m2"]
	m.stop()
	for info := range m.blobs.List(t.Context()) {
		if info.Digest != p.Digest {
			m.blobs.Delete(t.Context(), info.Digest)
		}
	}
	m.blobs = &healing{rotten{m.blobs, true}, m.blobs, p.Digest, sync.Mutex{}, false}
	c.edit = func(_ string, c *upgrade.Config) {}
	c.boot(m)
	c.until("m2 holds it again", func() bool { r := c.report("m2"); return r.Boot == "m2/2" && r.Holds != "" && len(m.wire.asked()) == 2 })
	if err := c.holds("m2", p); err != nil {
		t.Error(err)
	}
}

// healing is rotten until the archive is deleted.
type healing struct {
	rotten
	well    archive.Store
	archive archive.Digest
	mu      sync.Mutex
	healed  bool
}

func (h *healing) Delete(ctx context.Context, d archive.Digest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.healed = h.healed || d == h.archive
	return h.well.Delete(ctx, d)
}

func (h *healing) Open(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.healed {
		return h.rotten.Open(ctx, d)
	}
	return h.well.Open(ctx, d)
}
