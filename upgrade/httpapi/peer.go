package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// peerBlobs is where archives are, followed by their digest.
const peerBlobs = "system/upgrade/peer/blob/"

// sendIdle is how long a member may take no byte of an archive: it goes on with
// another connection, and a server that drains does not wait for it for long.
const sendIdle = 10 * time.Second

func (h *Handler) peerReport(c *call) (reply, error) {
	report, err := h.c.Upgrader.PeerReport(c.r.Context())
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusOK, report), nil
}

func (h *Handler) peerLook(c *call) (reply, error) {
	if err := h.c.Upgrader.PeerLook(c.r.Context()); err != nil {
		return reply{}, err
	}
	return emptyReply(http.StatusNoContent), nil
}

func (h *Handler) peerBlob(c *call) (reply, error) {
	src, size, err := h.c.Upgrader.PeerBlob(c.r.Context(), archive.Digest(strings.TrimPrefix(c.path, peerBlobs)))
	if err != nil {
		return reply{}, err
	}
	s := &sending{src: src, size: size}
	rep := reply{status: http.StatusOK, send: s, header: map[string]string{
		"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}}
	if c.r.Method != http.MethodGet {
		return rep, nil
	}
	from, n, part := ranged(c.r.Header.Get("Range"), size)
	if !part {
		return rep, nil
	}
	if n == 0 {
		s.close()
		rep = h.refuse(resource{model: "system", key: "upgrade"}, &upgrade.Refusal{Kind: upgrade.Invalid, Reason: ReasonRange,
			Message: fmt.Sprintf("the archive has %d bytes; none of them is in %q", size, c.r.Header.Get("Range")), Remedy: "Ask for it from the start."})
		rep.header["Content-Range"] = fmt.Sprintf("bytes */%d", size)
		return rep, nil
	}
	if _, err := src.Seek(from, io.SeekStart); err != nil {
		s.close()
		return reply{}, fmt.Errorf("httpapi: seek in the archive: %w", err)
	}
	s.size = n
	rep.status = http.StatusPartialContent
	rep.header["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, size)
	return rep, nil
}

// ranged returns the first byte of a Range and how many there are, 0 if the
// range has none of them. What is no single range of bytes is passed over, as
// RFC 9110, 14.2 allows.
func ranged(header string, size int64) (from, n int64, part bool) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, ok2 := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !ok2 {
		return 0, size, false
	}
	end := int64(-1)
	if last != "" {
		var err error
		if end, err = strconv.ParseInt(last, 10, 64); err != nil || end < 0 {
			return 0, size, false
		}
	}
	if first == "" {
		if end < 0 {
			return 0, size, false
		}
		n = min(end, size)
		return size - n, n, true
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 || end >= 0 && end < from {
		return 0, size, false
	}
	if from >= size {
		return 0, 0, true
	}
	if end < 0 || end >= size {
		end = size - 1
	}
	return from, end - from + 1, true
}

// A sending is a body that is not held in memory.
type sending struct {
	src  io.ReadSeekCloser
	size int64 // bytes to send, from where src stands
}

func (s *sending) close() { s.src.Close() }

// errDraining ends what is sent when the server is about to stop.
var errDraining = errors.New("the server is about to stop")

// stream sends the body. If that fails the connection is cut: it is the only way
// to say so.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, s *sending) {
	rc := http.NewResponseController(w)
	// Limits of the server, or of a middleware, are for short replies. The one on
	// reading ends the request's context while it is answered: net/http goes on
	// reading, to notice that the client is gone.
	_ = rc.SetReadDeadline(time.Time{})
	var draining <-chan struct{}
	if h.c.Draining != nil {
		draining = h.c.Draining()
	}
	n, err := io.Copy(w, &paced{src: io.LimitReader(s.src, s.size), rc: rc, draining: draining})
	if err == nil && n < s.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		h.log.Info("upgrade API: archive not delivered", "path", r.URL.Path, "remote", r.RemoteAddr, "sent", n, "of", s.size, "error", err)
		panic(http.ErrAbortHandler)
	}
	_ = rc.SetWriteDeadline(time.Time{})
}

// paced sets the deadline of the write that follows each read.
type paced struct {
	src      io.Reader
	rc       *http.ResponseController
	draining <-chan struct{}
}

func (p *paced) Read(b []byte) (int, error) {
	select {
	case <-p.draining:
		return 0, errDraining
	default:
	}
	n, err := p.src.Read(b)
	_ = p.rc.SetWriteDeadline(time.Now().Add(sendIdle))
	return n, err
}
