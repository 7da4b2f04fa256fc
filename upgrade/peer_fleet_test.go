package upgrade

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
)

// A fleetWire takes requests between the members of a fleet to the methods that
// a handler would call: no sockets, so that it works in a bubble.
type fleetWire struct{ f *fleet }

var errAway = errors.New("connection refused")

func (w fleetWire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.f.mu.Lock()
	p := w.f.alive[r.URL.Host]
	w.f.mu.Unlock()
	if p == nil || p.ctx.Err() != nil {
		return nil, errAway
	}
	reply := func(status int, body io.ReadCloser, header http.Header) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: body, Header: header, ContentLength: -1, Request: r}, nil
	}
	refused := func(err error) (*http.Response, error) {
		status, header := http.StatusServiceUnavailable, http.Header{}
		var no *Refusal
		errors.As(err, &no)
		switch no.Kind {
		case Busy:
			status = http.StatusTooManyRequests
			header.Set("Retry-After", strconv.Itoa(1+int(time.Until(no.Until)/time.Second)))
		case NotFound:
			status = http.StatusNotFound
		}
		b, _ := json.Marshal(map[string]any{"Reason": no.Reason, "Messages": []string{no.Message}})
		return reply(status, io.NopCloser(bytes.NewReader(b)), header)
	}
	switch route, d, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, DefaultPeerPath+"/"), "/"); route {
	case "report":
		report, err := p.PeerReport(r.Context())
		if err != nil {
			return refused(err)
		}
		b, err := json.Marshal(report)
		if err != nil {
			return nil, err
		}
		return reply(http.StatusOK, io.NopCloser(bytes.NewReader(b)), nil)
	case "look":
		if err := p.PeerLook(r.Context()); err != nil {
			return refused(err)
		}
		return reply(http.StatusNoContent, http.NoBody, nil)
	case "blob":
		body, size, err := p.PeerBlob(r.Context(), archive.Digest(d))
		if err != nil {
			return refused(err)
		}
		from, part := int64(0), r.Header.Get("Range")
		if part == "" {
			return reply(http.StatusOK, body, nil)
		}
		if _, err := fmt.Sscanf(part, "bytes=%d-", &from); err != nil {
			return nil, err
		}
		if _, err := body.Seek(from, io.SeekStart); err != nil {
			return nil, err
		}
		return reply(http.StatusPartialContent, body, http.Header{"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", from, size-1, size)}})
	}
	return nil, fmt.Errorf("no such route: %s", r.URL)
}
