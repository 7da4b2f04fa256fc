package upgrade

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
)

const (
	pullPause    = 50 * time.Millisecond // after the first trouble with a holder, then ever more
	pullPauseMax = 5 * time.Second
	pullNote     = 3 * time.Second // without a byte until others are told of it
)

// A puller reads the archive of a run from whoever holds it: where one stops, it
// goes on at the same place with another. It ends with an error only when ctx is
// done. What it reads is compared with nothing.
type puller struct {
	ctx  context.Context
	o    *Orchestrator
	run  tracking.Run
	note func(reason, text string)

	off  int64
	from string // whose body it is
	body io.ReadCloser
	gave map[string]bool // who gave part of it

	known map[string]*holder // what is known of the members that were asked
	since time.Time          // without a byte
	rand  *rand.Rand         // so that not all members do the same

	members int // of the cluster
}

// A holder is a member that may give the archive.
type holder struct {
	fails   int
	after   time.Time // not to be asked before
	suspect int       // how often it had part in wrong bytes
}

func (p *puller) Read(b []byte) (int, error) {
	for {
		left := p.run.Archive.Size - p.off
		if left <= 0 {
			p.drop()
			return 0, io.EOF
		}
		if p.body == nil {
			if err := p.open(); err != nil {
				return 0, err
			}
		}
		n, err := p.body.Read(b[:min(int64(len(b)), left)])
		if n > 0 {
			p.off += int64(n)
			p.gave[p.from] = true
			p.since = time.Now()
			p.of(p.from).fails = 0
		}
		if err != nil && p.off < p.run.Archive.Size {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			p.o.c.Logger.Info("archive: goes on elsewhere", "run", p.run.ID, "from", p.from, "offset", p.off, "error", err)
			p.failed(p.from, err)
			p.drop()
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (p *puller) drop() {
	if p.body != nil {
		p.body.Close()
		p.body = nil
	}
}

// again begins from the start; wrong says that the bytes were.
func (p *puller) again(wrong bool) {
	p.drop()
	for id := range p.gave {
		if wrong {
			h := p.of(id)
			h.suspect++
			p.failed(id, archive.ErrDigest)
		}
	}
	p.off, p.gave = 0, map[string]bool{}
}

func (p *puller) of(id string) *holder {
	if p.known[id] == nil {
		p.known[id] = &holder{}
	}
	return p.known[id]
}

// failed notes that the member does not give the archive now. It returns false
// if that is nothing to worry about.
func (p *puller) failed(id string, err error) bool {
	h := p.of(id)
	var no *Refusal
	if errors.As(err, &no) && no.Kind == Busy {
		// Not earlier than it says, and not all at once.
		h.after = no.Until.Add(p.some(pullPause))
		return false
	}
	wait := min(pullPause<<min(h.fails, 10), pullPauseMax)
	h.fails++
	h.after = time.Now().Add(wait/2 + p.some(wait/2))
	return true
}

// open asks holders until one gives the archive at off.
func (p *puller) open() error {
	var trouble error
	for {
		_, place, err := p.o.c.Tracking.Wait(p.ctx, "")
		var holders []cluster.Member
		if err == nil {
			holders, err = p.holders()
		}
		if err != nil {
			trouble = err
		}
		next := time.Now().Add(pullPauseMax)
		for _, m := range holders {
			h := p.of(string(m.ID))
			if time.Now().Before(h.after) {
				next = earlier(next, h.after)
				continue
			}
			body, err := p.o.peers.blob(p.ctx, m, archive.Digest(p.run.Archive.Digest), p.off, p.run.Archive.Size)
			if err == nil {
				p.body, p.from = body, string(m.ID)
				p.o.c.Logger.Info("archive: fetches", "run", p.run.ID, "from", m.ID, "offset", p.off, "bytes", p.run.Archive.Size)
				return nil
			}
			if p.ctx.Err() != nil {
				return context.Cause(p.ctx)
			}
			if p.failed(string(m.ID), err) {
				trouble = err
			}
			next = earlier(next, h.after)
		}
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		if len(holders) == 0 && err == nil {
			trouble = errors.New("no member says that it holds it")
		}
		if time.Since(p.since) >= pullNote && trouble != nil {
			p.tell(trouble)
		}
		p.pause(place, next)
	}
}

// tell says what the trouble is, for others to see.
func (p *puller) tell(trouble error) {
	reason := "HoldersDoNotAnswer"
	var no *Refusal
	if errors.As(trouble, &no) {
		reason = no.Reason
	}
	p.note(reason, "does not get the archive: "+trouble.Error())
}

// pause waits until next, or until the record changes: others may hold the
// archive by then. In a large cluster that happens all the time, and each look
// costs, so it waits a moment in any case.
func (p *puller) pause(place tracking.Revision, next time.Time) {
	sleep(p.ctx, min(time.Duration(1+p.members)*time.Millisecond, time.Second))
	ctx, cancel := context.WithDeadline(p.ctx, next)
	defer cancel()
	if place == "" {
		<-ctx.Done()
		return
	}
	if _, _, err := p.o.c.Tracking.Wait(ctx, place); err != nil {
		<-ctx.Done()
	}
}

// holders returns the members that should have the archive, in the order in
// which to ask them.
func (p *puller) holders() ([]cluster.Member, error) {
	members, err := p.o.c.Cluster.Members(p.ctx)
	if err != nil {
		return nil, err
	}
	v := view{run: p.run}
	uploader := v.uploader() // it holds the archive before it says so
	p.members = len(members)
	var found []cluster.Member
	for _, m := range members {
		if string(m.ID) == p.o.self {
			continue
		}
		data, _, err := p.o.c.Tracking.Load(p.ctx, tracking.KeyMember+string(m.ID))
		if err != nil {
			return nil, err
		}
		r, err := tracking.DecodeReport(data)
		if err != nil {
			return nil, err
		}
		if v.holds(r) || string(m.ID) == uploader {
			found = append(found, m)
		}
	}
	p.rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	slices.SortStableFunc(found, func(a, b cluster.Member) int {
		return p.of(string(a.ID)).suspect - p.of(string(b.ID)).suspect
	})
	return found, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// suspects names the members that gave what is now known to be wrong.
func (p *puller) suspects() string {
	var ids []string
	for id := range p.gave {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// some returns a part of d.
func (p *puller) some(d time.Duration) time.Duration {
	return time.Duration(p.rand.Int64N(int64(d)))
}

// pull gets the archive into the store, however long that takes. It returns an
// error only when ctx is done.
func (o *Orchestrator) pull(ctx context.Context, run tracking.Run, note func(reason, text string)) error {
	p := &puller{ctx: ctx, o: o, run: run, note: note, gave: map[string]bool{}, known: map[string]*holder{}, since: time.Now()}
	// Drawn from who this is and when it began: a simulation can repeat it.
	p.rand = rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(o.self))), uint64(o.c.Started.At.UnixNano())))
	defer p.drop()
	for {
		err := o.room(run.Archive.Size)
		if err == nil {
			_, err = o.c.Archives.Put(ctx, archive.Digest(run.Archive.Digest), p)
		}
		wait := time.Duration(0)
		var no *Refusal
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, archive.ErrDigest):
			note("WrongBytes", fmt.Sprintf("got other bytes than those of the archive from %s; tries again", p.suspects()))
			p.again(true)
			continue
		case errors.As(err, &no):
		default:
			errors.As(refuseUpload(err), &no)
		}
		note(no.Reason, "cannot keep the archive: "+err.Error())
		wait = pullPauseMax/2 + p.some(pullPauseMax/2)
		p.again(false)
		sleep(ctx, wait)
	}
}

// room says whether there is room for an archive of size bytes.
func (o *Orchestrator) room(size int64) error {
	if o.c.StoreDir == "" {
		return nil
	}
	f := roomFor(size, 2, o.c.StoreDir)
	if f.result != Fail {
		return nil
	}
	return &Refusal{Kind: NoSpace, Reason: "NoSpace", Member: o.self, Message: f.title + " " + f.seen, Remedy: f.fix.Text}
}
