package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode/democerts"
	"github.com/leaderlast/leaderlast/examples/internal/show"
	"github.com/leaderlast/leaderlast/examples/internal/web"
	"github.com/leaderlast/leaderlast/upgrade"
)

// start runs the old version as a cluster, and waits until it has a leader and
// every member serves.
func (d *demo) start(ctx context.Context) error {
	begin := time.Now()
	authority, err := democerts.New()
	if err != nil {
		return err
	}
	addrs, err := freePorts(2 * d.size)
	if err != nil {
		return err
	}
	accounts := filepath.Join(d.Dir, "accounts") // all members know the same users
	if err := os.Mkdir(accounts, 0o700); err != nil {
		return err
	}
	if _, err := web.Open(accounts); err != nil {
		return err
	}
	var all []string // --member of each
	for i := range d.size {
		m := member{id: fmt.Sprintf("m%d", i+1), peer: addrs[2*i], url: "https://" + addrs[2*i+1]}
		all = append(all, "--member", fmt.Sprintf("%s=%s,%s", m.id, m.peer, m.url))
		n, err := d.install(m, addrs[2*i+1], accounts, authority)
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, n)
	}
	for _, n := range d.nodes {
		n.args = append(n.args, all...)
		n.ended = func(restarts int) { d.ended(n, restarts) }
		if err := n.start(); err != nil {
			return err
		}
	}
	for _, n := range d.nodes {
		if err := n.serves(ctx); err != nil {
			return err
		}
	}
	d.sum.StartUp = ms(time.Since(begin))
	for _, n := range d.nodes {
		d.sum.Members = append(d.sum.Members, memberSummary{ID: n.id, URL: n.url})
		i, err := n.info(ctx, n.fresh)
		if err != nil {
			return err
		}
		role := "follows"
		if i.Leader == n.id {
			role = "leads"
		}
		d.Say("✓", "serving   %s  %s %s, %s, %s", n.id, product, i.Version, n.url, role)
	}
	return nil
}

// before notes what every member is before the upgrade.
func (d *demo) before(ctx context.Context) error {
	d.watch = startWatch(ctx, d.nodes)
	for _, n := range d.nodes {
		i, err := n.info(ctx, n.fresh)
		if err != nil {
			return err
		}
		digest, err := show.FileDigest(n.program)
		if err != nil {
			return err
		}
		m := d.sum.member(n.id)
		m.VersionBefore, m.PIDBefore, m.bootBefore, m.DigestBefore = i.Version, i.PID, i.Boot, digest
		d.sum.LeaderBefore = i.Leader
	}
	return d.healthy(ctx)
}

// healthy waits until the member that is asked for the upgrade hears from all
// others: they have only just been started.
func (d *demo) healthy(ctx context.Context) error {
	client, err := d.newClient()
	if err != nil {
		return err
	}
	for limit := time.Now().Add(time.Minute); ; {
		s, err := client.Status(ctx)
		ill := slices.DeleteFunc(s.Members, func(m upgrade.StatusMember) bool { return m.Healthy })
		switch {
		case err != nil:
			return err
		case len(ill) == 0:
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("%s of the new cluster does not get well", ill[0].ID)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// install gives a member a directory of its own, with its own copy of the
// program: it is to replace that.
func (d *demo) install(m member, listen, accounts string, authority *democerts.Authority) (*node, error) {
	dir := filepath.Join(d.Dir, m.id)
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	if err := authority.Write(dir, raft.ServerID(m.id)); err != nil {
		return nil, err
	}
	for from, to := range map[string]string{
		d.Program:                            filepath.Join(dir, product),
		filepath.Join(accounts, "users"):     filepath.Join(data, "users"),
		filepath.Join(accounts, "token.key"): filepath.Join(data, "token.key"),
		filepath.Join(dir, democerts.CAFile): filepath.Join(data, "server.crt"),
	} {
		if err := copyFile(from, to); err != nil {
			return nil, err
		}
	}
	n := &node{member: m, dir: dir, program: filepath.Join(dir, product)}
	n.args = []string{
		"serve", "--id", m.id, "--data", data, "--listen", listen, "--listen-peers", m.peer,
		"--tls-ca", filepath.Join(dir, democerts.CAFile), "--tls-cert", filepath.Join(dir, democerts.CertFile), "--tls-key", filepath.Join(dir, democerts.KeyFile),
		"--upgrade-key", filepath.Join(d.Dir, "release.pub"), "--min-healthy", d.minHealthy.String(), "--member-timeout", d.memberTimeout.String(), "--restart-lease", "5s",
		"--supervised", // by this program
	}
	n.fresh, n.kept = show.Client(true, web.Trust(data)), show.Client(false, web.Trust(data))
	var err error
	n.caller, err = show.CallerAt(m.url, data)
	return n, err
}

// copyFile copies a program or another file. No child is started meanwhile: one
// that was would have the copy open for writing, and a program that is open for
// writing cannot be started (golang/go#22315).
func copyFile(from, to string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
