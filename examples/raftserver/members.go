package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Members are the members of the cluster as they were told at the start. Which of
// them belong to it is decided in the cluster itself.
type members []member

type member struct {
	id   string
	peer string // host:port for the other members
	url  string // of the API

	// later is a member that is not there when the cluster begins: it joins when
	// it is started first.
	later bool
}

// parseMembers reads id=host:port,url[,later] of each member.
func parseMembers(texts []string) (members, error) {
	var ms members
	for _, text := range texts {
		id, rest, ok := strings.Cut(text, "=")
		peer, url, ok2 := strings.Cut(rest, ",")
		url, later := strings.CutSuffix(url, ",later")
		if !ok || !ok2 || id == "" || peer == "" || url == "" {
			return nil, fmt.Errorf("--member %q is not id=host:port,url", text)
		}
		if _, twice := ms.get(id); twice {
			return nil, fmt.Errorf("--member %q: there is a member %s already", text, id)
		}
		ms = append(ms, member{id, peer, strings.TrimRight(url, "/"), later})
	}
	if len(ms) == 0 {
		return nil, errors.New("no --member: name every member, this one too")
	}
	return ms, nil
}

func (ms members) get(id string) (member, bool) {
	for _, m := range ms {
		if m.id == id {
			return m, true
		}
	}
	return member{}, false
}

// servers is the first configuration of the cluster.
func (ms members) servers() (list []raft.Server) {
	for _, m := range ms {
		if !m.later {
			list = append(list, raft.Server{ID: raft.ServerID(m.id), Address: raft.ServerAddress(m.peer)})
		}
	}
	return list
}

// first is what the member id begins with: the first configuration of the cluster,
// or, if it joins later, whom it lets in until it knows better.
func (ms members) first(id string) (first []raft.Server, trust []raft.ServerID) {
	first = ms.servers()
	if self, _ := ms.get(id); !self.later {
		return first, nil
	}
	for _, m := range first {
		trust = append(trust, m.ID)
	}
	return nil, trust
}

// apiURL is where the API of a member of the cluster is, "" if nobody said so.
func (ms members) apiURL(s raft.Server) string {
	m, _ := ms.get(string(s.ID))
	return m.url
}

// urls of all APIs, that of self first.
func (ms members) urls(self string) []string {
	urls := []string{}
	for _, m := range ms {
		if m.id == self {
			urls = append([]string{m.url}, urls...)
		} else {
			urls = append(urls, m.url)
		}
	}
	return urls
}

// peer is where a member listens for the others.
func (ms members) peer(id string) string {
	m, _ := ms.get(id)
	return m.peer
}

// raft returns raft's configuration. A member alone has nobody to wait for before
// it leads.
func (ms members) raft() *raft.Config {
	c := raft.DefaultConfig()
	if len(ms) == 1 {
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
	}
	return c
}
