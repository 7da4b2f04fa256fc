package upgrade_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// unread is a body that must not be touched.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("not to be read")
}

// Before the body is read every member must answer, and understand what will be
// written. Whoever does not is named, and nothing is put on record.
func TestStageAsksEveryMember(t *testing.T) {
	for name, x := range map[string]struct {
		spoil  func(c *crowd)
		reason string
		member string
		says   string
	}{
		"away": {func(c *crowd) { c.members["m3"].srv.Close() }, "MemberUnhealthy", "m3", "m3 does not answer"},
		"without the library": {func(c *crowd) { c.members["m2"].face.Store(nil) },
			"RecordFormat", "m2", "m2 does not read"},
		"of an older format": {func(c *crowd) {
			c.members["m1"].wire.set(nil, func(r *http.Request, resp *http.Response) {
				var p upgrade.PeerReport
				json.NewDecoder(resp.Body).Decode(&p)
				p.Reads = []int{0}
				b, _ := json.Marshal(p)
				resp.Body = io.NopCloser(bytes.NewReader(b))
			})
		}, "RecordFormat", "m2", "m2 m3 does not read"},
		"another at the address": {func(c *crowd) {
			c.members["m3"].face.Store(c.members["m2"].face.Load())
		}, "MemberUnhealthy", "m3", "m3 does not answer"},
		"other credentials": {func(c *crowd) {
			c.members["m1"].wire.set(func(r *http.Request) error { r.URL.RawQuery = "forget=me"; return nil }, nil)
		}, "PeerForbidden", "m2", "m2 m3 does not take the credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t, "m1", "m2", "m3")
			x.spoil(c)
			_, err := c.members["m1"].Stage(t.Context(), unread{t}, upgrade.StageOptions{Size: 100})
			no := refusal(t, err, upgrade.NotReady, x.reason)
			if no.Member != x.member || !strings.Contains(no.Message, x.says) {
				t.Errorf("names %s: %s", no.Member, no.Message)
			}
			if r := c.run(); r.Status != tracking.None || r.Rev != 0 {
				t.Errorf("put on record: %+v", r)
			}
			if data, _, _ := c.record.Load(t.Context(), tracking.KeyMember+"m1"); data != nil {
				t.Errorf("reported: %s", data)
			}
		})
	}
}

func TestNoPeerClient(t *testing.T) {
	c := crowdWith(t, func(id string, c *upgrade.Config) { c.PeerClient = nil }, "m1", "m2")
	_, err := c.members["m1"].Stage(t.Context(), unread{t}, upgrade.StageOptions{Size: 100})
	refusal(t, err, upgrade.NotReady, "NoPeerClient")

	alone := crowdWith(t, func(id string, c *upgrade.Config) { c.PeerClient = nil }, "m1")
	if _, err := alone.stage("m1", alone.release("1.1.0", 100)); err != nil {
		t.Errorf("a server alone: %v", err)
	}
}

// The hint wakes a member whose record tells it nothing, and that is all.
func TestLook(t *testing.T) {
	c := newCrowd(t, "m1", "m2")
	if err := c.members["m2"].PeerLook(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := c.run(); r.Status != tracking.None {
		t.Errorf("run %+v", r)
	}
}

// Members give out what the record names, and nothing else.
func TestOnlyWhatIsOnRecord(t *testing.T) {
	c := newCrowd(t, "m1")
	m := c.members["m1"]
	p := c.release("1.1.0", 100)
	if _, err := m.blobs.Put(t.Context(), p.Digest, bytes.NewReader(p.Bytes)); err != nil {
		t.Fatal(err)
	}
	_, _, err := m.PeerBlob(t.Context(), p.Digest)
	refusal(t, err, upgrade.NotFound, "NotOnRecord")
	if _, err := c.stage("m1", p); err != nil {
		t.Fatal(err)
	}
	for info := range m.blobs.List(t.Context()) {
		r, size, err := m.PeerBlob(t.Context(), info.Digest)
		if info.Digest != p.Digest {
			refusal(t, err, upgrade.NotFound, "NotOnRecord")
			continue
		}
		if err != nil || size != int64(len(p.Bytes)) {
			t.Fatalf("%d bytes, %v", size, err)
		}
		r.Close()
	}
	if err := m.blobs.Delete(t.Context(), p.Digest); err != nil {
		t.Fatal(err)
	}
	for range 5 { // no slot is lost over it
		_, _, err := m.PeerBlob(t.Context(), p.Digest)
		refusal(t, err, upgrade.NotFound, "NotHeld")
	}
}
