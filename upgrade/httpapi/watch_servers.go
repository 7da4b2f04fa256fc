package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// servers are where a watch asks: those of the Client first, in turn, and then
// the members of the cluster by the addresses that the status gives, the leader
// first, those that are done next: they do not restart any more.
type servers struct {
	c      *Client
	now    string            // that is asked
	queue  []string          // that come after it in this round
	round  int               // of this outage
	at     map[string]string // member that answered, by server
	member map[string]string // whose address was learned, by server
	heard  map[string]bool   // learned ones that have answered
	known  *upgrade.Status   // the last one
}

// deafRounds is how often a learned address is passed over that has never
// answered: it may not be meant for where this client is.
const deafRounds = 4

func (c *Client) newServers() servers {
	return servers{c: c, now: c.server(), at: map[string]string{}, member: map[string]string{}, heard: map[string]bool{}}
}

// learned reports whether server is none that the Client was given.
func (s *servers) learned(server string) bool { return !slices.Contains(s.c.servers, server) }

// answered notes who answers at the present server.
func (s *servers) answered(status *upgrade.Status) {
	s.queue, s.round = nil, 0
	s.heard[s.now] = true
	if status == nil {
		return
	}
	s.known = status
	if status.ObservedBy != "" {
		s.at[s.now] = status.ObservedBy
	}
}

// strange says what is wrong with an answer from a learned address: another
// cluster may have got it by now.
func (s *servers) strange(status, before *upgrade.Status) error {
	if status == nil || !s.learned(s.now) {
		return nil
	}
	if want := s.member[s.now]; status.ObservedBy != want || before != nil && status.Product != before.Product {
		return &upgrade.Refusal{Kind: upgrade.Unavailable, Reason: ReasonUnreachable,
			Message: fmt.Sprintf("%s is the address of %s, but %s of %s answers there", s.now, want, status.ObservedBy, status.Product)}
	}
	return nil
}

// lost makes a round of all others, if the present server is the first that was
// lost.
func (s *servers) lost(first bool) {
	lost := s.now
	s.c.pass(lost)
	if first {
		s.round = 0
		s.queue = slices.DeleteFunc(s.order(), func(server string) bool { return server == lost })
	}
}

// next goes on to another server, and is false if this round is over.
func (s *servers) next() bool {
	if len(s.queue) == 0 {
		return false
	}
	s.now, s.queue = s.queue[0], s.queue[1:]
	return true
}

// again begins the next round.
func (s *servers) again() {
	s.round++
	all := s.order()
	s.now, s.queue = all[0], all[1:]
}

func (s *servers) order() []string {
	first := max(slices.Index(s.c.servers, s.c.server()), 0)
	all := append(slices.Clone(s.c.servers[first:]), s.c.servers[:first]...)
	if s.known == nil || s.c.only {
		return all
	}
	members := slices.Clone(s.known.Members)
	slices.SortStableFunc(members, func(a, b upgrade.StatusMember) int { return preference(a) - preference(b) })
	for _, m := range members {
		server, ok := s.c.beside(m.URL)
		switch {
		case !ok, slices.Contains(all, server), s.given(m.ID):
			continue
		case !s.heard[server] && s.round%deafRounds != 0:
			continue
		}
		s.member[server] = m.ID
		all = append(all, server)
	}
	return all
}

// given reports whether a server that the Client was given is that member.
func (s *servers) given(member string) bool {
	return slices.ContainsFunc(s.c.servers, func(server string) bool { return s.at[server] == member })
}

func preference(m upgrade.StatusMember) int {
	switch {
	case m.Role == "leader":
		return 0
	case m.State == string(tracking.Done), m.State == string(tracking.Skipped):
		return 1
	}
	return 2
}

// beside returns the base of the API at the address of a member. Credentials are
// not sent in the clear where the servers that were given are not asked so.
func (c *Client) beside(addr string) (string, bool) {
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", false
	}
	if u.Scheme != "https" && (u.Scheme != "http" || slices.ContainsFunc(c.servers, func(s string) bool { return strings.HasPrefix(s, "https:") })) {
		return "", false
	}
	return strings.TrimRight(addr, "/") + c.prefix, true
}

// restarting reports whether a member was in the part of its turn where it is
// away.
func restarting(s *upgrade.Status) bool {
	for _, m := range s.Members {
		switch tracking.State(m.State) {
		case tracking.Prepared, tracking.Restarting, tracking.Rejoining:
			return true
		}
	}
	return false
}
