package raftnode

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// answerCalls answers the calls that another member makes on c, one at a time,
// until that closes it. A caller that goes away ends what it asked for.
func (n *Node) answerCalls(c *conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	// One goroutine looks for the next byte, also while an answer is made: its end
	// is the caller's. Nobody else reads until it has reported.
	next := make(chan error, 1)
	look := func(gone func()) bool {
		return n.port.tasks.run(func() {
			_, err := r.Peek(1)
			if err != nil {
				gone()
			}
			next <- err
		})
	}
	c.SetReadDeadline(time.Now().Add(2 * idleTime))
	if !look(func() {}) {
		return
	}
	for <-next == nil {
		c.SetReadDeadline(time.Now().Add(frameTime))
		kind, body, err := readFrame(r)
		if err != nil {
			n.log.Warn("call ended in the middle", "member", c.id, "error", err)
			return
		}
		c.SetReadDeadline(time.Time{})
		// A member may have been removed since it connected.
		if err := n.authorise(c.id); err != nil {
			n.port.refused(c, err)
			return
		}
		ctx, cancel := context.WithCancel(n.port.ctx)
		if !look(cancel) {
			cancel()
			return
		}
		answer := n.answer(ctx, kind, body)
		cancel()
		if len(answer.body) > maxFrame {
			answer = failed(fmt.Errorf("raftnode: the reply of %s: %d bytes: %w", n.c.ID, len(answer.body), errFrame))
		}
		c.SetWriteDeadline(time.Now().Add(frameTime))
		if err := writeFrame(c, answer.status, answer.body); err != nil {
			return
		}
		c.SetReadDeadline(time.Now().Add(2 * idleTime))
	}
}

// answer does what a member asks for. It never asks another one in turn.
func (n *Node) answer(ctx context.Context, kind byte, body []byte) reply {
	switch kind {
	case kindAsk:
		answer, err := n.member.Answer(ctx, body)
		if err != nil {
			return failed(err)
		}
		return reply{replyDone, answer}
	case kindApply:
		return n.applyHere(ctx, body)
	case kindMembers:
		var change memberChange
		if err := json.Unmarshal(body, &change); err != nil {
			return failed(fmt.Errorf("raftnode: change of members: %w", err))
		}
		return n.changeHere(ctx, change)
	default:
		return failed(fmt.Errorf("raftnode: %s does not know call %d: it runs an older program", n.c.ID, kind))
	}
}
