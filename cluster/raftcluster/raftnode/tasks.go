package raftnode

import (
	"context"
	"sync"
)

// tasks are the goroutines of a node. Unlike a sync.WaitGroup they can be closed
// to newcomers, and waited for with a bound.
type tasks struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n is 0
}

func newTasks() *tasks { return &tasks{idle: make(chan struct{})} }

// begin counts a task, and says whether it may run at all. It ends with end.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.closed && t.n == 0 {
		close(t.idle)
	}
}

// run runs f in a goroutine of its own, unless the tasks are closed.
func (t *tasks) run(f func()) bool {
	if !t.begin() {
		return false
	}
	go func() {
		defer t.end()
		f()
	}()
	return true
}

// close lets no more tasks begin.
func (t *tasks) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		if t.n == 0 {
			close(t.idle)
		}
	}
}

// wait returns once all tasks have ended after close, or the cause of ctx.
func (t *tasks) wait(ctx context.Context) error {
	select {
	case <-t.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
