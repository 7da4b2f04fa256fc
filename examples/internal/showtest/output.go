package showtest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long anything may take before a test gives up. Nothing comes
// near it unless it hangs.
const Patience = 60 * time.Second

// An Output is what a command prints, while it runs.
type Output struct {
	t    testing.TB
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

// NewOutput returns an empty one.
func NewOutput(t testing.TB) *Output { return &Output{t: t, more: make(chan struct{}, 1)} }

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() {
		select {
		case o.more <- struct{}{}:
		default:
		}
	}()
	return o.buf.Write(p)
}

// Text is all that was printed so far.
func (o *Output) Text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Await returns once text was printed; one caller at a time.
func (o *Output) Await(text string) {
	o.t.Helper()
	limit := time.After(Patience)
	for !strings.Contains(o.Text(), text) {
		select {
		case <-o.more:
		case <-limit:
			o.t.Fatalf("%q never comes; there is:\n%s", text, o.Text())
		}
	}
}
