package upgrade_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A removal while members fetch ends that, and leaves nothing anywhere.
func TestRemovedMeanwhile(t *testing.T) {
	c := newCrowd(t, "m1", "m2", "m3")
	arrived := make(chan struct{}, 8)
	c.members["m3"].wire.set(nil, func(r *http.Request, resp *http.Response) {
		if isBlob(r) {
			resp.Body = &gated{resp.Body, nil, r.Context()}
			arrived <- struct{}{}
		}
	})
	staged := make(chan error, 1)
	p := c.release("1.1.0", 1<<20)
	go func() { _, err := c.stage("m1", p); staged <- err }()
	<-arrived
	if err := c.members["m2"].Unstage(t.Context(), upgrade.UnstageOptions{}); err != nil {
		t.Fatal(err)
	}
	refusal(t, <-staged, upgrade.Conflict, "Unstaged")
	c.emptyEverywhere()
}

// A member that was away when the archive was removed removes its copy when it
// comes back.
func TestAwayAtTheRemoval(t *testing.T) {
	c := newCrowd(t, "m1", "m2", "m3")
	p := c.release("1.1.0", 1<<20)
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	m := c.members["m3"]
	m.stop()
	if err := c.members["m1"].Unstage(t.Context(), upgrade.UnstageOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.holds("m3", p); err != nil {
		t.Fatalf("it was not away: %v", err)
	}
	c.boot(m)
	c.emptyEverywhere()
}

// What comes into the store after it was swept is swept as well: the bytes of an
// archive that was on its way, and what was unpacked from one, when it is removed.
func TestRemovedWhileItIsWritten(t *testing.T) {
	for _, what := range []string{"archive", "component"} {
		t.Run(what, func(t *testing.T) {
			arrived, written := make(chan struct{}), make(chan struct{})
			slow := &tardy{
				open:    make(chan struct{}),
				arrived: sync.OnceFunc(func() { close(arrived) }), written: sync.OnceFunc(func() { close(written) }),
			}
			c := crowdWith(t, func(id string, c *upgrade.Config) {
				if id == "m2" {
					slow.Store = c.Archives
					c.Archives = slow
				}
			}, "m1", "m2")
			// Of a tar everything is unpacked from one opening, so it can be removed meanwhile.
			p := archivetest.Release(t, archivetest.Spec{Product: "kvd", Program: "kvd", Version: "1.1.0", Key: c.key, Format: archive.TarGzip})
			slow.holdsUp = func(d archive.Digest) bool {
				if what == "archive" {
					return d == p.Digest
				}
				return d != p.Digest && d != p.Release().Sums // these are put before that opening
			}
			staged := make(chan error, 1)
			go func() { _, err := c.stage("m1", p); staged <- err }()
			<-arrived
			if err := c.members["m2"].Unstage(t.Context(), upgrade.UnstageOptions{}); err != nil {
				t.Fatal(err)
			}
			c.emptyEverywhere() // m2 has swept
			close(slow.open)
			refusal(t, <-staged, upgrade.Conflict, "Unstaged")
			<-written
			c.emptyEverywhere()
		})
	}
}

// tardy is a store that has taken in the blobs that holdsUp is true of, and writes
// them once it may, whatever has become of the caller since.
type tardy struct {
	archive.Store
	holdsUp func(archive.Digest) bool
	open    chan struct{}

	arrived, written func()
}

func (s *tardy) Put(ctx context.Context, want archive.Digest, r io.Reader) (archive.Digest, error) {
	if !s.holdsUp(want) {
		return s.Store.Put(ctx, want, r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	s.arrived()
	<-s.open
	defer s.written()
	return s.Store.Put(context.WithoutCancel(ctx), want, bytes.NewReader(b))
}

// emptyEverywhere waits until nothing is left in any store.
func (c *crowd) emptyEverywhere() {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // a store tells nobody of a removal
		left := ""
		for id := range c.members {
			if !c.empty(id) {
				left += " " + id
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("something is left in the stores of%s", left)
		}
	}
}
