package upgrade

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// holdProgram lets other servers that run from the same file know of this one.
func (o *Orchestrator) holdProgram() (release func()) {
	if lock := o.c.Started.lock; lock != nil {
		o.remember(func(m *memory) { m.lock = lock })
		return func() {}
	}
	lock, err := o.c.Started.Program.hold()
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			o.c.Logger.Warn("cannot tell whether other servers run from the same file", "error", err)
		}
		return func() {}
	}
	o.remember(func(m *memory) { m.lock = lock })
	return func() {
		o.remember(func(m *memory) { m.lock = nil })
		lock.Close()
	}
}

// sweepLeftovers removes what a process that died has left beside the program
// and nothing refers to: a journal half written, a program that was probed. A
// second server that runs from the same file may be using them; they stay then.
func (o *Orchestrator) sweepLeftovers() {
	p := o.c.Started.Program
	var lock *programLock
	o.remember(func(m *memory) { lock = m.lock })
	if lock == nil {
		return
	}
	if shared, err := lock.shared(); err != nil || shared {
		return
	}
	if err := errors.Join(o.c.Started.ledger.sweep(), removeOwn(p.probePath())); err != nil {
		o.c.Logger.Warn("sweep beside the program", "error", err)
	}
}

// removeOwn removes a file of ours that may not be there. What is no file is not
// ours, and stays.
func removeOwn(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return notOurs(path, info.Mode())
	}
	if err == nil {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// settle lets go of what a Commit needed that was interrupted after its last
// rename. The next Prepare would do so too.
func (o *Orchestrator) settle(ctx context.Context) {
	if err := o.c.Replacer.Discard(ctx); err != nil {
		o.c.Logger.Warn("sweep what the replacement has left", "error", err)
	}
}

// holdProgram lets starts of the same program know from here on that this process
// lives: what it is tried out for is not theirs to judge.
func (s *Started) holdProgram(p Program) {
	if s.lock = p.adopt(s.passed); s.lock == nil {
		s.lock, _ = p.hold() // Run says what is wrong
	}
}
