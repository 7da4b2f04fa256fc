package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/examples/internal/show"
	"github.com/leaderlast/leaderlast/examples/internal/web"
)

// A shelf is a cluster of the simplest kind: all its servers have the same map.
type shelf struct {
	t    *testing.T
	mu   sync.Mutex
	data map[string]string
}

// serve is a member of it. If broken returns a status the answer is that.
func (s *shelf) serve(id string, broken func(r *http.Request) int) *node {
	s.t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.URL.Path, "/api/v3/kv")
		s.mu.Lock()
		defer s.mu.Unlock()
		if code := broken(r); code != 0 {
			web.Fail(w, r, code, "broken")
			return
		}
		switch {
		case r.Method == http.MethodPut:
			b, _ := io.ReadAll(r.Body)
			s.data[key[1:]] = string(b)
		case key == "":
			web.Reply(w, http.StatusOK, map[string]any{"values": s.data})
		case s.data[key[1:]] == "":
			web.Fail(w, r, http.StatusNotFound, "no such key")
		}
	}))
	s.t.Cleanup(srv.Close)
	dir := s.t.TempDir()
	if _, err := web.Open(dir); err != nil {
		s.t.Fatal(err)
	}
	c, err := show.CallerAt(srv.URL, dir)
	if err != nil {
		s.t.Fatal(err)
	}
	return &node{member: member{id: id, url: srv.URL}, caller: c, fresh: show.Client(true, nil)}
}

func never(*http.Request) int { return 0 }

// runLoad lets a load run until some writes were acknowledged.
func runLoad(t *testing.T, nodes []*node) *load {
	t.Helper()
	l := startLoad(context.Background(), "load", nodes, func(fresh bool) *http.Client { return show.Client(fresh, nil) })
	for {
		l.mu.Lock()
		enough := len(l.acked) > 20 && l.reads.Sent > 5
		l.mu.Unlock()
		if enough {
			l.end()
			return l
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLoad(t *testing.T) {
	s := &shelf{t: t, data: map[string]string{}}
	nodes := []*node{s.serve("m1", never), s.serve("m2", never)}
	l := runLoad(t, nodes)
	if l.writes.Failed+l.writes.Errors+l.reads.Failed+l.reads.Errors+l.missing != 0 || int(l.writes.Sent) != len(l.acked) {
		t.Errorf("writes %+v, reads %+v, %d missing, %d acknowledged", l.writes, l.reads, l.missing, len(l.acked))
	}
	if l.gap <= 0 || l.writes.Longest <= 0 {
		t.Errorf("gap %v, longest %v", l.gap, l.writes.Longest)
	}
	if lost, first, err := l.lost(context.Background(), nodes); lost != 0 || first != "" || err != nil {
		t.Errorf("lost %d, %s, %v", lost, first, err)
	}
	delete(s.data, l.order[0])
	s.data[l.order[1]] = "something else"
	if lost, first, err := l.lost(context.Background(), nodes); lost != 2 || !strings.Contains(first, " on m") || err != nil {
		t.Errorf("lost %d, %s, %v; want 2", lost, first, err)
	}
}

// An error of one member is noted, and another one is asked.
func TestLoadAsksAnother(t *testing.T) {
	s := &shelf{t: t, data: map[string]string{}}
	nodes := []*node{s.serve("m1", func(*http.Request) int { return http.StatusServiceUnavailable }), s.serve("m2", never)}
	l := runLoad(t, nodes)
	if l.writes.Failed != 0 || l.writes.Errors == 0 || !strings.HasPrefix(l.writes.First, "m1: ") || int(l.writes.Sent) != len(l.acked) {
		t.Errorf("writes %+v, %d acknowledged", l.writes, len(l.acked))
	}
}

// A refusal is final, and what was acknowledged and is not found is missing.
func TestLoadMisses(t *testing.T) {
	s := &shelf{t: t, data: map[string]string{}}
	turn := 0
	nodes := []*node{s.serve("m1", func(r *http.Request) int {
		turn++
		switch {
		case r.Method == http.MethodPut && turn%4 == 0:
			return http.StatusForbidden
		case r.Method == http.MethodGet && r.URL.Path != "/api/v3/kv":
			return http.StatusNotFound
		}
		return 0
	})}
	l := runLoad(t, nodes)
	if l.writes.Failed == 0 || l.writes.Failed != l.writes.Errors || l.missing == 0 || l.missing != l.reads.Failed {
		t.Errorf("writes %+v, reads %+v, %d missing", l.writes, l.reads, l.missing)
	}
	if n := fmt.Sprint(len(l.acked)); n != fmt.Sprint(l.writes.Sent-l.writes.Failed) {
		t.Errorf("%s acknowledged of %+v", n, l.writes)
	}
}
