package raftnode_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Connections are kept for the next call, few of them; one whose member has been
// restarted is not used again, so that no call fails for it.
func TestCalls(t *testing.T) {
	s := newSite(t, nil, "a", "b")
	a, b := s.members[0], s.members[1]
	for round := range 3 {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := a.Ping(limited(t), s.servers[1]); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		if n := a.Idle(); n < 1 || n > 4 {
			t.Errorf("%d connections are kept, want 1 to 4", n)
		}
		b.stop()
		if round == 1 {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			if err := a.Ping(ctx, s.servers[1]); err == nil {
				t.Error("answered by nobody")
			}
			cancel()
		}
		b.start()
	}
}
