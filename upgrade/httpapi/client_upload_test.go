package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

func TestRefresh(t *testing.T) {
	var token atomic.Value
	token.Store("old")
	cfg := config(staged())
	cfg.Authorize = func(r *http.Request, _ httpapi.Right) error {
		if r.Header.Get("Authorization") != "Bearer new" {
			return httpapi.ErrUnauthenticated
		}
		return nil
	}
	s := serve(t, handler(t, cfg))
	refreshed := 0
	c := client(t, httpapi.ClientConfig{Servers: []string{s.URL}, HTTP: s.Client(),
		Auth:    func(r *http.Request) error { return httpapi.BearerAuth(token.Load().(string))(r) },
		Refresh: func(context.Context) error { refreshed++; token.Store("new"); return nil }})
	if _, err := c.Status(t.Context()); err != nil || refreshed != 1 {
		t.Errorf("Status: %v, refreshed %d times", err, refreshed)
	}
	// An upload too, because the server refused it before the first byte.
	token.Store("old")
	hc := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	c = client(t, httpapi.ClientConfig{Servers: []string{s.URL}, HTTP: hc,
		Auth:    func(r *http.Request) error { return httpapi.BearerAuth(token.Load().(string))(r) },
		Refresh: func(context.Context) error { refreshed++; token.Store("new"); return nil }})
	if put, err := c.Stage(t.Context(), strings.NewReader("abc"), 3, httpapi.UploadOptions{}); err != nil || put.Release.Size != 3 || refreshed != 2 {
		t.Errorf("Stage: %v, %v, refreshed %d times", put, err, refreshed)
	}
	// Once is enough.
	token.Store("old")
	c = client(t, httpapi.ClientConfig{Servers: []string{s.URL}, Auth: httpapi.BearerAuth("old"), Refresh: func(context.Context) error { refreshed++; return nil }})
	if _, err := c.Status(t.Context()); !errors.Is(err, httpapi.ErrUnauthenticated) || refreshed != 3 {
		t.Errorf("Status: %v, refreshed %d times", err, refreshed)
	}
}

// An upload goes to the next server as long as nothing of it was read.
func TestUploadToTheServerThatAnswers(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	f := &fake{}
	c := client(t, httpapi.ClientConfig{Servers: []string{dead.URL, serve(t, handler(t, config(f))).URL}})
	if put, err := c.Stage(t.Context(), strings.NewReader("abc"), 3, httpapi.UploadOptions{}); err != nil || put.Release.Size != 3 {
		t.Errorf("%+v, %v", put, err)
	}
}

func TestUploadLost(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name string
		read int64
		size int64
		want string
	}{
		{"half-way", 10, 1 << 40, "the connection was lost after"},
		{"reply", 100_000, 100_000, "the whole archive was sent, but the reply was lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, c.read)
				panic(http.ErrAbortHandler)
			}))
			cl := client(t, httpapi.ClientConfig{Servers: []string{s.URL}})
			from := io.Reader(strings.NewReader(body))
			if c.size > 100_000 {
				from = &meter{left: c.size}
			}
			_, err := cl.Stage(t.Context(), from, c.size, httpapi.UploadOptions{})
			var r *upgrade.Refusal
			if !errors.As(err, &r) || r.Kind != upgrade.Unavailable || r.Reason != "UploadLost" || !strings.Contains(r.Message, c.want) {
				t.Errorf("%v", err)
			}
		})
	}
	broken := errors.New("bad sector")
	cl := client(t, httpapi.ClientConfig{Servers: []string{serve(t, handler(t, config(&fake{}))).URL}})
	_, err := cl.Stage(t.Context(), io.MultiReader(strings.NewReader("abc"), errReader{broken}), -1, httpapi.UploadOptions{})
	var r *upgrade.Refusal
	if !errors.Is(err, broken) || errors.As(err, &r) || !strings.Contains(err.Error(), "after 3 bytes") {
		t.Errorf("%v", err)
	}
}

// Certificates that nobody trusts do not become trusted by asking again.
func TestUntrustedCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(handler(t, config(staged())))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	began := time.Now()
	_, err := client(t, httpapi.ClientConfig{Servers: []string{s.URL}}).Status(t.Context())
	var r *upgrade.Refusal
	if err == nil || errors.As(err, &r) || !strings.Contains(err.Error(), "certificate") || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
