package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

const stage = "/api/v3/system/upgrade/stage"

func TestUploadHeaders(t *testing.T) {
	const (
		hexSum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
		b64Sum = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
		sum    = archive.Digest("sha256:" + hexSum)
	)
	for _, c := range []struct {
		name, query string
		header      []string
		status      int
		reason      string
		digest      archive.Digest
	}{
		{"none", "", nil, 201, "", ""},
		{"octets", "", []string{"Content-Type", "application/octet-stream"}, 201, "", ""},
		{"zip", "", []string{"Content-Type", "application/zip; x=y"}, 201, "", ""},
		{"gzip", "", []string{"Content-Type", "application/x-gzip"}, 201, "", ""},
		{"identity", "", []string{"Content-Encoding", "identity"}, 201, "", ""},
		{"form", "", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "MediaType", ""},
		{"curl", "", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "MediaType", ""},
		{"text", "", []string{"Content-Type", "text/plain"}, 415, "MediaType", ""},
		{"coded", "", []string{"Content-Encoding", "gzip"}, 415, "MediaType", ""},
		{"digest in the query", "?sha256=" + hexSum, nil, 201, "", sum},
		{"digest in upper case", "?sha256=" + strings.ToUpper(hexSum), nil, 201, "", sum},
		{"digest with its prefix", "?sha256=sha256:" + hexSum, nil, 201, "", sum},
		{"digest in a header", "", []string{"Content-Digest", "sha-512=:AAAA:, sha-256=:" + b64Sum + ":"}, 201, "", sum},
		{"both", "?sha256=" + hexSum, []string{"Content-Digest", "sha-256=:" + b64Sum + ":"}, 201, "", sum},
		{"unknown algorithm", "", []string{"Content-Digest", "md5=:AAAA:"}, 201, "", ""},
		{"two that differ", "?sha256=" + strings.Repeat("0", 64), []string{"Content-Digest", "sha-256=:" + b64Sum + ":"}, 422, "BadRequest", ""},
		{"short digest", "?sha256=ba78", nil, 422, "BadRequest", ""},
		{"no digest at all", "?sha256=", nil, 422, "BadRequest", ""},
		{"no byte sequence", "", []string{"Content-Digest", "sha-256=" + hexSum}, 422, "BadRequest", ""},
		{"bad base64", "", []string{"Content-Digest", "sha-256=:@@@@:"}, 422, "BadRequest", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{}
			r := do(handler(t, config(f)), "POST", stage+c.query, "abc", c.header...)
			body := text(t, r)
			if r.StatusCode != c.status || !strings.Contains(body, c.reason) {
				t.Errorf("%s %s", r.Status, body)
			}
			if c.status == 201 && (f.put.Digest != c.digest || f.put.Size != 3) {
				t.Errorf("staged with %+v", f.put)
			}
			if c.status != 201 && len(f.seen()) > 0 {
				t.Errorf("reached the upgrader: %v", f.seen())
			}
		})
	}
}

// unread fails the test if somebody reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestRefusedBeforeTheBody(t *testing.T) {
	c := config(&fake{})
	c.MaxUpload = 100
	for name, c := range map[string]struct {
		h      http.Handler
		length int64
		status int
	}{
		"too large":    {handler(t, c), 101, 413},
		"unauthorised": {handler(t, httpapi.Config{Upgrader: &fake{}, Authorize: func(*http.Request, httpapi.Right) error { return httpapi.ErrUnauthenticated }}), 50, 401},
	} {
		r := httptest.NewRequest("POST", stage, unread{t})
		r.ContentLength = c.length
		w := httptest.NewRecorder()
		c.h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// A client that expects 100 Continue sends nothing to a server that refuses.
func TestExpectContinue(t *testing.T) {
	var allowed atomic.Bool
	c := config(&fake{})
	c.Authorize = func(*http.Request, httpapi.Right) error {
		if allowed.Load() {
			return nil
		}
		return errors.New("no")
	}
	s := serve(t, handler(t, c))
	for _, allow := range []bool{false, true} {
		allowed.Store(allow)
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", stage)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if want := map[bool]string{false: "HTTP/1.1 403 Forbidden\r\n", true: "HTTP/1.1 100 Continue\r\n"}[allow]; line != want || err != nil {
			t.Errorf("allowed %v: %q, %v", allow, line, err)
		}
	}
}

