package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leaderlast/leaderlast/cluster/raftcluster/raftnode"
	"github.com/leaderlast/leaderlast/examples/internal/web"
)

// enter has this member added to the cluster if it is one that joins later, and
// does not belong to it yet. Any other member can do that.
func (s *server) enter(ctx context.Context) {
	self, _ := s.members.get(s.id)
	if conf := s.node.Raft().GetConfiguration(); conf.Error() != nil || !self.later || slices.ContainsFunc(conf.Configuration().Servers, func(m raft.Server) bool {
		return m.ID == raft.ServerID(s.id)
	}) {
		return
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: s.tls.RootCAs, MinVersion: tls.VersionTLS12},
	}}
	for {
		for _, m := range s.members {
			if m.id == s.id {
				continue
			}
			err := s.askToEnter(ctx, client, m)
			if err == nil {
				s.log.Info("joined the cluster", "through", m.id)
				return
			}
			s.log.Warn("join the cluster", "through", m.id, "error", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

func (s *server) askToEnter(ctx context.Context, client *http.Client, m member) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/api/v3/members/"+s.id, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.auth.Token(web.DefaultUser, time.Minute))
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s: %s", req.URL, res.Status)
	}
	return nil
}

// admit adds a member that this one was told of, as a voter.
func (a *api) admit(w http.ResponseWriter, r *http.Request, _ string) {
	m, ok := a.members.get(r.PathValue("id"))
	if !ok {
		web.Fail(w, r, http.StatusNotFound, "no --member names it here")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := a.node.Join(ctx, raft.ServerID(m.id), raft.ServerAddress(m.peer), true); err != nil {
		web.Fail(w, r, http.StatusServiceUnavailable, err.Error())
		return
	}
	web.Reply(w, http.StatusNoContent, nil)
}

// dismiss removes another member from the cluster: one whose data are damaged
// joins anew after that, and one that is gone for good is no longer waited for.
func (a *api) dismiss(w http.ResponseWriter, r *http.Request, _ string) {
	id := r.PathValue("id")
	if id == a.id {
		web.Fail(w, r, http.StatusConflict, "this is "+id+" itself: ask another member to remove it")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := a.node.Remove(ctx, raft.ServerID(id)); err != nil {
		web.Fail(w, r, http.StatusServiceUnavailable, err.Error())
		return
	}
	web.Reply(w, http.StatusNoContent, nil)
}

// mendable adds to the error of a member whose data are damaged how it gets them
// from the others, by what this server has for it.
func (s *server) mendable(err error) error {
	if !errors.Is(err, raftnode.ErrDamaged) {
		return err
	}
	self, _ := s.members.get(s.id)
	other := self.url
	for _, url := range s.members.urls(s.id)[1:] {
		other = url
		break
	}
	return fmt.Errorf("%w; here that is: curl -u USER:PASSWORD --cacert CA -X DELETE %s/api/v3/members/%s; move %s away; start it with --member %s=%s,%s,later",
		err, other, s.id, filepath.Join(s.dir, "raft"), self.id, self.peer, self.url)
}
