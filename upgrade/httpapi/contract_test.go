package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// raw sends request as it is, over one connection, and returns the reply as it
// came, without its date.
func raw(t *testing.T, s *httptest.Server, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	// The reply has to be whole without the end of the connection.
	var wire bytes.Buffer
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &wire)), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`Date: .*\n`).ReplaceAllString(strings.ReplaceAll(wire.String(), "\r\n", "\n"), "")
}

const (
	// What drpcli v4.7.0 sends with each request.
	common = "Host: 127.0.0.1:8092\nUser-Agent: Go-http-client/1.1\n"
	always = "Accept: application/json\nAuthorization: Bearer tok123\nCache-Control: no-store\n"

	noBody = "Cache-Control: no-store\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n"
)

// The requests are those of the real client (chunked upload; a run of length 0),
// the replies what it needs: above all the JSON type on each.
func TestContractTranscripts(t *testing.T) {
	f := staged()
	f.stage = func(_ context.Context, body io.Reader, _ upgrade.StageOptions) (upgrade.Staged, error) {
		b, err := io.ReadAll(body)
		if string(b) != "PK archive" {
			t.Errorf("the body is %q", b)
		}
		return upgrade.Staged{Run: "r1", Release: archive.Release{Archive: "sha256:ab", Size: int64(len(b))}}, err
	}
	none := &fake{}
	cluster := staged()
	cluster.fail = &upgrade.Refusal{Kind: upgrade.Unsupported, Reason: "InCluster", Message: "this server is in a cluster", Remedy: "Stage and start."}
	committed := staged()
	committed.fail = &upgrade.Refusal{Kind: upgrade.Conflict, Reason: "NothingToCommit", Message: "no member keeps a program", Remedy: "Nothing to do."}
	upload := common + "Transfer-Encoding: chunked\n" + always + "Content-Type: application/octet-stream\nAccept-Encoding: gzip\n\n3\nPK \n7\narchive\n0\n\n"
	blob := `{"Path":"sha256:ab","Size":10,"Staged":{"Run":"r1","Release":{"manifest":{"product":"","version":"","counter":0},"sums":"","archive":"sha256:ab","size":10,"unpacked":0,"files":null,"signed_by":null,"unsigned":false},"Already":false}}`
	created := fmt.Sprintf("HTTP/1.1 201 Created\nCache-Control: no-store\nContent-Length: %d\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n%s\n", len(blob)+1, blob)
	empty := common + "Content-Length: 0\n" + always + "Content-Type: application/json\nAccept-Encoding: gzip\n\n"
	plain := common + always + "Accept-Encoding: gzip\n\n"
	accepted := "HTTP/1.1 202 Accepted\nCache-Control: no-store\nContent-Length: 0\nContent-Type: application/json\nUpgrade-Run: r1\nX-Content-Type-Options: nosniff\n\n"

	for _, c := range []struct {
		name          string
		f             *fake
		request, want string
	}{
		{"stage", f, "POST /api/v3/system/upgrade/stage HTTP/1.1\n" + upload, created},
		{"legacy", f, "POST /api/v3/system/upgrade HTTP/1.1\n" + upload, created},
		{"run", f, "POST /api/v3/system/upgrade/run HTTP/1.1\n" + empty, accepted},
		{"exec", f, "POST /api/v3/system/upgrade/exec HTTP/1.1\n" + empty, accepted},
		{"retry", f, "POST /api/v3/system/upgrade/retry HTTP/1.1\n" + empty, strings.Replace(accepted, "r1", "r2", 1)},
		{"rollback", f, "POST /api/v3/system/upgrade/rollback HTTP/1.1\n" + empty, strings.Replace(accepted, "r1", "r3", 1)},
		{"commit", f, "POST /api/v3/system/upgrade/commit HTTP/1.1\n" + empty, "HTTP/1.1 204 No Content\n" + noBody + "\n"},
		{"nothing to commit", committed, "POST /api/v3/system/upgrade/commit HTTP/1.1\n" + empty,
			"HTTP/1.1 409 Conflict\nCache-Control: no-store\nContent-Length: 175\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n" +
				`{"Model":"system","Key":"upgrade","Type":"Conflict","Messages":["no member keeps a program","Nothing to do."],"Code":409,"Reason":"NothingToCommit","Remedy":"Nothing to do."}` + "\n"},
		{"pause", f, "POST /api/v3/system/upgrade/pause HTTP/1.1\n" + empty, "HTTP/1.1 204 No Content\n" + noBody + "\n"},
		{"resume", f, "POST /api/v3/system/upgrade/resume HTTP/1.1\n" + empty, "HTTP/1.1 204 No Content\n" + noBody + "\n"},
		{"unstage", f, "DELETE /api/v3/system/upgrade/stage HTTP/1.1\n" + plain, "HTTP/1.1 204 No Content\n" + noBody + "\n"},
		{"status of nothing", none, "GET /api/v3/system/upgrade/status HTTP/1.1\n" + plain,
			"HTTP/1.1 404 Not Found\nCache-Control: no-store\nContent-Length: 133\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n" +
				`{"Model":"profiles","Key":"rackn-system-upgrade-tracking","Type":"GET","Messages":["Not Found"],"Code":404,"Reason":"NoSuchProfile"}` + "\n"},
		{"param", f, "GET /api/v3/profiles/rackn-system-upgrade-tracking/params/status HTTP/1.1\n" + plain,
			"HTTP/1.1 200 OK\nCache-Control: no-store\nContent-Length: 9\nContent-Type: application/json\nEtag: \"3d488041bc40593a7cf94506\"\nX-Content-Type-Options: nosniff\n\n\"staged\"\n"},
		{"list of nothing", none, "GET /api/v3/profiles HTTP/1.1\n" + plain,
			"HTTP/1.1 200 OK\nCache-Control: no-store\nContent-Length: 3\nContent-Type: application/json\nEtag: \"37517e5f3dc66819f61f5a7b\"\nX-Content-Type-Options: nosniff\n\n[]\n"},
		{"legacy in a cluster", cluster, "POST /api/v3/system/upgrade HTTP/1.1\n" + upload,
			"HTTP/1.1 501 Not Implemented\nCache-Control: no-store\nConnection: close\nContent-Length: 178\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n" +
				`{"Model":"system","Key":"upgrade","Type":"Unsupported","Messages":["this server is in a cluster","Stage and start."],"Code":501,"Reason":"InCluster","Remedy":"Stage and start."}` + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := raw(t, serve(t, handler(t, config(c.f))), c.request); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// drpcli asks for the tag by HEAD and sends it back with Prefer.
func TestContractNotModified(t *testing.T) {
	s := serve(t, handler(t, config(staged())))
	head := raw(t, s, "HEAD /api/v3/profiles/rackn-system-upgrade-tracking HTTP/1.1\n"+common+always+"\n")
	etag := regexp.MustCompile(`Etag: (.*)`).FindStringSubmatch(head)
	if etag == nil || !strings.HasPrefix(head, "HTTP/1.1 200 OK\n") || !strings.Contains(head, "Content-Type: application/json\n") {
		t.Fatalf("HEAD: %s", head)
	}
	got := raw(t, s, "GET /api/v3/profiles/rackn-system-upgrade-tracking HTTP/1.1\n"+common+always+"If-None-Match: "+etag[1]+"\nPrefer: wait=1\n\n")
	want := "HTTP/1.1 304 Not Modified\nCache-Control: no-store\nEtag: " + etag[1] + "\nPreference-Applied: wait=1\nX-Content-Type-Options: nosniff\ncontent-type: application/json\n\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// h2 serves h over TLS and HTTP/2, as drpcli speaks it where it is offered.
func h2(t *testing.T, h http.Handler) (*httptest.Server, *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
}

func TestContractOverHTTP2(t *testing.T) {
	f := staged()
	s, client := h2(t, handler(t, config(f)))
	for _, c := range []struct {
		method, path string
		body         io.Reader
		status       int
	}{
		{"POST", "/stage", struct{ io.Reader }{strings.NewReader("PK archive")}, 201},
		{"POST", "", struct{ io.Reader }{strings.NewReader("PK archive")}, 201},
		{"POST", "/run", nil, 202},
		{"POST", "/retry", nil, 202},
		{"POST", "/rollback", nil, 202},
		{"POST", "/commit", nil, 204},
		{"POST", "/pause", nil, 204},
		{"POST", "/resume", nil, 204},
		{"DELETE", "/stage", nil, 204},
		{"GET", "/status", nil, 200},
		{"GET", "/nowhere", nil, 404},
	} {
		r, err := http.NewRequest(c.method, s.URL+"/api/v3/system/upgrade"+c.path, c.body)
		if err != nil {
			t.Fatal(err)
		}
		if c.path == "/status" {
			r.Header.Set("If-None-Match", "*")
			c.status = 304
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text(t, resp)
		if resp.ProtoMajor != 2 || resp.StatusCode != c.status || fmt.Sprint(resp.Header["Content-Type"]) != "[application/json]" {
			t.Errorf("%s %s: %s %s %v", c.method, c.path, resp.Proto, resp.Status, resp.Header)
		}
	}
	if f.put.Size != -1 {
		t.Errorf("the size is given as %d", f.put.Size)
	}
}

// A repeated run and a repeated unstage are the upgrader's to allow: nothing here
// keeps a second one from it.
func TestRepeatedRequestsReachTheUpgrader(t *testing.T) {
	f := staged()
	f.set("", func(r *tracking.Run) { r.Status = tracking.Working })
	h := handler(t, config(f))
	for range 3 {
		if r := do(h, "POST", "/api/v3/system/upgrade/run", ""); r.StatusCode != 202 {
			t.Errorf("run: %s", r.Status)
		}
		if r := do(h, "DELETE", "/api/v3/system/upgrade/stage", ""); r.StatusCode != 204 {
			t.Errorf("unstage: %s", r.Status)
		}
		if r := do(h, "POST", "/api/v3/system/upgrade/retry", ""); r.StatusCode != 202 {
			t.Errorf("retry: %s", r.Status)
		}
		if r := do(h, "POST", "/api/v3/system/upgrade/pause", ""); r.StatusCode != 204 {
			t.Errorf("pause: %s", r.Status)
		}
		if r := do(h, "POST", "/api/v3/system/upgrade/rollback", ""); r.StatusCode != 202 {
			t.Errorf("rollback: %s", r.Status)
		}
		if r := do(h, "POST", "/api/v3/system/upgrade/commit", ""); r.StatusCode != 204 {
			t.Errorf("commit: %s", r.Status)
		}
	}
	if n := len(f.seen()); n != 18 {
		t.Errorf("%d calls: %v", n, f.seen())
	}
	f.fail = errors.Join(&upgrade.Refusal{Kind: upgrade.NotFound, Reason: "NothingStaged", Message: "nothing is staged"})
	if r := do(h, "DELETE", "/api/v3/system/upgrade/stage", ""); r.StatusCode != 404 {
		t.Errorf("unstage of nothing: %s", r.Status)
	}
}

var _ httpapi.Upgrader = (*fake)(nil)
