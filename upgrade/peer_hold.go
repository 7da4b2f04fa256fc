package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// fetched is how the release of a run comes to this member.
type fetched struct {
	pull *pull // under way, nil if there is none

	// Of the run with this id alone:
	run    string
	lacks  *tracking.Lack // what keeps it from being held
	runs   bool           // this member runs it, and holds it for that
	lost   bool           // it was not in the store
	rotten int            // how often its bytes in the store were wrong
}

// A pull is the way of one archive from other members to this one.
type pull struct {
	run    string
	cancel context.CancelFunc
	done   chan struct{}
}

func (f *fetched) view(l *local, r tracking.Run) {
	l.pulling = f.pull != nil
	if f.run != r.ID {
		return
	}
	if f.runs && l.holds != r.Archive.Sums {
		l.holds = r.Archive.Sums
	}
	l.lost, l.lacks = f.lost, f.lacks
}

// of makes f about run.
func (f *fetched) of(run string) *fetched {
	if f.run != run {
		*f = fetched{run: run, pull: f.pull}
	}
	return f
}

// hold verifies the release of the run here, whoever else did, and has it
// fetched from other members if it is not here.
func (o *Orchestrator) hold(ctx context.Context, v view) error {
	got, err := archive.Check(ctx, o.c.Archives, archive.Digest(v.run.Archive.Digest), o.policy())
	if err == nil && string(got.Release().Sums) != v.run.Archive.Sums {
		err = &archive.Error{Reason: archive.DigestMismatch, Detail: "the archive in the store is not the release of this run"}
	}
	var bad *archive.Error
	rotten := false
	if !v.alone() && (errors.As(err, &bad) || errors.Is(err, archive.ErrDigest)) {
		// Is it the archive, or the disk it lies on?
		rotten = errors.Is(o.read(ctx, v.run), archive.ErrDigest)
	}
	o.remember(func(m *memory) {
		m.sweptFor = "" // the record may have changed, and what was unpacked be named by nobody
		f := m.fetched.of(v.run.ID)
		switch {
		case err == nil:
			m.verified, f.lacks, f.lost = got, nil, false
		case errors.Is(err, fs.ErrNotExist):
			f.lost = true
		case rotten:
			f.rotten++
			rotten = f.rotten < maxRotten
		}
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case !v.alone() && errors.Is(err, fs.ErrNotExist):
		o.beginPull(ctx, v.run)
		return nil
	case rotten:
		if err := o.c.Archives.Delete(ctx, archive.Digest(v.run.Archive.Digest)); err != nil {
			return fmt.Errorf("upgrade: remove a damaged archive: %w", err)
		}
		return nil // the next look fetches it
	case !errors.As(err, &bad) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, archive.ErrDigest): // may pass
		var no *Refusal
		errors.As(refuseUpload(err), &no)
		o.note(v.run.ID, no.Reason, "cannot unpack the archive: "+err.Error(), false)
		return fmt.Errorf("upgrade: get the release: %w", err)
	}
	return o.refuses(ctx, v, err)
}

// maxRotten is how often an archive that rotted in the store is fetched anew.
const maxRotten = 3

// read reads the archive of r from the store, for its digest to be compared.
func (o *Orchestrator) read(ctx context.Context, r tracking.Run) error {
	src, _, err := o.c.Archives.Open(ctx, archive.Digest(r.Archive.Digest))
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = io.Copy(io.Discard, src)
	return err
}

// refuses draws the consequences from an archive that is not taken here.
func (o *Orchestrator) refuses(ctx context.Context, v view, why error) error {
	reason, text := "ArchiveLost", "does not have the release: "+why.Error()
	if t := v.run.Turn(o.self); t != nil {
		return o.swapView(ctx, v, v.failTurn(*t, reason, text))
	}
	if v.alone() {
		return o.swapView(ctx, v, v.failRun(v.next(), o.self, reason, o.self+" "+text))
	}
	if o.runsIt(ctx, v) {
		o.remember(func(m *memory) {
			m.fetched.of(v.run.ID).runs = true
			m.checked = map[string]tracking.Checked{v.run.ID: {Run: v.run.ID, Target: v.local.program}}
		})
		return nil
	}
	var bad *archive.Error
	if errors.As(why, &bad) {
		reason, text = bad.Reason, "does not take the release: "+why.Error()
	}
	o.note(v.run.ID, reason, text, true)
	o.remember(func(m *memory) { // and ends a run that works
		m.checked = map[string]tracking.Checked{v.run.ID: {Run: v.run.ID, Reason: reason, Text: text}}
	})
	return nil
}

// runsIt reports whether this member runs the program that the archive has for
// it. Then nothing of it will be installed here, and whom it was signed by does
// not matter: the program that came with it may trust other keys.
func (o *Orchestrator) runsIt(ctx context.Context, v view) bool {
	r, size, err := o.c.Archives.Open(ctx, archive.Digest(v.run.Archive.Digest))
	if err != nil {
		return false
	}
	defer r.Close()
	head, err := archive.ReadHead(seekingAt{r}, size)
	if err != nil || string(archive.DigestOf(head.Sums)) != v.run.Archive.Sums {
		return false
	}
	p := o.policy()
	p.Keys, p.Threshold, p.AllowUnsigned, p.Floor = nil, 0, true, 0
	rel, err := p.CheckHead(head)
	if err != nil {
		return false
	}
	return string(rel.For(o.c.Started.Platform())[o.c.Started.Program.Base()].Digest) == v.local.program
}

// seekingAt is an io.ReaderAt for one reader at a time.
type seekingAt struct{ r io.ReadSeeker }

func (s seekingAt) ReadAt(p []byte, off int64) (int, error) {
	if _, err := s.r.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// note says what keeps the release of run from being held here.
func (o *Orchestrator) note(run, reason, text string, refused bool) {
	changed := false
	o.remember(func(m *memory) {
		f := m.fetched.of(run)
		changed = f.lacks == nil || f.lacks.Reason != reason
		f.lost = f.lost || refused
		f.lacks = &tracking.Lack{Run: run, Reason: reason, Text: text, Refused: refused}
	})
	if changed {
		o.c.Logger.Warn("release not held", "run", run, "reason", reason, "text", text)
		o.wake()
	}
}

// beginPull has the archive of r fetched, in the background: meanwhile this
// member hears of everything else.
func (o *Orchestrator) beginPull(ctx context.Context, r tracking.Run) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pull{run: r.ID, cancel: cancel, done: make(chan struct{})}
	o.remember(func(m *memory) { m.fetched.pull = p })
	go func() {
		defer close(p.done)
		defer cancel()
		note := func(reason, text string) {
			if ctx.Err() == nil {
				o.note(r.ID, reason, text, false)
			}
		}
		if err := o.pull(ctx, r, note); err == nil {
			o.c.Logger.Info("archive: fetched", "run", r.ID, "digest", r.Archive.Digest)
		}
		o.remember(func(m *memory) {
			m.fetched.pull = nil
			m.sweptFor = "" // the record may not name it any more
		})
		o.wake()
	}()
}

// tendPull ends a pull for another run than r.
func (o *Orchestrator) tendPull(r tracking.Run) {
	o.remember(func(m *memory) {
		if p := m.fetched.pull; p != nil && (p.run != r.ID || r.Status == tracking.None) {
			p.cancel()
		}
	})
}

// endPull ends what is under way, and waits for that.
func (o *Orchestrator) endPull() {
	var p *pull
	o.remember(func(m *memory) { p = m.fetched.pull })
	if p != nil {
		p.cancel()
		<-p.done
	}
}
