package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

// An Orchestrator takes the part of one member in the upgrades of its cluster.
// Every member runs one. They never command each other: each reads the shared
// record, computes what is next by the same function, and does only what it has
// won by a swap of the record.
type Orchestrator struct {
	c    Config
	self string

	uploads chan struct{} // held by the one upload
	starts  chan struct{} // held by the one Start
	beside  chan struct{} // held while files beside the program are tried or prepared
	poke    chan struct{} // something local changed: look again
	begun   chan struct{} // closed when Run begins
	ended   chan struct{} // closed when Run returns
	leaves  chan struct{} // closed when the program is put back from within: Run takes no more part
	parked  chan struct{} // closed when it does not
	dead    chan error    // why Run returns then
	local   chan *memory  // this process's own state; taken while used

	peers   peers
	hook    chan *readiness // what the host's Ready hook said last; taken while used
	serving chan struct{}   // held for each archive that another member fetches
}

// memory is what one process knows and the record does not. A crash may lose it.
type memory struct {
	lock     *programLock                // on the program file; nil if it could not be had
	program  archive.Digest              // that runs
	verified archive.Verified            // release that was checked here
	checked  map[string]tracking.Checked // by run
	tidied   bool                        // what earlier processes left beside the program is gone
	sweptFor string                      // state of the record that the store was swept for
	forgot   string                      // commit that was heard of here, and of which the host has been told

	fetched fetched // how the release comes here
	leader  leader  // as last seen

	wrote    tracking.Run // as this process has written it last
	wroteRev tracking.Revision

	report    tracking.Report // likewise
	reportRev tracking.Revision

	undo     func() // of Drain; nil unless drained
	drained  bool
	nonce    string
	asked    time.Time // before the question; its monotonic and wall clock both count
	graceEnd time.Time
	graceFor string // run and attempt it belongs to

	fixed      bool // leadership cannot be handed over, says the backend
	handovers  int  // tries to hand it over
	refused    string
	handoverAt time.Time // not before

	seen      time.Time        // when the record could be read last
	unreached bool             // it could not be since
	budgets   map[string]since // of turns, by member
	steady    map[string]since // good evidence, by member
	back      map[string]since // return with another program than that of the turn, by member
}

// A since tells since when something has been the same.
type since struct {
	what string
	at   time.Time
}

// New returns an Orchestrator, or an error that names what c lacks.
func New(c Config) (*Orchestrator, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	c.Started.whole()
	if c.Replacer == nil {
		c.Replacer = alone{&Executable{
			Program: c.Started.Program, Platform: c.Started.Platform(),
			Companions: c.Companions, Copier: c.Capabilities,
		}, c.Started.files}
	}
	o := &Orchestrator{
		c: c, self: string(c.Cluster.Self()),
		uploads: make(chan struct{}, 1), starts: make(chan struct{}, 1), beside: make(chan struct{}, 1),
		poke: make(chan struct{}, 1), local: make(chan *memory, 1),
		begun: make(chan struct{}), ended: make(chan struct{}),
		leaves: make(chan struct{}), parked: make(chan struct{}), dead: make(chan error, 1),
	}
	o.peers = newPeers(c.PeerClient, c.PeerPath)
	o.hook, o.serving = make(chan *readiness, 1), make(chan struct{}, c.UploadSlots)
	o.hook <- &readiness{}
	o.local <- &memory{
		checked: map[string]tracking.Checked{},
		budgets: map[string]since{}, steady: map[string]since{}, back: map[string]since{},
	}
	c.Started.trial.hosted(o)
	return o, nil
}

// remember runs f with the memory of this process, alone.
func (o *Orchestrator) remember(f func(m *memory)) {
	m := <-o.local
	defer func() { o.local <- m }()
	f(m)
}

// Run takes the local member's part until ctx is done, and then returns nil; or
// until the process is being restarted by somebody else, and then waits for ctx
// as well. It returns an error only when the server cannot go on as it is: its
// Stop was called, and neither the new program nor the old one could be started.
// Call it once.
func (o *Orchestrator) Run(ctx context.Context) error {
	o.c.Logger.Info("started", "product", o.c.Started.Identity.Product, "version", o.c.Started.Identity.Version,
		"program", o.c.Started.Program.Path, "boot", o.c.Started.BootID, "upgraded_from", o.c.Started.UpgradedFrom)
	if s := o.c.Started; s.PutBackFrom != "" {
		o.c.Logger.Warn("this program was put back", "in_place_of", s.PutBackFrom, "which", s.PutBackWhy)
	} else if s.Stuck != "" {
		o.c.Logger.Error("this program is no good and could not be put back", "which", s.Stuck)
	}
	if o.c.AllowUnsigned {
		o.c.Logger.Warn("unsigned archives are allowed", "until", "a signed release was installed")
	}
	if err := o.c.Started.told(); err != nil {
		o.c.Logger.Warn("note that this program was put back: the next start is told again", "error", err)
	}
	release := o.holdProgram()
	defer release()
	o.c.Started.trial.runs()
	defer o.c.Started.trial.end()
	defer o.endPull()
	close(o.begun)
	defer close(o.ended)
	o.sweepLeftovers()
	whole := ctx
	ctx, cancel := context.WithCancel(whole)
	defer cancel()
	go func() {
		select {
		case <-o.leaves:
			cancel()
		case <-ctx.Done():
		}
	}()
	seen := newRecord()
	pause := time.Duration(0) // after an error
	for ctx.Err() == nil {
		err := o.place(ctx, seen)
		if err == nil {
			select {
			case <-o.poke: // what it was about is looked at now
			default:
			}
			var wait time.Duration
			if wait, err = o.turnOnce(ctx, seen); err == nil {
				pause = 0
				o.await(ctx, seen, wait)
				continue
			}
		}
		seen.forget()
		var dead *deadError
		if errors.As(err, &dead) {
			return fmt.Errorf("upgrade: %w", err)
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, tracking.ErrConflict) {
			continue // somebody was faster: look again
		}
		o.letIn() // clients do not wait for our troubles
		o.remember(func(m *memory) { m.unreached = true })
		o.tendContact(ctx, err)
		pause = min(max(2*pause, 50*time.Millisecond), 5*time.Second)
		o.c.Logger.Warn("looks again", "after", pause, "error", err)
		sleep(ctx, pause)
	}
	if err := o.park(whole); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	o.letIn()
	return nil
}

