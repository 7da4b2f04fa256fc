package upgrade

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

// unwell is a machine whose new program runs, is on trial, and never gets ready;
// the record is out of its reach while away.
func unwell(t *testing.T, away *atomic.Bool) (*machine, *process) {
	m := newMachine(t)
	m.edit = func(c *Config) {
		if c.Started.Identity.Version != "1.1.0" {
			return
		}
		c.Ready = func(context.Context) error { return errors.New("no licence") }
		c.Tracking = trackingtest.Faulty(c.Tracking, func(string, string) (bool, error) {
			if away.Load() {
				return false, errors.New("no quorum")
			}
			return true, nil
		})
	}
	p := m.boot()
	stage(t, p, "1.1.0")
	if _, err := p.Start(t.Context(), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	q := m.boot()
	time.Sleep(time.Minute)
	synctest.Wait()
	return m, q
}

// Loss of contact is no reason to put a program back; what is wrong with it is
// one again once there is contact.
func TestNotPutBackWithoutContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		m, q := unwell(t, &away)
		away.Store(true)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if m.installed() != "1.1.0" {
			t.Fatal("put back while nobody could have accepted it")
		}
		away.Store(false)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if m.installed() != "1.0.0" {
			t.Error("not put back once there is contact")
		}
		q.dies()
	})
}

// A run that ends settles who is on trial: what its last line says stays so.
func TestNotPutBackAfterTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, q := unwell(t, new(atomic.Bool))
		if err := q.Unstage(t.Context(), UnstageOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		q.dies()
		for range 5 {
			s, err := m.start()
			if err != nil {
				t.Fatal(err)
			}
			s.trial.end() // dead
		}
		if m.installed() != "1.1.0" {
			t.Errorf("installed %s after the run had ended:\n%s", m.installed(), m.transcript())
		}
	})
}

// A program that is confirmed is not put back, nor one that has closed the way.
func TestNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		q := m.boot() // is confirmed
		time.Sleep(time.Hour)
		synctest.Wait()
		q.dies()
		for range 5 {
			m.boot().dies()
		}
		if m.installed() != "1.1.0" {
			t.Errorf("installed %s, a confirmed program was put back", m.installed())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := swapped(t)
		s, err := m.start()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.NoWayBack(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.trial.end()
		for range 5 {
			if s, err = m.start(); err != nil {
				t.Fatal(err)
			}
			s.trial.end()
		}
		if m.installed() != "1.1.0" || !strings.Contains(s.Stuck, "cannot read its data any more") {
			t.Errorf("installed %s: %s", m.installed(), s.Stuck)
		}
		p := m.boot()
		defer p.end()
		r, err := p.endOfRun()
		if err != nil || r.Status != tracking.Failed || r.Reason != "NoWayBack" || !strings.Contains(r.FinalState, "ended 3 times") {
			t.Errorf("%v: the run is %s %s: %s", err, r.Status, r.Reason, r.FinalState)
		}
	})
}
