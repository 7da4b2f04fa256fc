package httpapi_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// story writes down events, one word each, with what matters of them.
func story(e httpapi.Event) string {
	switch e.Type {
	case httpapi.EventLine:
		return fmt.Sprintf("%d:%s", e.Line.Seq, e.Line.Text)
	case httpapi.EventGap:
		return fmt.Sprintf("gap:%d-%d", e.From, e.To)
	case httpapi.EventStatus:
		return fmt.Sprintf("rev%d:%s", e.Status.Revision, e.Status.Status)
	case httpapi.EventBack:
		return fmt.Sprintf("back:%d", e.Missed)
	case httpapi.EventLost:
		if e.Planned {
			return "lost:planned"
		}
	}
	return string(e.Type)
}

// A machine is a real server that can go away and come back at its address.
type machine struct {
	t      *testing.T
	h      http.Handler
	addr   string
	server *http.Server
}

func newMachine(t *testing.T, h http.Handler) *machine {
	m := &machine{t: t, h: h, addr: "127.0.0.1:0"}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *machine) start() {
	l, err := net.Listen("tcp", m.addr)
	if err != nil {
		m.t.Error(err)
		return
	}
	m.addr = l.Addr().String()
	m.server = &http.Server{Handler: m.h}
	go m.server.Serve(l)
}

func (m *machine) stop() { m.server.Close() }

func (m *machine) url() string { return "http://" + m.addr }

// A whole run: the server restarts twice in its course, once as planned.
func TestWatchThroughRestarts(t *testing.T) {
	f := staged()
	m := newMachine(t, handler(t, config(f)))
	c := client(t, httpapi.ClientConfig{Servers: []string{m.url()}})
	var got []string
	for e, err := range c.Watch(t.Context(), httpapi.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != httpapi.EventRetry {
			got = append(got, story(e))
		}
		if e.Run != "r1" {
			t.Errorf("%s of run %q", story(e), e.Run)
		}
		switch story(e) {
		case "rev1:staged":
			f.set("started", func(r *tracking.Run) { r.Status = tracking.Working })
		case "rev2:working":
			f.set("restarting", func(r *tracking.Run) {
				r.Turns = []tracking.Turn{{Member: "m1", State: tracking.Restarting}}
			})
		case "rev3:working":
			m.stop()
		case "lost:planned":
			f.set("rejoining", func(r *tracking.Run) { r.Turns[0].State = tracking.Rejoining })
			f.set("accepted", func(r *tracking.Run) { r.Turns = nil })
			m.start()
		case "rev5:working":
			m.stop()
		case "lost":
			m.start()
		case "back:0":
			f.set("finished", func(r *tracking.Run) { r.Status = tracking.Finished })
		}
	}
	want := "1:staged rev1:staged 2:started rev2:working 3:restarting rev3:working lost:planned back:2 4:rejoining 5:accepted rev5:working " +
		"lost back:0 6:finished rev6:finished end"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

// Servers share the record: the next one continues where the first one went away.
func TestWatchThroughAnotherServer(t *testing.T) {
	f := staged()
	h := handler(t, config(f))
	a, b := newMachine(t, h), newMachine(t, h)
	c := client(t, httpapi.ClientConfig{Servers: []string{a.url(), b.url()}})
	var got []string
	for e, err := range c.Watch(t.Context(), httpapi.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, story(e))
		switch e.Type {
		case httpapi.EventStatus:
			if e.Status.Revision == 1 {
				a.stop()
			}
		case httpapi.EventBack:
			if !strings.Contains(e.Server, b.addr) {
				t.Errorf("back through %s", e.Server)
			}
			f.set("finished", func(r *tracking.Run) { r.Status = tracking.Finished })
		}
	}
	if want := "1:staged rev1:staged lost back:0 2:finished rev2:finished end"; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestWatchMayBeLeft(t *testing.T) {
	f := staged()
	c := client(t, httpapi.ClientConfig{Servers: []string{serve(t, handler(t, config(f))).URL}})
	for range c.Watch(t.Context(), httpapi.WatchOptions{}) {
		break
	}
	// And begun again from where it was left.
	for e, err := range c.Watch(t.Context(), httpapi.WatchOptions{Run: "r1", After: 1}) {
		if err != nil || e.Type != httpapi.EventStatus {
			t.Errorf("%s, %v", story(e), err)
		}
		break
	}
}

// Many changes, many restarts, one reader: each line once and in order.
func TestWatchMissesNothing(t *testing.T) {
	f := staged()
	m := newMachine(t, handler(t, config(f)))
	c := client(t, httpapi.ClientConfig{Servers: []string{m.url()}})
	const lines = 300
	written := make(chan struct{})
	seen := make(chan int, lines)
	go func() {
		defer close(written)
		for i := 2; i < lines; i++ {
			f.set("on", func(r *tracking.Run) { r.Status = tracking.Working })
			if i%100 == 0 {
				for n := range seen { // the reader has come so far
					if n == i {
						break
					}
				}
				m.stop()
				m.start()
			}
		}
		f.set("over", func(r *tracking.Run) { r.Status = tracking.Finished })
	}()
	next := 1
	for e, err := range c.Watch(t.Context(), httpapi.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == httpapi.EventLine {
			if e.Line.Seq != next {
				t.Fatalf("line %d, want %d", e.Line.Seq, next)
			}
			seen <- next
			next++
		}
		if e.Type == httpapi.EventGap {
			t.Errorf("%s", story(e))
		}
	}
	<-written
	if next != lines+1 {
		t.Errorf("%d lines", next-1)
	}
}
