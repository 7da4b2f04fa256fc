package raftnode

import (
	"time"

	"github.com/hashicorp/raft"
)

// A transport is raft's, save that no pipeline of it blocks for ever. Raft (1.7.3)
// sends on a pipeline for a while after it has stopped to read the answers, which it
// does at those with a newer term; once the pipeline is full, the sender never comes to
// see that it is to end, nor does raft then.
type transport struct {
	*raft.NetworkTransport
}

// AppendEntriesPipeline is part of raft.Transport.
func (t transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return pipeline{p}, nil
}

type pipeline struct{ raft.AppendPipeline }

// AppendEntries closes a pipeline that has taken nothing for as long as an answer
// may take: raft makes another one then, if it is still to send.
func (p pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	t := time.AfterFunc(transportTimeout, func() { p.Close() })
	defer t.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}
