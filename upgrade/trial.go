package upgrade

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
)

// A trial is the time of a new program from its start until it is confirmed.
type trial struct {
	over chan struct{}
	once sync.Once

	mu    sync.Mutex
	host  *Orchestrator // nil before New
	ran   bool          // Run was called: it does not hang before that
	heard time.Time     // when the record could be read last
	well  time.Time     // since when the program is well; zero while it is not
	ill   string        // what is wrong with it, as the end of a sentence

	shut    time.Time // since when it is out of a cluster that it can reach; zero while it is not
	shutWhy string    // the end of a sentence

	lasted bool      // the count of this start was taken back
	noted  time.Time // until when the journal knows how this start was

	failed error  // why it could not be put back; nil once it was told
	stuck  string // why it is no good, and left in place; the end of a sentence
}

func newTrial() *trial { return &trial{over: make(chan struct{})} }

// end ends the trial: nobody puts this program back any more.
func (t *trial) end() { t.once.Do(func() { close(t.over) }) }

func (t *trial) runs() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ran = true
}

// reached notes that the record could be read.
func (t *trial) reached(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard, t.shut = now, time.Time{}
}

// judged notes how the program is; "" is well.
func (t *trial) judged(now time.Time, trouble string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case trouble != "":
		t.well, t.ill = time.Time{}, trouble
	case t.well.IsZero():
		t.well = now
	}
}

// outOfReach is how long the record may be silent before it counts as out of
// reach: longer than an election.
const outOfReach = 30 * time.Second

// verdict says what is wrong with a program that is not confirmed when its time
// is up; "" if it is left alone: it is well, and waits for others; or it has lost
// contact, which is no reason to put it back. It is one that others answer and it
// cannot take part.
func (t *trial) verdict(g guard, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	patience := min(outOfReach, g.Confirm/2)
	switch {
	case !t.ran:
		return fmt.Sprintf("did not come to serve within %v", g.Confirm)
	case now.Sub(t.heard) > patience && !t.shut.IsZero() && now.Sub(t.shut) > patience:
		return fmt.Sprintf("%s, %v after its start", t.shutWhy, g.Confirm)
	case now.Sub(t.heard) > patience:
		return ""
	case !t.well.IsZero() && now.Sub(t.well) >= g.MinHealthy:
		return ""
	case t.ill != "":
		return fmt.Sprintf("%s, %v after its start", t.ill, g.Confirm)
	}
	return fmt.Sprintf("was not well for %v within %v of its start", g.MinHealthy, g.Confirm)
}

// watch ends with the trial. A start that has lasted is not counted, and a
// program that is not confirmed in time is put back, out of this process.
func (s *Started) watch(g guard) {
	lasts, confirm := time.NewTimer(g.Lasts), time.NewTimer(g.Confirm)
	defer lasts.Stop()
	defer confirm.Stop()
	for {
		select {
		case <-s.trial.over:
			return
		case <-s.process.Gone:
			return
		case <-lasts.C:
			s.lives()
			lasts.Reset(g.Lasts)
		case <-confirm.C:
			why, j := s.trial.verdict(g, time.Now()), s.ledger.now()
			leaves := why != "" && !j.NoWayBack
			if leaves && !s.waitedFor(j) { // else that one looks
				if err := s.returnable(context.Background()); err != nil {
					leaves = false
					s.trial.stick(fmt.Sprintf("%s, and is left in place: %v", why, err))
				}
			}
			if !leaves {
				s.life.say(wordWaits)
				confirm.Reset(max(g.Confirm/10, time.Second))
				continue
			}
			if err := s.putBack(why); err != nil {
				s.trial.fail(err)
			}
			return
		}
	}
}

// fail keeps what the guard could not do for whoever logs.
func (t *trial) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = err
}

// failure returns what fail was told, once.
func (t *trial) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.failed
	t.failed = nil
	return err
}

// AskedToEnd says that the server ends because somebody asked it to, as by
// SIGTERM: this start does not count as one that did not last, however short it
// was. Without it a program that is stopped soon after each start, as many times
// as Config.StartLimit, is put back. Do not call it for a server that ends
// because of an error. It may be called more than once. AskedToEndBy calls it.
func (s *Started) AskedToEnd() {
	s.life.over()
	if s.UpgradedFrom == "" {
		return
	}
	s.trial.end()
	s.lives()
}

// AskedToEndBy calls AskedToEnd as soon as ctx is done: one that ends when somebody
// asks the server to, as that of signal.NotifyContext. Defer the function that it
// returns. If ctx is done by then, that one returns after AskedToEnd, so that the
// process does not end before the word is given; otherwise the server ends for a
// reason of its own, and ctx counts no more.
func (s *Started) AskedToEndBy(ctx context.Context) (stop func()) {
	asked := make(chan struct{})
	unheard := context.AfterFunc(ctx, func() {
		defer close(asked)
		s.AskedToEnd()
	})
	return sync.OnceFunc(func() {
		switch {
		case !unheard():
			<-asked
		case ctx.Err() != nil: // only just: nobody was told yet
			s.AskedToEnd()
		}
	})
}

// tendTrial tells the trial what this look has found, and ends it where the run
// that it belongs to waits for it no more: what the record says of this member
// then stays so.
func (o *Orchestrator) tendTrial(v view) {
	s := o.c.Started
	if s.UpgradedFrom == "" { // not on trial: nobody need wait for it
		select {
		case <-s.trial.over:
		default:
			o.confirmed()
		}
		return
	}
	s.trial.reached(time.Now())
	if err := s.trial.failure(); err != nil {
		o.c.Logger.Error("put the program from before back", "error", err)
	}
	j := s.ledger.now()
	if j.Confirmed || j.Phase != phaseReplacing && j.Phase != phaseRunning {
		return
	}
	if j.Run == v.run.ID && v.run.Status == tracking.Working && v.run.Turn(o.self) != nil {
		return
	}
	if err := o.journalize(func(j *journal) { j.Phase, j.Confirmed = phaseRunning, true }); err != nil {
		o.c.Logger.Warn("write the journal", "error", err)
		return
	}
	o.confirmed()
}
