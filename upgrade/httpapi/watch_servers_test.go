package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A fleet is three members behind one transport; m2 leads, m3 is done.
type fleet struct {
	mu      sync.Mutex
	down    map[string]bool   // hosts
	members map[string]string // id by host
	urls    map[string]string // by id
	rev     int
	status  string
	product string // of m3
	asked   []string
	stop    func(host string) // told of each request, if not nil
}

func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := r.URL.Host
	f.asked = append(f.asked, host+" "+r.Header.Get("Authorization"))
	if f.stop != nil {
		f.stop(host)
	}
	id := f.members[host]
	if f.down[host] || id == "" {
		return refused(r)
	}
	product := "provd"
	if id == "m3" && f.product != "" {
		product = f.product
	}
	var members []string
	for _, m := range []string{"m1", "m2", "m3"} {
		members = append(members, fmt.Sprintf(`{"id":%q,"url":%q,"role":%q,"state":%q}`, m, f.urls[m],
			map[string]string{"m2": "leader"}[m], map[string]string{"m3": "done"}[m]))
	}
	tag := fmt.Sprintf(`W/"status-%d"`, f.rev)
	if r.Header.Get("If-None-Match") == tag {
		return reply(r, 304, ""), nil
	}
	resp := reply(r, 200, fmt.Sprintf(`{"revision":%d,"status":%q,"observed_by":%q,"product":%q,"run":{"id":"r1"},"members":[%s],"transcript":{"total":%d,"lines":[{"seq":%d,"text":"l"}]}}`,
		f.rev, f.status, id, product, strings.Join(members, ","), f.rev, f.rev))
	resp.Header.Set("ETag", tag)
	return resp, nil
}

func newFleet() *fleet {
	return &fleet{rev: 1, status: "working", down: map[string]bool{}, members: map[string]string{},
		urls: map[string]string{"m1": "https://10.0.0.11:8092", "m2": "https://10.0.0.12:8092/", "m3": "https://10.0.0.13:8092"}}
}

// watch follows the fleet, and returns which servers were asked, in turn, until
// it was lost for as long as that.
func (f *fleet) watch(t *testing.T, c httpapi.ClientConfig, after func(httpapi.Event)) (asked []string, last error) {
	c.HTTP, c.Auth = &http.Client{Transport: f}, httpapi.BearerAuth("s3cret")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for e, err := range client(t, c).Watch(ctx, httpapi.WatchOptions{Patience: time.Minute}) {
		if last = err; err == nil {
			after(e)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.asked {
		host, _, _ := strings.Cut(a, " ")
		if n := len(asked); n == 0 || asked[n-1] != host {
			asked = append(asked, host)
		}
	}
	return asked, last
}

// Only one server was named; when that restarts, the watch goes on through the
// others: the leader first, and then one that does not restart any more.
func TestWatchThroughServersOfTheStatus(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   func(*fleet, *httpapi.ClientConfig)
		events string
		asked  string
	}{
		{"the leader", nil, "1:l rev1:working lost back:1 2:l rev2:finished end", "10.0.0.11:8092 10.0.0.12:8092"},
		{"who is done", func(f *fleet, _ *httpapi.ClientConfig) { f.down["10.0.0.12:8092"] = true },
			"1:l rev1:working lost back:1 2:l rev2:finished end", "10.0.0.11:8092 10.0.0.12:8092 10.0.0.13:8092"},
		{"by another name", func(f *fleet, c *httpapi.ClientConfig) {
			f.members["vip:8092"] = "m1"
			c.Servers = []string{"https://vip:8092"}
		}, "1:l rev1:working lost back:1 2:l rev2:finished end", "vip:8092 10.0.0.12:8092"},
		{"by another name, the others down", func(f *fleet, c *httpapi.ClientConfig) {
			f.members["vip:8092"], f.down["10.0.0.12:8092"], f.down["10.0.0.13:8092"] = "m1", true, true
			c.Servers = []string{"https://vip:8092"}
		}, "", ""},
		{"only those named", func(_ *fleet, c *httpapi.ClientConfig) { c.OnlyServers = true }, "", "10.0.0.11:8092"},
		{"not in the clear", func(f *fleet, _ *httpapi.ClientConfig) {
			f.urls["m2"] = "http://10.0.0.12:8092"
		}, "1:l rev1:working lost back:1 2:l rev2:finished end", "10.0.0.11:8092 10.0.0.13:8092"},
		{"without an address", func(f *fleet, _ *httpapi.ClientConfig) {
			f.urls["m2"], f.urls["m3"] = "", "ftp://10.0.0.13"
		}, "", "10.0.0.11:8092"},
		{"an address of others", func(f *fleet, _ *httpapi.ClientConfig) {
			f.members["10.0.0.12:8092"] = "m9"
		}, "1:l rev1:working lost back:1 2:l rev2:finished end", "10.0.0.11:8092 10.0.0.12:8092 10.0.0.13:8092"},
		{"another product", func(f *fleet, _ *httpapi.ClientConfig) {
			f.down["10.0.0.12:8092"], f.product = true, "otherd"
		}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				for i, host := range []string{"10.0.0.11:8092", "10.0.0.12:8092", "10.0.0.13:8092"} {
					f.members[host] = fmt.Sprintf("m%d", i+1)
				}
				config := httpapi.ClientConfig{Servers: []string{"https://10.0.0.11:8092"}}
				if c.edit != nil {
					c.edit(f, &config)
				}
				var events []string
				asked, err := f.watch(t, config, func(e httpapi.Event) {
					events = append(events, story(e))
					if story(e) == "rev1:working" {
						f.mu.Lock()
						f.down["10.0.0.11:8092"], f.down["vip:8092"] = true, true
						f.rev, f.status = 2, "finished"
						f.mu.Unlock()
					}
				})
				if (err == nil) != (c.events != "") {
					t.Errorf("ended with %v", err)
				}
				if got := strings.Join(events, " "); c.events != "" && got != c.events {
					t.Errorf("got  %s\nwant %s", got, c.events)
				}
				if got := strings.Join(asked, " "); c.asked != "" && got != c.asked {
					t.Errorf("asked %s\nwant  %s", got, c.asked)
				}
				for _, a := range f.asked {
					if f.members["vip:8092"] != "" && strings.HasPrefix(a, "10.0.0.11:") {
						t.Errorf("m1 is asked under its other name: %s", a)
					}
					if !strings.HasSuffix(a, "Bearer s3cret") {
						t.Errorf("asked without credentials: %s", a)
					}
				}
			})
		})
	}
}

