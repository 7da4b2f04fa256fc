package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// An op is a call of a process that waits to be carried out.
type op struct {
	what, key string
	soft      bool // the process may go on for a moment after it has died here

	p         *process
	who       string // of the calls of one process: which operator's, or which peer's
	by        string // the function that its goroutine began with
	seq       int
	notBefore time.Time
	weighed   bool // whether it is to be late was decided
	grant     chan verdict
}

// caller is the key of the context value that becomes the who of an op.
type caller struct{}

// A verdict is what becomes of an op.
type verdict int

const (
	pass       verdict = iota
	failBefore         // it is not carried out, and reports an error
	failAfter          // it is carried out, and reports an error
	killBefore         // the process dies instead
	killAfter          // the process dies before it hears the reply
)

func (v verdict) String() string {
	return [...]string{"", " is lost", " is carried out, the reply is lost", " never happens", " is carried out"}[v]
}

// do carries out call for the process when the loop lets it, as the loop has it.
func (p *process) do(ctx context.Context, o op, call func() error) error {
	w := p.m.w
	o.p, o.grant = p, make(chan verdict, 1)
	o.who, _ = ctx.Value(caller{}).(string)
	o.by = begunBy()
	w.mu.Lock()
	dead := p.dead
	if !dead {
		w.opSeq++
		o.seq = w.opSeq
		w.issued(&o)
		w.ops = append(w.ops, &o)
	}
	w.mu.Unlock()
	if dead {
		return p.exit(&o)
	}
	select {
	case w.arrived <- struct{}{}:
	default:
	}
	var v verdict
	select {
	case v = <-o.grant:
	case <-p.gone:
		return p.exit(&o)
	case <-ctx.Done():
		w.mu.Lock()
		w.ops = slices.DeleteFunc(w.ops, func(x *op) bool { return x == &o })
		w.mu.Unlock()
		select {
		case v = <-o.grant:
		default:
			return fmt.Errorf("simulated %s: %w", o.what, context.Cause(ctx))
		}
	}
	err := errLost
	if v == pass || v == failAfter || v == killAfter {
		err = call()
	}
	w.mu.Lock()
	if v == killAfter {
		p.die("killed after " + o.String())
		w.superviseLocked(p.m)
	}
	w.did(&o, v, err)
	dead = p.dead
	w.mu.Unlock()
	switch {
	case dead:
		return p.exit(&o)
	case v == failAfter && err == nil:
		return errLost
	}
	return err
}

func (o *op) String() string {
	if o.key == "" {
		return o.what
	}
	return o.what + " " + o.key
}

// begunBy names the function that the calling goroutine began with. Two goroutines
// of a process that make the same call at the same time differ in nothing else.
func begunBy() string {
	var stack [128]uintptr
	n := runtime.Callers(2, stack[:])
	if n < 2 || n == len(stack) {
		return ""
	}
	f, _ := runtime.CallersFrames(stack[n-2 : n-1]).Next() // the last one is of the runtime
	return f.Function
}

// exit ends the calling goroutine of a process that is dead: nothing that it
// would do after the call happens. Deferred functions run, as they let go of
// what only lived in that process.
func (p *process) exit(o *op) error {
	if o.soft {
		return errKilled
	}
	runtime.Goexit()
	return nil
}

// dropOps forgets what a process that died was waiting for.
func (w *world) dropOps(p *process) {
	w.ops = slices.DeleteFunc(w.ops, func(o *op) bool { return o.p == p })
}

var (
	errGone = errors.New("the process is gone")
	errLost = errors.New("the reply was lost")
)
