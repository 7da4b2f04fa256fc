package upgradetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// wrap puts the simulation between the Orchestrator and everything it calls.
func (p *process) wrap(c *upgrade.Config) {
	w := p.m.w
	c.Tracking = store{p, c.Tracking}
	c.Cluster = membership{p, c.Cluster}
	c.Archives = blobs{p, c.Archives}
	c.Replacer = replacer{p, c.Replacer}
	drain, stop, ready, restart := c.Drain, c.Stop, c.Ready, c.Restart.Restart
	c.Drain = func(ctx context.Context) (func(), error) {
		var undo func()
		err := p.do(ctx, op{what: "drain"}, func() (err error) {
			undo, err = drain(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		p.drained++
		w.disturb(p)
		w.mu.Unlock()
		return func() { // called while the Orchestrator is busy: it does not wait
			w.mu.Lock()
			p.drained--
			w.mu.Unlock()
			if undo != nil {
				undo()
			}
		}, nil
	}
	c.Stop = func(ctx context.Context) error {
		return p.do(ctx, op{what: "stop"}, func() error { return stop(ctx) })
	}
	c.Restart.Restart = func(ctx context.Context, path string) error {
		return p.do(ctx, op{what: "exec"}, func() error {
			if err := restart(ctx, path); err != nil {
				return err
			}
			w.mu.Lock()
			p.die("restarts")
			w.superviseLocked(p.m)
			w.mu.Unlock()
			return nil
		})
	}
	c.Ready = func(ctx context.Context) error {
		err := ready(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		if p.m.unready {
			err = errors.New("overloaded")
		}
		switch {
		case err != nil:
			p.notReady()
		case p.readyAt.IsZero():
			p.readyAt = time.Now()
		}
		return err
	}
}

// A store is the record as one process reaches it.
type store struct {
	p *process
	s tracking.Store
}

func (s store) Load(ctx context.Context, key string) (value []byte, rev tracking.Revision, err error) {
	err = s.p.do(ctx, op{what: "load", key: key}, func() (err error) {
		value, rev, err = s.s.Load(ctx, key)
		if err == nil {
			s.p.m.w.loaded(ctx, s.p, key, value)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return value, rev, nil
}

func (s store) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (rev tracking.Revision, err error) {
	err = s.p.do(ctx, op{what: "swap", key: key}, func() (err error) {
		rev, err = s.s.Swap(ctx, key, old, value)
		s.p.m.w.swapped(s.p, key, value, err)
		return err
	})
	if err != nil {
		return "", err
	}
	return rev, nil
}

func (s store) Wait(ctx context.Context, since tracking.Revision) (keys []string, now tracking.Revision, err error) {
	var begun, ended int // steps
	err = s.p.do(ctx, op{what: "wait", soft: true}, func() (err error) {
		begun = s.p.m.w.stepsDone()
		keys, now, err = s.s.Wait(ctx, since)
		ended = s.p.m.w.stepsDone()
		return err
	})
	if err == nil && ended != begun {
		// One change wakes all that wait. They go on one at a time, as a process
		// in which two of them met would take the one or the other way by chance.
		err = s.p.do(ctx, op{what: "woken", soft: true}, func() error { return nil })
	}
	if err != nil {
		return nil, "", err
	}
	return keys, now, nil
}

// A membership is the cluster as one process sees it.
type membership struct {
	p *process
	c cluster.Membership
}

func (m membership) Self() cluster.MemberID { return m.c.Self() }

func (m membership) Members(ctx context.Context) (all []cluster.Member, err error) {
	err = m.p.do(ctx, op{what: "members"}, func() (err error) {
		all, err = m.c.Members(ctx)
		if err == nil {
			m.p.m.w.sawMembers(ctx, m.p, all)
		}
		return err
	})
	return all, err
}

func (m membership) Sync(ctx context.Context) error {
	err := m.p.do(ctx, op{what: "sync"}, func() error { return m.c.Sync(ctx) })
	m.p.m.w.mu.Lock()
	defer m.p.m.w.mu.Unlock()
	if err != nil {
		m.p.notReady()
	}
	m.p.everSynced = m.p.everSynced || err == nil
	return err
}

// notReady ends the time for which the process was ready.
func (p *process) notReady() {
	p.longest, p.readyAt = p.wasReady(), time.Time{}
}

func (m membership) TransferLeadership(ctx context.Context, to cluster.MemberID) error {
	return m.p.do(ctx, op{what: "transfer", key: string(to)}, func() error {
		return m.p.m.w.hand(m.p, string(to), func() error { return m.c.TransferLeadership(ctx, to) })
	})
}

// Blobs are the archives of one machine.
type blobs struct {
	p *process
	s archive.Store
}

func (b blobs) Put(ctx context.Context, want archive.Digest, r io.Reader) (d archive.Digest, err error) {
	err = b.p.do(ctx, op{what: "put", key: short(want), soft: true}, func() (err error) {
		d, err = b.s.Put(ctx, want, r)
		return err
	})
	return d, err
}

func (b blobs) Open(ctx context.Context, d archive.Digest) (r io.ReadSeekCloser, size int64, err error) {
	err = b.p.do(ctx, op{what: "open", key: short(d), soft: true}, func() (err error) {
		r, size, err = b.s.Open(ctx, d)
		return err
	})
	return r, size, err
}

func (b blobs) Delete(ctx context.Context, d archive.Digest) error {
	return b.p.do(ctx, op{what: "delete", key: string(d)}, func() error { return b.s.Delete(ctx, d) })
}

// List is in order, so that a seed repeats what is done with it.
func (b blobs) List(ctx context.Context) iter.Seq2[archive.Info, error] {
	return func(yield func(archive.Info, error) bool) {
		var all []archive.Info
		for info, err := range b.s.List(ctx) {
			if err != nil {
				yield(info, err)
				return
			}
			all = append(all, info)
		}
		slices.SortFunc(all, func(a, b archive.Info) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func short(d archive.Digest) string { return string(d[:min(len(d), 15)]) }

// A replacer is the files of one machine as one process changes them.
type replacer struct {
	p *process
	r upgrade.Replacer
}

func (r replacer) Prepare(ctx context.Context, v archive.Verified) (prepared upgrade.Prepared, err error) {
	// Its caller holds what other calls of the process wait for; so a process
	// that dies here comes back with an error, after which nothing is done.
	err = r.p.do(ctx, op{what: "prepare", soft: true}, func() (err error) {
		prepared, err = r.r.Prepare(ctx, v)
		return err
	})
	return prepared, err
}

func (r replacer) PrepareBack(ctx context.Context) (prepared upgrade.Prepared, err error) {
	err = r.p.do(ctx, op{what: "prepare", key: "back", soft: true}, func() (err error) {
		prepared, err = r.r.PrepareBack(ctx)
		return err
	})
	return prepared, err
}

func (r replacer) Forget(ctx context.Context) error {
	return r.p.do(ctx, op{what: "forget"}, func() error { return r.r.Forget(ctx) })
}

func (r replacer) Commit(ctx context.Context) error {
	return r.p.do(ctx, op{what: "commit"}, func() error { return r.r.Commit(ctx) })
}

func (r replacer) Discard(ctx context.Context) error {
	return r.p.do(ctx, op{what: "discard"}, func() error { return r.r.Discard(ctx) })
}

func (r replacer) Restore(ctx context.Context) error {
	return r.p.do(ctx, op{what: "restore"}, func() error { return r.r.Restore(ctx) })
}
