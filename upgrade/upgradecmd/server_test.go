package upgradecmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// RoundTrip answers as a server does.
func (f *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/run") {
		f.mu.Lock()
		f.runs++
		f.mu.Unlock()
	}
	if err := f.unreachable(r.URL.Host); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	f.tokens = append(f.tokens, r.Header.Get("Authorization"))
	f.mu.Unlock()
	verb := strings.TrimPrefix(r.URL.Path, "/api/v3/system/upgrade/")
	if r.Method == http.MethodDelete {
		verb = "unstage"
	}
	if no, ok := f.script.Refuse[verb]; ok {
		return reply(no.Code, no, ""), nil
	}
	switch verb {
	case "check":
		return reply(http.StatusOK, f.script.Check, ""), nil
	case "plan":
		return reply(http.StatusOK, f.script.Plan, ""), nil
	case "status":
		return f.poll(r)
	case "stage":
		return f.stage(r)
	case "run":
		f.mu.Lock()
		f.queries = append(f.queries, verb+"?"+r.URL.RawQuery)
		f.mu.Unlock()
		if f.script.LoseRun {
			f.script.LoseRun = false
			lost := []change{{Down: []string{"m1"}}, {After: "20s", Up: []string{"m1"}}}
			if f.script.Accept {
				f.play(append(lost, f.script.Run...))
			} else {
				f.play(lost)
			}
			time.Sleep(time.Second)
			return nil, fmt.Errorf("read tcp %s: %w", r.URL.Host, syscall.ECONNRESET)
		}
		f.play(f.script.Run)
		return reply(http.StatusAccepted, nil, ""), nil
	case "retry", "rollback", "commit", "pause", "resume":
		f.mu.Lock()
		f.queries = append(f.queries, verb+"?"+r.URL.RawQuery)
		f.mu.Unlock()
		list := map[string][]change{"retry": f.script.Retry, "rollback": f.script.Back, "commit": f.script.Commit,
			"pause": f.script.Pause, "resume": f.script.Resume}[verb]
		for len(list) > 0 && list[0].After == "" {
			f.apply(list[0])
			list = list[1:]
		}
		f.play(list)
		if verb == "retry" || verb == "rollback" {
			rep := reply(http.StatusAccepted, nil, "")
			rep.Header.Set("Upgrade-Run", "01JD7Q8Y8A1C")
			return rep, nil
		}
		return reply(http.StatusNoContent, nil, ""), nil
	case "unstage":
		if err := sleepFor(r.Context(), f.script.Slow); err != nil {
			return nil, err
		}
		f.play(f.script.Remove)
		return reply(http.StatusNoContent, nil, ""), nil
	}
	f.t.Errorf("server: %s %s", r.Method, r.URL)
	return nil, errors.New("no such path")
}

func (f *fakeServer) poll(r *http.Request) (*http.Response, error) {
	wait := 0
	if text, ok := strings.CutPrefix(r.Header.Get("Prefer"), "wait="); ok {
		wait, _ = strconv.Atoi(text)
	}
	end := time.After(time.Duration(wait) * time.Second)
	for {
		s, changed := f.status(r.URL.Host)
		tag := fmt.Sprintf(`W/"%d"`, s.Revision)
		// A member that went down with this very change does not tell of it.
		if err := f.unreachable(r.URL.Host); err != nil {
			return nil, fmt.Errorf("read tcp %s: %w", r.URL.Host, syscall.ECONNRESET)
		}
		if r.Header.Get("If-None-Match") != tag {
			return reply(http.StatusOK, s, tag), nil
		}
		select {
		case <-changed:
		case <-end:
			return reply(http.StatusNotModified, nil, tag), nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// stage takes an upload at the speed of the script.
func (f *fakeServer) stage(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	buf := make([]byte, 64<<10)
	var n int64
	began := time.Now()
	for {
		k, err := r.Body.Read(buf)
		n += int64(k)
		f.mu.Lock()
		f.got = n
		f.mu.Unlock()
		if f.script.Rate > 0 {
			due := time.Duration(float64(n) / float64(f.script.Rate) * float64(time.Second))
			select {
			case <-time.After(due - time.Since(began)):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if err := sleepFor(r.Context(), f.script.Verify); err != nil {
		return nil, err
	}
	for _, c := range f.script.Stage {
		f.apply(c)
	}
	staged := upgrade.Staged{Run: "01JD7Q8Y7K3F", Already: f.script.Already, Release: archive.Release{
		Manifest: archive.Manifest{Product: "provd", Version: "4.12.0", Counter: 57}, SignedBy: []string{"9F2C11AB"}}}
	return reply(http.StatusCreated, httpapi.BlobInfo{Path: "x", Size: n, Staged: &staged}, ""), nil
}

func reply(code int, body any, tag string) *http.Response {
	data, _ := json.Marshal(body)
	if body == nil {
		data = nil
	}
	h := http.Header{"Content-Type": {"application/json"}}
	if tag != "" {
		h.Set("ETag", tag)
	}
	return &http.Response{StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(bytes.NewReader(data)), ContentLength: int64(len(data))}
}