// runPatience is how long a request waits for Run: a server may begin to serve a
// moment earlier.
const runPatience = 2 * time.Second

// inRun returns a *Refusal unless Run takes this member's part: nothing that is
// staged or started would ever go on.
func (o *Orchestrator) inRun() error {
	select {
	case <-o.begun:
		select {
		case <-o.ended:
		default:
			return nil
		}
	case <-time.After(runPatience):
	}
	return &Refusal{Kind: Unavailable, Reason: "NotRunning", Member: o.self,
		Message: "this server is not taking its part in upgrades yet, or no more",
		Remedy:  "try again; if that does not help, see that the server calls Run of its Orchestrator"}
}

// turnOnce observes, decides, and does one step. It returns for how long nothing
// will change by itself; 0 means for ever, a negative time not at all.
func (o *Orchestrator) turnOnce(ctx context.Context, seen *record) (time.Duration, error) {
	v, err := o.look(ctx, seen, false)
	if err != nil {
		return 0, err
	}
	o.tendPull(v.run)
	o.tendTrial(v)
	if v.local.rejoin, err = o.observeRejoin(ctx, v); err != nil {
		return 0, err
	}
	s := decide(v)
	seen.lull, seen.pace, seen.gather = v.lull(s)
	switch s.do {
	case actNothing:
		return o.nudge(ctx, v, s.wait), nil
	case actSwap:
		err = o.swapView(ctx, v, s)
	case actReport:
		err = o.report(ctx, v)
	case actHold:
		err = o.hold(ctx, v)
	case actCheck:
		err = o.check(ctx, v)
	case actFreeze:
		err = o.freeze(ctx, v)
	case actPrepare:
		err = o.prepare(ctx, v)
	case actAsk:
		err = o.ask(ctx, v)
	case actLetIn:
		o.letIn()
	case actHandOver:
		err = o.handOver(ctx, s.to)
	case actLeave:
		err = o.leave(ctx, v)
	case actTidy:
		err = o.tidy(ctx)
	case actSweep:
		err = o.sweepIdle(ctx)
	case actForget:
		err = o.forget(ctx, v)
	}
	// What this machine cannot do must not keep it from coordinating: limits run
	// out and cancellations are heard all the same.
	if err != nil && s.do != actSwap && ctx.Err() == nil && !errors.Is(err, tracking.ErrConflict) && !errors.As(err, new(*deadError)) {
		if c := v.coordinate(); c.do == actSwap {
			err = errors.Join(err, o.swapView(ctx, v, c))
		}
	}
	return -1, err
}

// wake makes Run look again.
func (o *Orchestrator) wake() {
	select {
	case o.poke <- struct{}{}:
	default:
	}
}

// swapRun replaces the run and logs the lines that came with it.
func (o *Orchestrator) swapRun(ctx context.Context, v view, r tracking.Run) error {
	old := v.run
	r.Rev = old.Rev + 1
	if v.codec == nil {
		v.codec = &tracking.RunCodec{}
	}
	data, err := v.codec.Encode(r)
	if err != nil {
		return err
	}
	rev, err := o.c.Tracking.Swap(ctx, tracking.KeyRun, v.rev, data)
	if err != nil {
		return fmt.Errorf("upgrade: write the run: %w", err)
	}
	r.Format = tracking.Format
	o.remember(func(m *memory) { m.wrote, m.wroteRev = r, rev })
	if w := r.Waiting; w != nil && w.Reason != "Soaking" && (old.Waiting == nil || old.Waiting.Reason != w.Reason || old.Waiting.Message != w.Message) {
		o.c.Logger.Warn("gate.waiting", "run", r.ID, "gate", w.Gate, "reason", w.Reason, "member", w.Member, "text", w.Message)
	}
	for _, l := range r.Log {
		if r.ID == old.ID && l.Seq <= old.Lines {
			continue
		}
		log := o.c.Logger.Info
		switch l.Type {
		case "run.failed", "member.failed", linePutBack:
			log = o.c.Logger.Error
		}
		log(l.Type, "run", r.ID, "seq", l.Seq, "member", l.Member, "text", l.Text)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// A deadError is one that the server cannot go on after.
type deadError struct{ err error }

func (e *deadError) Error() string { return e.err.Error() }
func (e *deadError) Unwrap() error { return e.err }
