package upgrade_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/upgrade"
)

func TestPeerProbe(t *testing.T) {
	c := crowdWith(t, func(id string, c *upgrade.Config) {
		if id == "m2" {
			c.Ready = func(context.Context) error { return errors.New("no database") }
		}
	}, "m1", "m2", "m3")
	c.members["m3"].srv.Close()
	client := &http.Client{Transport: c.members["m1"].wire}
	probe := upgrade.PeerProbe(client, "")
	at := func(id string) cluster.Member {
		return cluster.Member{ID: cluster.MemberID(id), Addr: c.members[id].srv.URL + "/", Voter: true}
	}
	if m, err := probe(t.Context(), at("m1")); err != nil || !m.Healthy {
		t.Errorf("m1: %+v, %v", m, err)
	}
	if m, err := probe(t.Context(), at("m2")); err == nil || m.Healthy || !strings.Contains(err.Error(), "no database") {
		t.Errorf("m2 is not ready: %+v, %v", m, err)
	}
	if m, err := probe(t.Context(), at("m3")); err == nil || m.Healthy {
		t.Errorf("m3 is away: %+v, %v", m, err)
	}
	other := at("m1")
	other.ID = "m9"
	if m, err := probe(t.Context(), other); err == nil || m.Healthy || !strings.Contains(err.Error(), `the member "m1" answers`) {
		t.Errorf("at the address of m9: %+v, %v", m, err)
	}
	if m, err := upgrade.PeerProbe(nil, "")(t.Context(), at("m1")); err == nil || m.Healthy {
		t.Errorf("without a client: %+v, %v", m, err)
	}
	if m, err := upgrade.PeerProbe(client, "/elsewhere")(t.Context(), at("m1")); err == nil || m.Healthy {
		t.Errorf("at another path: %+v, %v", m, err)
	}
}

// Members that ask each other who is healthy do so without end nor circle.
func TestProbedByEachOther(t *testing.T) {
	c := newCrowd(t, "m1", "m2", "m3")
	probe := upgrade.PeerProbe(&http.Client{Transport: c.members["m1"].wire}, "")
	var all []cluster.Member
	for id, m := range c.members {
		all = append(all, cluster.Member{ID: cluster.MemberID(id), Addr: m.srv.URL, Voter: true})
	}
	for _, m := range c.members {
		m.stop()
	}
	asked := make(map[string]*cluster.Static)
	c.edit = func(id string, c *upgrade.Config) {
		s := &cluster.Static{Probe: probe}
		for _, m := range all {
			if string(m.ID) == id {
				s.Local = m
			} else {
				s.Peers = append(s.Peers, m)
			}
		}
		asked[id], c.Cluster = s, s
	}
	for _, m := range c.members {
		c.boot(m)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for id, s := range asked {
		members, err := s.Members(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range members {
			if !m.Healthy || m.Leader != (i == 0) {
				t.Errorf("%s sees %+v", id, m)
			}
		}
	}
	if _, err := c.stage("m2", c.release("1.1.0", 1000)); err != nil {
		t.Error(err)
	}
}
