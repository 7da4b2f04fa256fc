package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// Whoever takes the upload, every member has the archive and what is in it when
// Stage returns, and has said so itself.
func TestEveryMemberHolds(t *testing.T) {
	c := newCrowd(t, "m1", "m2", "m3", "m4", "m5")
	p := c.release("1.1.0", 3<<20)
	st, err := c.stage("m2", p)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.run(); r.Status != tracking.Staged || r.ID != st.Run {
		t.Errorf("run %s is %s", r.ID, r.Status)
	}
	for id := range c.members {
		if err := c.holds(id, p); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if r := c.report(id); r.Holds != c.run().Archive.Sums || r.HoldsFor != st.Run || r.Lacks != nil {
			t.Errorf("%s reports %+v", id, r)
		}
	}
	// The record is written for what happens, not for bytes: two words of each
	// member at most, and a few of the run.
	_, place, err := c.record.Wait(t.Context(), "")
	if n := 0; err == nil {
		fmt.Sscan(string(place), &n)
		if n > 2*5+5 {
			t.Errorf("%d writes to stage on five members", n)
		}
	}
}

// A member that the connection breaks for goes on where it was, with another.
func TestGoesOnElsewhere(t *testing.T) {
	c := newCrowd(t, "m1", "m2")
	p := c.release("1.1.0", 2<<20)
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	m := c.join("m3", false)
	offset := 1 + rand.Int64N(int64(len(p.Bytes)-1))
	var mu sync.Mutex
	first := ""
	m.wire.set(func(r *http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		if isBlob(r) && r.URL.Host == first {
			return errors.New("nobody there any more")
		}
		return nil
	}, func(r *http.Request, resp *http.Response) {
		mu.Lock()
		defer mu.Unlock()
		if isBlob(r) && first == "" {
			first = r.URL.Host
			resp.Body = &cut{resp.Body, offset}
		}
	})
	c.boot(m)
	c.until("m3 holds the archive", func() bool { return c.report("m3").Holds != "" })
	if err := c.holds("m3", p); err != nil {
		t.Error(err)
	}
	asked := m.wire.asked()
	want := fmt.Sprintf("bytes=%d- 206", offset)
	if len(asked) != 2 || !strings.HasSuffix(asked[1], want) || strings.Contains(asked[1], first) {
		t.Errorf("cut after %d bytes of %s, asked %q", offset, first, asked)
	}
}

