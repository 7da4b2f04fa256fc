package raftnode

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// fullPipeline takes nothing, until it is closed.
type fullPipeline struct {
	raft.AppendPipeline
	closed chan struct{}
}

func (p fullPipeline) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-p.closed
	return nil, raft.ErrPipelineShutdown
}

func (p fullPipeline) Close() error {
	close(p.closed)
	return nil
}

// Who sends on a pipeline whose answers nobody reads comes back.
func TestFullPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begun := pipeline{fullPipeline{closed: make(chan struct{})}}, time.Now()
		_, err := p.AppendEntries(nil, nil)
		if !errors.Is(err, raft.ErrPipelineShutdown) || time.Since(begun) != transportTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
