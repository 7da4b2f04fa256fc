package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

const (
	slotPatience = time.Second // of a member that waits for a slot
	slotRetry    = time.Second // after that
)

// PeerBlob opens the archive d for another member, and returns its size. Only
// the archive that the record names is given out. At most Config.UploadSlots are
// open at once; who waits too long for one gets a *Refusal of kind Busy, and
// tries another member. The caller must close the reader.
func (o *Orchestrator) PeerBlob(ctx context.Context, d archive.Digest) (r io.ReadSeekCloser, size int64, err error) {
	run, err := o.Record(ctx)
	if err != nil {
		return nil, 0, err
	}
	if run.Archive.Digest == "" || string(d) != run.Archive.Digest {
		return nil, 0, &Refusal{Kind: NotFound, Reason: "NotOnRecord", Member: o.self,
			Message: "the record names no such archive", Remedy: "look at the record again"}
	}
	wait := time.NewTimer(slotPatience)
	defer wait.Stop()
	select {
	case o.serving <- struct{}{}:
	case <-wait.C:
		return nil, 0, &Refusal{Kind: Busy, Reason: "SlotsTaken", Member: o.self, Until: time.Now().Add(slotRetry),
			Message: fmt.Sprintf("%d members are fetching from %s already", o.c.UploadSlots, o.self), Remedy: "ask another member, or this one later"}
	case <-ctx.Done():
		return nil, 0, unavailable(context.Cause(ctx))
	}
	free := sync.OnceFunc(func() { <-o.serving })
	r, size, err = o.c.Archives.Open(ctx, d)
	switch {
	case err == nil:
		return &givenOut{r, free}, size, nil
	case errors.Is(err, fs.ErrNotExist):
		err = &Refusal{Kind: NotFound, Reason: "NotHeld", Member: o.self, Message: o.self + " does not hold the archive", Remedy: "ask another member"}
	default:
		err = &Refusal{Kind: Unavailable, Reason: "StoreFailed", Member: o.self, Err: err, Message: "the archive cannot be read on " + o.self, Remedy: "ask another member"}
	}
	free()
	return nil, 0, err
}

// givenOut is an archive that another member fetches.
type givenOut struct {
	io.ReadSeekCloser
	free func()
}

func (g *givenOut) Close() error {
	defer g.free()
	return g.ReadSeekCloser.Close()
}
