package trackingtest

import (
	"context"
	"errors"

	"github.com/leaderlast/leaderlast/tracking"
)

// Operations that Faulty names.
const (
	OpLoad = "load"
	OpSwap = "swap"
	OpWait = "wait"
)

// Faulty returns a Store that asks fault before every call of s: whether to
// make the call at all, and the error to report in place of its result. Op is
// one of OpLoad, OpSwap and OpWait; key is "" for a Wait.
//
// A swap that is applied and reports an error is a reply lost on the network,
// the case that code which trusts errors gets wrong. A call that is neither
// made nor has an error to report fails too. Fault must be safe for concurrent
// use; it may wait, for ctx of its own.
func Faulty(s tracking.Store, fault func(op, key string) (apply bool, err error)) tracking.Store {
	return faulty{s, fault}
}

type faulty struct {
	s     tracking.Store
	fault func(op, key string) (bool, error)
}

// ask calls fault, and call if it is to be made; it returns the error to report.
func (f faulty) ask(op, key string, call func() error) error {
	apply, err := f.fault(op, key)
	if apply {
		if e := call(); err == nil {
			return e
		}
	}
	if !apply && err == nil {
		return errors.New("trackingtest: a fault without an error")
	}
	return err
}

func (f faulty) Load(ctx context.Context, key string) (value []byte, rev tracking.Revision, err error) {
	err = f.ask(OpLoad, key, func() (err error) {
		value, rev, err = f.s.Load(ctx, key)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return value, rev, nil
}

func (f faulty) Swap(ctx context.Context, key string, old tracking.Revision, value []byte) (rev tracking.Revision, err error) {
	err = f.ask(OpSwap, key, func() (err error) {
		rev, err = f.s.Swap(ctx, key, old, value)
		return err
	})
	if err != nil {
		return "", err
	}
	return rev, nil
}

func (f faulty) Wait(ctx context.Context, since tracking.Revision) (keys []string, now tracking.Revision, err error) {
	err = f.ask(OpWait, "", func() (err error) {
		keys, now, err = f.s.Wait(ctx, since)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return keys, now, nil
}
