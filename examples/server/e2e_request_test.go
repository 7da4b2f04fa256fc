package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/leaderlast/leaderlast/upgrade"
)

// A gotten is a reply, read to its end.
type gotten struct {
	status int
	proto  int
	header http.Header
	body   []byte
}

// do sends a request below /api/v3, as the user of the server unless header has
// an Authorization. header is name, value, and so on.
func (k *kvd) do(method, path string, body io.Reader, header ...string) gotten {
	k.t.Helper()
	g, err := k.try(k.t.Context(), method, path, body, header...)
	if err != nil {
		k.t.Fatal(err)
	}
	return g
}

func (k *kvd) try(ctx context.Context, method, path string, body io.Reader, header ...string) (gotten, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, k.url+"/api/v3/"+path, body)
	if err != nil {
		return gotten{}, err
	}
	req.SetBasicAuth(k.login())
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(k.http, req)
}

func send(c *http.Client, req *http.Request) (gotten, error) {
	res, err := c.Do(req)
	if err != nil {
		return gotten{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return gotten{res.StatusCode, res.ProtoMajor, res.Header, b}, err
}

// upload sends b as drpcli does: its length is not announced.
func (k *kvd) upload(path string, b []byte) gotten {
	k.t.Helper()
	return k.do(http.MethodPost, path, struct{ io.Reader }{bytes.NewReader(b)}, "Content-Type", "application/octet-stream")
}

// ok fails the test unless the reply has this status and says that it is JSON.
func (g gotten) ok(t testing.TB, status int) gotten {
	t.Helper()
	if g.status != status {
		t.Fatalf("status %d, want %d: %s", g.status, status, g.body)
	}
	if got := g.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("status %d with Content-Type %q: drpcli takes that for an error", g.status, got)
	}
	return g
}

// into decodes the body; it must be one JSON value.
func (g gotten) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(g.body, v); err != nil {
		t.Fatalf("%v: %s", err, g.body)
	}
}

// A contractError is the error object as existing clients decode it.
type contractError struct {
	Model, Key, Type string
	Messages         []string
	Code             int
	Reason           string // ours
}

// refused fails the test unless the reply is an error object with this status,
// and this Reason unless it is "".
func (g gotten) refused(t testing.TB, status int, reason string) contractError {
	t.Helper()
	g.ok(t, status)
	var e contractError
	g.into(t, &e)
	if e.Model == "" || e.Type == "" || len(e.Messages) == 0 || slices.Contains(e.Messages, "") || e.Code != status {
		t.Errorf("not the error object that clients know: %s", g.body)
	}
	if !bytes.Contains(g.body, []byte(`"Key":`)) {
		t.Errorf("the error object has no Key: %s", g.body)
	}
	if reason != "" && e.Reason != reason {
		t.Errorf("refused for the reason %q, want %q: %s", e.Reason, reason, g.body)
	}
	return e
}

// info is what the server says of itself.
func (k *kvd) info() serverInfo {
	k.t.Helper()
	var i serverInfo
	k.do(http.MethodGet, "info", nil).ok(k.t, http.StatusOK).into(k.t, &i)
	return i
}

// status is the record, "none" if there is nothing.
func (k *kvd) status() upgrade.Status {
	k.t.Helper()
	var s upgrade.Status
	k.do(http.MethodGet, "system/upgrade/status?view=2", nil).ok(k.t, http.StatusOK).into(k.t, &s)
	return s
}
