package raftnode_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
)

// A member whose data are damaged says so by name, and what to do; done so, it has
// everything again.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"overwritten":            func(data []byte) []byte { return bytes.Repeat([]byte("x"), len(data)) },
		"cut short":              func(data []byte) []byte { return data[:100] },
		"overwritten at the end": func(data []byte) []byte { return append(data[:8192], bytes.Repeat([]byte("x"), len(data)-8192)...) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil, "a", "b", "c")
			if _, err := s.leader().Apply(limited(t), []byte("before")); err != nil {
				t.Fatal(err)
			}
			m, leader := s.others()[0], s.leader()
			m.stop()
			path := filepath.Join(m.dir, "raft.db")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = raftnode.Open(limited(t), m.config())
			if !errors.Is(err, raftnode.ErrDamaged) || !strings.Contains(err.Error(), "Remove "+string(m.id)) || !strings.Contains(err.Error(), "move "+m.dir+" away") {
				t.Fatal(err)
			}
			t.Log(err)

			if err := leader.Remove(limited(t), m.id); err != nil {
				t.Fatal(err)
			}
			m.dir = t.TempDir()
			m.change = func(c *raftnode.Config) {
				c.Bootstrap, c.Trust = nil, []raft.ServerID{"a", "b", "c"}
			}
			m.start()
			if err := leader.Join(limited(t), m.id, raft.ServerAddress(m.listener.Addr().String()), true); err != nil {
				t.Fatal(err)
			}
			await(t, "what was lost", func() bool { return m.fsm.count("before") == 1 })
		})
	}
}
