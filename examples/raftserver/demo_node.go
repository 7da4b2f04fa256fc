package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

// How long the demo's supervisor waits before it starts a server again: one that
// ended by itself, and one that was killed. The others are to notice the latter.
const (
	supervisorPause = 300 * time.Millisecond
	killedPause     = 3 * time.Second
)

// A node is a member as the demo sees it: a process with a program and a data
// directory of its own, and a supervisor that starts it again.
type node struct {
	member
	dir     string
	program string
	args    []string
	caller  *show.Caller
	fresh   *http.Client       // a connection for each question
	kept    *http.Client       // for those that are asked again and again
	ended   func(restarts int) // is told when the supervisor starts it again; nil if nobody is

	mu       sync.Mutex
	process  *show.Process
	stopping bool
	killed   bool
	restarts int // by the supervisor
}

// nodeInfo is what a member says of itself.
type nodeInfo struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	PID     int    `json:"pid"`
	Boot    string `json:"boot"`
	Role    string `json:"role"`
	Leader  string `json:"leader"`
	Term    uint64 `json:"term"`
}

func (n *node) info(ctx context.Context, client *http.Client) (nodeInfo, error) {
	var i nodeInfo
	return i, n.caller.Call(ctx, client, http.MethodGet, "/api/v3/info", "", &i)
}

// values asks the member for all keys with a prefix, and their values.
func (n *node) values(ctx context.Context, prefix string) (map[string]string, error) {
	var v struct{ Values map[string]string }
	return v.Values, n.caller.Call(ctx, n.fresh, http.MethodGet, "/api/v3/kv?prefix="+prefix, "", &v)
}

func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopping = false
	return n.startLocked()
}

func (n *node) startLocked() error {
	cmd := exec.Command(n.program, n.args...)
	cmd.Dir = n.dir
	p, err := show.Start(cmd, filepath.Join(n.dir, product+".log"))
	if err != nil {
		return err
	}
	n.process = p
	go n.supervise(p)
	return nil
}

// supervise starts the server again if it ends and nobody wanted it to.
func (n *node) supervise(p *show.Process) {
	<-p.Ended
	n.mu.Lock()
	pause := supervisorPause
	if n.killed {
		pause, n.killed = killedPause, false
	}
	n.mu.Unlock()
	time.Sleep(pause)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopping || n.process != p {
		return
	}
	n.restarts++
	if n.ended != nil {
		n.ended(n.restarts)
	}
	n.startLocked() // if it cannot be started, the demo sees that it does not answer
}

// stop ends the server for good.
func (n *node) stop() {
	n.mu.Lock()
	n.stopping = true
	p := n.process
	n.mu.Unlock()
	if p != nil {
		p.Stop()
	}
}

// kill ends the server as a power cut would. The supervisor starts it again.
func (n *node) kill() {
	n.mu.Lock()
	p := n.process
	n.killed = true
	n.mu.Unlock()
	p.Kill()
}

func (n *node) running() *show.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// serves waits until the member answers a read, for which it has to have caught
// up with its cluster.
func (n *node) serves(ctx context.Context) error {
	err := n.running().Await(ctx, time.Minute, func(ctx context.Context) error {
		_, err := n.values(ctx, "none")
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", n.id, err)
	}
	return nil
}

// freePorts returns addresses on loopback that nobody listens on. They lie below
// those that the system gives to outgoing connections: one of these could take
// the port before the server listens there.
func freePorts(count int) ([]string, error) {
	var addrs []string
	for try := 0; len(addrs) < count; try++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000)))
		switch {
		case err == nil:
			defer l.Close() // all at once, so that none is given out twice
			addrs = append(addrs, l.Addr().String())
		case try > 100*count:
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return addrs, nil
}
