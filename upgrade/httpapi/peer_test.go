package httpapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

const peerAt = "/api/v3/system/upgrade/peer/"

// closing is a blob that tells whether it was closed.
type closing struct {
	io.ReadSeeker
	open *atomic.Int64
}

func (c closing) Close() error { c.open.Add(-1); return nil }

// giving is a fake that gives out content.
func giving(content io.ReadSeeker, size int64) (*fake, *atomic.Int64) {
	f, open := staged(), new(atomic.Int64)
	f.blob = func(context.Context) (io.ReadSeekCloser, int64, error) {
		open.Add(1)
		_, err := content.Seek(0, io.SeekStart)
		return closing{content, open}, size, err
	}
	return f, open
}

func TestPeerTranscripts(t *testing.T) {
	f, open := giving(strings.NewReader("PK archive"), 10)
	s := serve(t, handler(t, config(f)))
	plain := common + always + "\n"
	bytesReply := func(status, length, rng, body string) string {
		return "HTTP/1.1 " + status + "\nAccept-Ranges: bytes\nCache-Control: no-store\nContent-Length: " + length + "\n" + rng +
			"Content-Type: application/octet-stream\nX-Content-Type-Options: nosniff\n\n" + body
	}
	report := `{"member":"m1","boot":"b1","version":"4.11.2","platform":"","reads":null,"writes":0,"ready":true,"at":"2026-11-22T12:02:41Z"}`
	ranged := func(spec string) string {
		return "GET " + peerAt + "blob/sha256:ab HTTP/1.1\n" + common + always + "Range: " + spec + "\n\n"
	}
	for _, c := range []struct{ name, request, want string }{
		{"report", "GET " + peerAt + "report HTTP/1.1\n" + plain, fmt.Sprintf("HTTP/1.1 200 OK\nCache-Control: no-store\nContent-Length: %d\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n%s\n", len(report)+1, report)},
		{"look", "POST " + peerAt + "look HTTP/1.1\n" + common + "Content-Length: 0\n" + always + "\n", "HTTP/1.1 204 No Content\n" + noBody + "\n"},
		{"blob", "GET " + peerAt + "blob/sha256:ab HTTP/1.1\n" + plain, bytesReply("200 OK", "10", "", "PK archive")},
		{"head", "HEAD " + peerAt + "blob/sha256:ab HTTP/1.1\n" + plain, bytesReply("200 OK", "10", "", "")},
		{"from", ranged("bytes=3-"), bytesReply("206 Partial Content", "7", "Content-Range: bytes 3-9/10\n", "archive")},
		{"from to", ranged("bytes=3-4"), bytesReply("206 Partial Content", "2", "Content-Range: bytes 3-4/10\n", "ar")},
		{"past the end", ranged("bytes=3-99"), bytesReply("206 Partial Content", "7", "Content-Range: bytes 3-9/10\n", "archive")},
		{"last", ranged("bytes=-3"), bytesReply("206 Partial Content", "3", "Content-Range: bytes 7-9/10\n", "ive")},
		{"several", ranged("bytes=0-1,4-5"), bytesReply("200 OK", "10", "", "PK archive")},
		{"upside down", ranged("bytes=5-3"), bytesReply("200 OK", "10", "", "PK archive")},
		{"other unit", ranged("lines=1-"), bytesReply("200 OK", "10", "", "PK archive")},
	} {
		if got := raw(t, s, c.request); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
	got := raw(t, s, ranged("bytes=10-"))
	if !strings.HasPrefix(got, "HTTP/1.1 416 ") || !strings.Contains(got, "Content-Range: bytes */10\n") ||
		!strings.Contains(got, "Content-Type: application/json\n") || !strings.Contains(got, `"Reason":"RangeNotSatisfiable"`) {
		t.Errorf("beyond the end: %s", got)
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d archives are open still", n)
	}
}

// Every route asks for the right of members, before anything else is done; errors
// are error objects; pages of other sites are refused.
func TestPeerRights(t *testing.T) {
	f, _ := giving(strings.NewReader("PK"), 2)
	c := config(f)
	var asked []httpapi.Right
	c.Authorize = func(_ *http.Request, right httpapi.Right) error {
		asked = append(asked, right)
		if right == httpapi.RightPeer {
			return errors.New("you are no member")
		}
		return nil
	}
	h := handler(t, c)
	for _, x := range []struct{ method, path string }{{"GET", "report"}, {"HEAD", "report"}, {"GET", "blob/sha256:ab"}, {"POST", "look"}} {
		asked = nil
		r := do(h, x.method, peerAt+x.path, "")
		if r.StatusCode != 403 || r.Header.Get("Content-Type") != "application/json" || len(asked) != 1 || asked[0] != httpapi.RightPeer {
			t.Errorf("%s %s: %s, asked for %v", x.method, x.path, r.Status, asked)
		}
	}
	if seen := f.seen(); len(seen) > 0 {
		t.Errorf("called %v", seen)
	}
	f.fail = &upgrade.Refusal{Kind: upgrade.Busy, Reason: "SlotsTaken", Message: "2 members are fetching", Until: time.Now().Add(time.Second)}
	h = handler(t, config(f))
	if r := do(h, "GET", peerAt+"blob/sha256:ab", ""); r.StatusCode != 429 || r.Header.Get("Retry-After") != "1" || !strings.Contains(text(t, r), `"SlotsTaken"`) {
		t.Errorf("busy: %s %v", r.Status, r.Header)
	}
	for _, x := range []struct {
		method, path string
		status       int
	}{{"POST", "report", 405}, {"DELETE", "blob/sha256:ab", 405}, {"GET", "look", 405}, {"GET", "", 404}, {"GET", "nothing", 404}} {
		r := do(h, x.method, peerAt+x.path, "")
		if r.StatusCode != x.status || !strings.Contains(text(t, r), `"Messages":[`) {
			t.Errorf("%s %s: %s", x.method, x.path, r.Status)
		}
	}
	foreign := httptest.NewRequest("POST", peerAt+"look", nil)
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, foreign)
	if w.Code != 403 || !strings.Contains(w.Body.String(), "CrossOrigin") {
		t.Errorf("from another site: %d %s", w.Code, w.Body)
	}
}