// An address that cannot be reached from here is asked less often, and not given
// up.
func TestWatchAsksDeafServersLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.members["10.0.0.11:8092"] = "m1"
		_, err := f.watch(t, httpapi.ClientConfig{Servers: []string{"https://10.0.0.11:8092"}}, func(e httpapi.Event) {
			if e.Type == httpapi.EventStatus {
				f.mu.Lock()
				f.down["10.0.0.11:8092"] = true
				f.mu.Unlock()
			}
		})
		if err == nil {
			t.Error("no error")
		}
		count := map[string]int{}
		for _, a := range f.asked {
			count[a[:10]]++
		}
		if m1, m2 := count["10.0.0.11:"], count["10.0.0.12:"]; m2 != count["10.0.0.13:"] || m2 < 4 || m2 > m1/3 {
			t.Errorf("asked %v", count)
		}
	})
}

// Over real sockets, through the handler: m1 restarts while the watch hangs on it.
func TestWatchThroughAMemberOfTheStatus(t *testing.T) {
	f := staged()
	f.members = []upgrade.StatusMember{}
	h := func(id string) http.Handler {
		c := config(f)
		c.Upgrader = seenBy{f, id}
		return handler(t, c)
	}
	a, b := newMachine(t, h("m1")), newMachine(t, h("m2"))
	f.members = []upgrade.StatusMember{{ID: "m1", URL: a.url(), State: "restarting"}, {ID: "m2", URL: b.url(), Role: "leader", State: "done"}}
	cl := client(t, httpapi.ClientConfig{Servers: []string{a.url()}})
	var got []string
	for e, err := range cl.Watch(t.Context(), httpapi.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, story(e))
		switch e.Type {
		case httpapi.EventStatus:
			if e.Status.Revision == 1 {
				f.set("two", func(r *tracking.Run) { r.Status = tracking.Working })
				a.stop()
			}
		case httpapi.EventBack:
			if !strings.Contains(e.Server, b.addr) {
				t.Errorf("back through %s", e.Server)
			}
			f.set("three", func(r *tracking.Run) { r.Status = tracking.Finished })
		}
	}
	if i := slices.Index(got, "lost:planned"); i < 0 {
		t.Errorf("not as planned: %v", got)
	}
	var lines []string
	for _, s := range got {
		if s[0] >= '0' && s[0] <= '9' {
			lines = append(lines, s)
		}
	}
	if s := strings.Join(lines, " "); s != "1:staged 2:two 3:three" {
		t.Errorf("lines %s of %v", s, got)
	}
}

// seenBy is the status as a member gives it.
type seenBy struct {
	*fake
	id string
}

func (s seenBy) Status(ctx context.Context) (upgrade.Status, error) {
	st, err := s.fake.Status(ctx)
	st.ObservedBy, st.Members = s.id, s.fake.members
	return st, err
}