// A holder gives to as many as it has slots for; who finds none comes later.
func TestSlots(t *testing.T) {
	c := newCrowd(t, "m1", "m2", "m3", "m4")
	refused := make(chan struct{})
	once := sync.OnceFunc(func() { close(refused) })
	for _, m := range c.members {
		m.wire.set(nil, func(r *http.Request, resp *http.Response) {
			switch {
			case !isBlob(r):
			case resp.StatusCode == http.StatusTooManyRequests:
				if resp.Header.Get("Retry-After") == "" {
					t.Error("busy without Retry-After")
				}
				once()
			default:
				resp.Body = &gated{resp.Body, refused, r.Context()}
			}
		})
	}
	p := c.release("1.1.0", 8<<20) // more than fits in the buffers on the way
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	select {
	case <-refused:
	default:
		t.Error("three members were given the archive at once")
	}
	for id := range c.members {
		if err := c.holds(id, p); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// gated is a body that comes when open is closed.
type gated struct {
	io.ReadCloser
	open <-chan struct{}
	ctx  context.Context
}

func (g *gated) Read(p []byte) (int, error) {
	select {
	case <-g.open:
		return g.ReadCloser.Read(p)
	case <-g.ctx.Done():
		return 0, context.Cause(g.ctx)
	}
}

// An archive that one member does not take ends the staging, by its name, and is
// not tried for ever.
func TestRefusedByOne(t *testing.T) {
	other, err := archive.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := crowdWith(t, func(id string, c *upgrade.Config) {
		if id == "m3" {
			c.Keys = []archive.PublicKey{other.Public()}
		}
	}, "m1", "m2", "m3")
	_, err = c.stage("m2", c.release("1.1.0", 1000))
	no := refusal(t, err, upgrade.Untrusted, archive.UnknownKey)
	if no.Member != "m3" || !strings.Contains(no.Message, "m3") {
		t.Errorf("refused for %q: %s", no.Member, no.Message)
	}
	r := c.run()
	if r.Status != tracking.Failed || r.FailedMember != "m3" || r.Reason != archive.UnknownKey {
		t.Errorf("run %s %s %s: %s", r.Status, r.FailedMember, r.Reason, r.FinalState)
	}
	if err := c.members["m1"].Unstage(t.Context(), upgrade.UnstageOptions{}); err != nil {
		t.Fatal(err)
	}
	c.emptyEverywhere()
}

// A member that runs what is in the archive holds it, whatever keys it trusts.
func TestRunsItSoHoldsIt(t *testing.T) {
	other, err := archive.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := crowdWith(t, func(id string, c *upgrade.Config) {
		if id == "m2" {
			c.Keys = []archive.PublicKey{other.Public()}
		}
	}, "m1")
	p := c.release("1.1.0", 1000)
	m := c.join("m2", false)
	writeProgram(t, m.path, "kvd 1.1.0")
	c.boot(m)
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	if r := c.report("m2"); r.Holds != c.run().Archive.Sums || r.Lacks != nil {
		t.Errorf("m2 reports %+v", r)
	}
}

// What was held for an earlier staging of the same archive does not count: it
// was removed since. The request gives up with the names, the members do not,
// and the same archive again waits for them.
func TestLostOnTheWay(t *testing.T) {
	c := crowdWith(t, func(_ string, c *upgrade.Config) { c.StageTimeout = 3 * time.Second }, "m1", "m2", "m3")
	p := c.release("1.1.0", 1<<20)
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	if err := c.members["m1"].Unstage(t.Context(), upgrade.UnstageOptions{}); err != nil {
		t.Fatal(err)
	}
	c.emptyEverywhere()
	back := make(chan struct{})
	c.members["m3"].wire.set(func(r *http.Request) error {
		select {
		case <-back:
			return nil
		default:
			return errors.New("no route to host")
		}
	}, nil)
	_, err := c.stage("m1", p)
	no := refusal(t, err, upgrade.Unavailable, "ReplicationIncomplete")
	if no.Member != "m3" || !strings.Contains(no.Message, "m3") || strings.Contains(no.Message, "m2") {
		t.Errorf("names %q: %s", no.Member, no.Message)
	}
	if r := c.run(); r.Status != tracking.Staging {
		t.Fatalf("run is %s: it does not go on", r.Status)
	}
	c.until("m3 tells why it lacks the archive", func() bool {
		l := c.report("m3").Lacks
		return l != nil && strings.Contains(l.Text, "no route to host")
	})
	_, err = c.stage("m2", p)
	if no := refusal(t, err, upgrade.Unavailable, "ReplicationIncomplete"); !strings.Contains(no.Message, "no route to host") {
		t.Errorf("does not say why: %s", no.Message)
	}
	close(back)
	c.until("staged", func() bool { return c.run().Status == tracking.Staged })
	st, err := c.stage("m2", p)
	if err != nil || !st.Already {
		t.Errorf("the same again: %+v, %v", st, err)
	}
	if err := c.holds("m3", p); err != nil {
		t.Error(err)
	}
}

func refusal(t testing.TB, err error, kind upgrade.Kind, reason string) *upgrade.Refusal {
	t.Helper()
	var no *upgrade.Refusal
	if !errors.As(err, &no) {
		t.Fatalf("error %v is no Refusal, want %s", err, reason)
	}
	if no.Kind != kind || no.Reason != reason || no.Message == "" || no.Remedy == "" {
		t.Fatalf("refused as %s %s (%s; %s), want %s %s", no.Kind, no.Reason, no.Message, no.Remedy, kind, reason)
	}
	return no
}
