//go:build unix

package raftnode_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode/democerts"
)

// helperEnv holds the directory of a member that runs as a process of its own.
const helperEnv = "RAFTNODE_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		os.Exit(help(dir))
	}
	os.Exit(m.Run())
}

// help runs a member until its standard input ends.
func help(dir string) int {
	servers, err := os.ReadFile(filepath.Join(dir, "servers"))
	if err != nil {
		return 1
	}
	c := raftnode.Config{ID: "frozen", Dir: filepath.Join(dir, "raft"), FSM: &counts{}, Raft: quickly()}
	for line := range strings.Lines(string(servers)) {
		id, addr, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.Bootstrap = append(c.Bootstrap, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(addr)})
		if id == c.ID {
			file := os.NewFile(3, "listener")
			c.Listener, err = raftnode.Listen(context.Background(), func(string, func() (*os.File, error)) (*os.File, error) { return file, nil }, "", addr)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
	}
	c.TLS, err = raftnode.LoadTLS(filepath.Join(dir, democerts.CAFile), filepath.Join(dir, democerts.CertFile), filepath.Join(dir, democerts.KeyFile))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	n, err := raftnode.Open(context.Background(), c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("open")
	bufio.NewReader(os.Stdin).ReadByte()
	if err := n.Close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A leader that is stopped, and so keeps its connections and never answers, costs
// commands of others no more than an election; when it goes on, nothing is done
// twice.
func TestFrozenLeader(t *testing.T) {
	s := prepare(t, nil, "a", "b", "frozen")
	f := s.members[2]
	dir := t.TempDir()
	var servers strings.Builder
	for _, m := range s.servers {
		fmt.Fprintf(&servers, "%s %s\n", m.ID, m.Address)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "servers"), []byte(servers.String()), 0o600), s.ca.Write(dir, f.id)); err != nil {
		t.Fatal(err)
	}
	file, err := f.listener.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stderr = f.log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() error {
		cmd.Process.Signal(syscall.SIGCONT)
		in.Close()
		return cmd.Wait()
	})
	t.Cleanup(func() { stop() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	a, b := s.members[0], s.members[1]
	a.start()
	b.start()
	await(t, "leadership of the other process", func() bool {
		_, id := a.Raft().LeaderWithID()
		for _, m := range []*member{a, b} {
			if m.Raft().State() == raft.Leader {
				m.Membership().TransferLeadership(limited(t), "frozen")
			}
		}
		return id == f.id
	})
	var done []string
	apply := func(command string) time.Duration {
		t.Helper()
		begun := time.Now()
		if _, err := a.Apply(limited(t), []byte(command)); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		done = append(done, command)
		return time.Since(begun)
	}
	apply("before")
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if took := apply("frozen"); took > 8*time.Second {
		t.Errorf("a command took %v while the leader was frozen", took)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	apply("after")
	s.same(done)
	if err := stop(); err != nil {
		t.Errorf("the other process: %v", err)
	}
}