// endless is size bytes that are nowhere in memory.
type endless struct{ at, size int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.at >= e.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.size-e.at)
	e.at += n
	return int(n), nil
}

func (e *endless) Seek(offset int64, whence int) (int64, error) {
	e.at = offset
	return e.at, nil
}

// A server's limits on the time of requests are not for archives, which come
// whole also over HTTP/2.
func TestPeerBlobOutlivesLimits(t *testing.T) {
	const size = 32 << 20
	f, open := giving(nil, 0)
	f.blob = func(ctx context.Context) (io.ReadSeekCloser, int64, error) {
		open.Add(1)
		return closing{bound{&endless{size: size}, ctx}, open}, size, nil
	}
	s := httptest.NewUnstartedServer(handler(t, config(f)))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	s.Start()
	t.Cleanup(s.Close)
	resp, err := s.Client().Get(s.URL + peerAt + "blob/sha256:ab")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.Sleep(300 * time.Millisecond) // longer than the limits, with the buffers on the way full
	n, err := io.Copy(sha256.New(), resp.Body)
	if err != nil || n != size {
		t.Errorf("%d bytes, %v", n, err)
	}

	f.blob = func(context.Context) (io.ReadSeekCloser, int64, error) {
		open.Add(1)
		return closing{&endless{size: size}, open}, size, nil
	}
	s2, client := h2(t, handler(t, config(f)))
	resp, err = client.Get(s2.URL + peerAt + "blob/sha256:ab")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size || resp.ProtoMajor != 2 {
		t.Errorf("%s: %d bytes, %v", resp.Proto, n, err)
	}
}

// Nor is the limit on reading that a middleware sets: net/http, which reads on to
// notice that the client is gone, would end the request's context by it.
func TestPeerBlobOutlivesMiddleware(t *testing.T) {
	const size = 32 << 20
	f, _ := giving(nil, 0)
	f.blob = func(ctx context.Context) (io.ReadSeekCloser, int64, error) {
		return closing{bound{&endless{size: size}, ctx}, new(atomic.Int64)}, size, nil
	}
	h := handler(t, config(f))
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		h.ServeHTTP(w, r)
	}))
	resp, err := s.Client().Get(s.URL + peerAt + "blob/sha256:ab")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.Sleep(200 * time.Millisecond) // longer than the limit, with the buffers on the way full
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// bound can be read until ctx is done.
type bound struct {
	io.ReadSeeker
	ctx context.Context
}

func (b bound) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.ReadSeeker.Read(p)
}

// failing ends early with an error.
type failing struct{ io.ReadSeeker }

func (f failing) Read(p []byte) (int, error) {
	n, err := f.ReadSeeker.Read(p)
	if err == io.EOF {
		err = archive.ErrDigest
	}
	return n, err
}

// What cannot be read to its end, and a server that is about to stop, cut the
// connection: the receiver must not take it for the end.
func TestPeerBlobIsCut(t *testing.T) {
	broken, _ := giving(failing{bytes.NewReader(make([]byte, 1000))}, 2000)
	h1 := serve(t, handler(t, config(broken)))
	h2, client := h2(t, handler(t, config(broken)))
	for s, client := range map[*httptest.Server]*http.Client{h1: h1.Client(), h2: client} {
		resp, err := client.Get(s.URL + peerAt + "blob/sha256:ab")
		if err != nil {
			continue // it was cut before anything was on its way
		}
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("%s: %d bytes, and no error", resp.Proto, n)
		}
		resp.Body.Close()
	}
	draining := make(chan struct{})
	f, open := giving(&endless{size: 1 << 40}, 1<<40)
	c := config(f)
	c.Draining = func() <-chan struct{} { return draining }
	s := serve(t, handler(t, c))
	resp, err := s.Client().Get(s.URL + peerAt + "blob/sha256:ab")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	close(draining)
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("goes on while the server drains")
	}
	s.Close() // waits for the handler
	if n := open.Load(); n != 0 {
		t.Errorf("%d archives are open still", n)
	}
}

// Who goes away frees the slot.
func TestPeerBlobLeft(t *testing.T) {
	f, open := giving(&endless{size: 1 << 40}, 1<<40)
	s := serve(t, handler(t, config(f)))
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %sblob/sha256:ab HTTP/1.1\r\nHost: x\r\n\r\n", peerAt)
	if _, err := io.CopyN(io.Discard, conn, 1<<20); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	s.Close() // waits for the handler
	if n := open.Load(); n != 0 {
		t.Errorf("%d archives are open still", n)
	}
}
