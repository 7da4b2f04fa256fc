package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
)

func TestSlowUploads(t *testing.T) {
	// A middleware that hides the deadlines of the connection.
	hiding := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	}
	for name, middleware := range map[string]func(http.Handler) http.Handler{
		"deadlines": func(h http.Handler) http.Handler { return h },
		"watchdog":  hiding,
	} {
		for reason, limits := range map[string][2]time.Duration{
			"UploadStalled": {50 * time.Millisecond, time.Hour},
			"UploadTooSlow": {time.Hour, 50 * time.Millisecond},
		} {
			t.Run(name+" "+reason, func(t *testing.T) {
				c := config(&fake{})
				c.UploadIdle, c.UploadTotal = limits[0], limits[1]
				s := serve(t, middleware(handler(t, c)))
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789", stage)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := text(t, resp); resp.StatusCode != 408 || !strings.Contains(got, reason) || !strings.Contains(got, "10 bytes") {
					t.Errorf("%s %s", resp.Status, got)
				}
			})
		}
	}
}

// The server may limit what a request takes from its head on: an upload that
// moves, and work on it afterwards, may take longer.
func TestUploadOutlastsTheServersTimeouts(t *testing.T) {
	f := &fake{stage: func(ctx context.Context, body io.Reader, _ upgrade.StageOptions) (upgrade.Staged, error) {
		s, err := take(body)
		select { // as long as the deadlines would need to do harm
		case <-time.After(750 * time.Millisecond):
		case <-ctx.Done():
			t.Error("the context ended while the upload was worked on")
		}
		return s, err
	}}
	c := config(f)
	c.UploadIdle = 500 * time.Millisecond // several pieces, on a machine with other things to do
	s := httptest.NewUnstartedServer(handler(t, c))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
	s.Start()
	defer s.Close()
	pr, pw := io.Pipe()
	go func() {
		for range 6 {
			time.Sleep(150 * time.Millisecond)
			fmt.Fprint(pw, "piece")
		}
		pw.Close()
	}()
	resp, err := http.Post(s.URL+stage, "", pr)
	if err != nil {
		t.Fatal(err)
	}
	if body := text(t, resp); resp.StatusCode != 201 {
		t.Errorf("%s %s", resp.Status, body)
	}
}

func TestOneUploadAtATime(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := &fake{stage: func(_ context.Context, body io.Reader, _ upgrade.StageOptions) (upgrade.Staged, error) {
		entered <- struct{}{}
		<-leave
		return take(body)
	}}
	h := handler(t, config(f))
	first := make(chan int, 1)
	go func() { first <- do(h, "POST", stage, "abc").StatusCode }()
	<-entered
	for _, target := range []string{stage, "/api/v3/system/upgrade"} {
		r := do(h, "POST", target, "abc")
		if got := text(t, r); r.StatusCode != 429 || !strings.Contains(got, "UploadInProgress") || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s %s", target, r.Status, got)
		}
	}
	close(leave)
	if status := <-first; status != 201 {
		t.Errorf("the first: %d", status)
	}
	go func() { <-entered }()
	if r := do(h, "POST", stage, "abc"); r.StatusCode != 201 {
		t.Errorf("afterwards: %s", r.Status)
	}
}

// meter makes bytes, and knows how many of them nobody has consumed yet.
type meter struct {
	left, made, used, worst int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), m.left)
	m.left -= n
	m.made += n
	return int(n), nil
}

func (m *meter) consume(body io.Reader) (upgrade.Staged, error) {
	buf := make([]byte, 8<<10)
	for {
		n, err := body.Read(buf)
		m.worst = max(m.worst, m.made-m.used)
		m.used += int64(n)
		if err == io.EOF {
			return upgrade.Staged{}, nil
		}
		if err != nil {
			return upgrade.Staged{}, err
		}
	}
}

// What lies between the client and the store is one buffer, whatever the size.
func TestUploadsAreStreamed(t *testing.T) {
	const size = 160 << 20
	synctest.Test(t, func(t *testing.T) { // one goroutine at a time: the meter needs no lock
		m := &meter{left: size}
		f := &fake{stage: func(_ context.Context, body io.Reader, _ upgrade.StageOptions) (upgrade.Staged, error) {
			return m.consume(body)
		}}
		r := httptest.NewRequest("POST", stage, m)
		r.ContentLength = -1
		w := httptest.NewRecorder()
		handler(t, config(f)).ServeHTTP(w, r)
		if w.Code != 201 || m.used != size {
			t.Fatalf("%d, %d bytes; %s", w.Code, m.used, w.Body)
		}
		if m.worst > 64<<10 {
			t.Errorf("%d bytes were held at once", m.worst)
		}
	})
}

func BenchmarkUpload(b *testing.B) {
	const size = 128 << 20
	f := &fake{stage: func(_ context.Context, body io.Reader, _ upgrade.StageOptions) (upgrade.Staged, error) {
		_, err := io.Copy(io.Discard, body)
		return upgrade.Staged{}, err
	}}
	s := serve(b, handler(b, config(f)))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := http.Post(s.URL+stage, "application/octet-stream", struct{ io.Reader }{&meter{left: size}})
		if err != nil {
			b.Fatal(err)
		}
		if text(b, resp); resp.StatusCode != 201 {
			b.Fatal(resp.Status)
		}
	}
}
