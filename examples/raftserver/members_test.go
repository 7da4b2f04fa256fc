package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

func TestMembers(t *testing.T) {
	ms, err := parseMembers([]string{"m1=h1:1,https://h1:2/", "m2=h2:1,https://h2:2"})
	if err != nil {
		t.Fatal(err)
	}
	if got := ms.urls("m2"); !slices.Equal(got, []string{"https://h2:2", "https://h1:2"}) {
		t.Errorf("urls %q", got)
	}
	if got := ms.servers(); len(got) != 2 || got[0] != (raft.Server{ID: "m1", Address: "h1:1"}) {
		t.Errorf("servers %+v", got)
	}
	if ms.apiURL(raft.Server{ID: "m1"}) != "https://h1:2" || ms.apiURL(raft.Server{ID: "m3"}) != "" || ms.peer("m2") != "h2:1" {
		t.Error("a member is not where it is")
	}
	for _, bad := range [][]string{nil, {"m1"}, {"m1=h:1"}, {"=h:1,u"}, {"m1=,u"}, {"m1=h:1,"}, {"m1=h:1,u", "m1=h:2,v"}} {
		if _, err := parseMembers(bad); err == nil {
			t.Errorf("%q are taken", bad)
		}
	}
}

// A member without certificates is told which flags name them.
func TestNoCertificates(t *testing.T) {
	s := &server{id: "m1", memberTexts: []string{"m1=127.0.0.1:9101,https://127.0.0.1:9111"}, allowUnsigned: true, restart: "exec"}
	if err := s.open(); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("got %v", err)
	}
}