func TestLimitOfUploads(t *testing.T) {
	c := config(&fake{})
	c.MaxUpload = 100
	h := handler(t, c)
	for _, known := range []bool{true, false} {
		for size, want := range map[int]int{99: 201, 100: 201, 101: 413, 100_000: 413} {
			r := httptest.NewRequest("POST", stage, strings.NewReader(strings.Repeat("x", size)))
			if !known {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%d bytes, length known %v: %d, want %d; %s", size, known, w.Code, want, w.Body)
			}
		}
	}
}

// bodies that end before their end, whatever is to blame.
func TestBodyEndsEarly(t *testing.T) {
	cutting := func(reader func(http.ResponseWriter, io.ReadCloser) io.ReadCloser) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = reader(w, r.Body)
				h.ServeHTTP(w, r)
			})
		}
	}
	maxBytes := cutting(func(w http.ResponseWriter, b io.ReadCloser) io.ReadCloser { return http.MaxBytesReader(w, b, 64<<10) })
	silent := cutting(func(_ http.ResponseWriter, b io.ReadCloser) io.ReadCloser {
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(b, 64<<10), b}
	})
	for _, c := range []struct {
		name       string
		middleware func(http.Handler) http.Handler
		known      bool
		want       string
	}{
		{"MaxBytesReader", maxBytes, true, "the body ended early, after 65536 bytes of 100000, at a limit of 65536: a limit in front of this handler?"},
		{"MaxBytesReader, chunked", maxBytes, false, "the body ended early, after 65536 bytes, at a limit of 65536: a limit in front of this handler?"},
		{"silent", silent, true, "the body ended early, after 65536 bytes of 100000: a limit in front of this handler?"},
		// Nothing but the archive tells here.
		{"silent, chunked", silent, false, "The body ended after exactly 65536 bytes: a limit in front of this handler?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{stage: func(_ context.Context, body io.Reader, _ upgrade.StageOptions) (upgrade.Staged, error) {
				s, err := take(body)
				if err != nil {
					err = errors.New("an upgrader that does not wrap: " + err.Error())
				} else {
					err = &upgrade.Refusal{Kind: upgrade.Invalid, Reason: "Truncated", Message: "the archive is cut off"}
				}
				return s, err
			}}
			s := serve(t, c.middleware(handler(t, config(f))))
			var body io.Reader = strings.NewReader(strings.Repeat("x", 100_000))
			if !c.known {
				body = struct{ io.Reader }{body}
			}
			resp, err := http.Post(s.URL+stage, "application/zip", body)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(t, resp); !strings.Contains(got, c.want) || resp.StatusCode/100 != 4 {
				t.Errorf("%s %s", resp.Status, got)
			}
		})
	}
}

// The client goes away half-way: the upgrader sees an error, and nothing else.
func TestClientGoneHalfWay(t *testing.T) {
	for name, head := range map[string]string{
		"length known": "Content-Length: 100\r\n\r\n0123456789",
		"chunked":      "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			began := make(chan struct{})
			f := &fake{stage: func(_ context.Context, body io.Reader, _ upgrade.StageOptions) (upgrade.Staged, error) {
				if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
					t.Error(err)
				}
				close(began)
				s, err := take(body)
				got <- err
				return s, err
			}}
			s := serve(t, handler(t, config(f)))
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s", stage, head)
			<-began
			conn.Close()
			var r *upgrade.Refusal
			if err := <-got; !errors.As(err, &r) || r.Kind != upgrade.Short || r.Reason != "BodyEndedEarly" {
				t.Errorf("%v", err)
			}
		})
	}
}
