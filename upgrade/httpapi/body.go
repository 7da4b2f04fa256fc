package httpapi

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A body reads what a client uploads, within limits of size and time, and turns
// every way in which it can end too early into a refusal. It keeps nothing.
type body struct {
	src   io.Reader
	rc    *http.ResponseController // nil if the writer takes no deadlines
	pump  *pump                    // in its place
	want  int64                    // bytes announced, -1 if unknown
	limit int64
	idle  time.Duration
	ends  time.Time
	drop  func() // asks net/http to close the connection after the reply

	n   int64
	eof bool
	err *upgrade.Refusal // what ended it, other than its end
}

// newBody reads the body of r. The caller must close it.
func (h *Handler) newBody(c *call, limit int64, total time.Duration) *body {
	b := &body{src: c.r.Body, want: c.r.ContentLength, limit: limit, idle: h.c.UploadIdle, ends: time.Now().Add(total)}
	b.drop = func() {
		if c.r.ProtoMajor < 2 { // a stream of HTTP/2 ends by itself
			c.w.Header().Set("Connection", "close")
		}
	}
	rc := http.NewResponseController(c.w)
	if err := rc.SetReadDeadline(b.deadline()); err == nil {
		b.rc = rc
		// The server's own limits count from the head of the request, and would
		// leave no time to answer a long upload.
		_ = rc.SetWriteDeadline(time.Time{})
		return b
	}
	h.log.Debug("upgrade API: no deadlines on this connection: a middleware hides http.ResponseController", "path", c.r.URL.Path)
	b.pump = newPump(c.r.Body)
	return b
}

func (b *body) deadline() time.Time {
	d := time.Now().Add(b.idle)
	if b.ends.Before(d) {
		return b.ends
	}
	return d
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.eof:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	// One byte more than allowed is asked for: an upload of just the limit is
	// told from a longer one.
	if room := b.limit + 1 - b.n; int64(len(p)) > room {
		p = p[:room]
	}
	var n int
	var err error
	if b.rc != nil {
		_ = b.rc.SetReadDeadline(b.deadline())
		n, err = b.src.Read(p)
	} else {
		n, err = b.pump.read(p, b.deadline())
	}
	b.n += int64(n)
	switch {
	case b.n > b.limit:
		b.err = tooLarge(b.limit)
		return 0, b.err
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.n >= b.want:
		b.eof = true
		if b.rc != nil {
			// The deadline was for the body. net/http goes on reading, to notice that
			// the client is gone.
			_ = b.rc.SetReadDeadline(time.Time{})
		}
		return n, io.EOF
	}
	b.err = b.early(err)
	return n, b.err
}

// early is the refusal for a body that ended by err, before its end.
func (b *body) early(err error) *upgrade.Refusal {
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		if !time.Now().Before(b.ends) {
			return &upgrade.Refusal{Kind: upgrade.Short, Reason: ReasonUploadTooSlow, Err: err,
				Message: fmt.Sprintf("the upload took too long and was given up after %d bytes", b.n),
				Remedy:  "Upload over a faster connection, or raise Config.UploadTotal of the server."}
		}
		return &upgrade.Refusal{Kind: upgrade.Short, Reason: ReasonUploadStalled, Err: err,
			Message: fmt.Sprintf("nothing came for %v, after %d bytes", b.idle, b.n), Remedy: "Upload again."}
	}
	text := fmt.Sprintf("the body ended early, after %d bytes", b.n)
	if b.want >= 0 {
		text += fmt.Sprintf(" of %d", b.want)
	}
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		text += fmt.Sprintf(", at a limit of %d", limit.Limit)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &upgrade.Refusal{Kind: upgrade.Short, Reason: ReasonBodyEndedEarly, Err: err,
		Message: text + ": a limit in front of this handler?", Remedy: earlyRemedy}
}

const earlyRemedy = "Upload again; if it ends at the same place, raise the limit on request bodies in the middleware or proxy in front of the server."

// close lets go of the connection. If the client has not sent everything, the
// reply does not wait for the rest, as net/http would have it: it may never come.
func (b *body) close() {
	if b.pump != nil {
		close(b.pump.quit)
	}
	if b.eof {
		return
	}
	b.drop()
	if b.rc != nil {
		_ = b.rc.SetReadDeadline(time.Now().Add(5 * time.Second))
	}
}

// explain adds a guess to a refusal of an archive whose upload ended at a round
// number of bytes: a middleware may end a body of unknown length without a trace.
func (b *body) explain(err error) error {
	const binary, decimal = 64 << 10, 1_000_000
	var r *upgrade.Refusal
	if b.n == 0 || b.n%binary != 0 && b.n%decimal != 0 || b.want >= 0 || !errors.As(err, &r) || r.Kind != upgrade.Invalid {
		return err
	}
	guess := *r
	guess.Remedy = strings.TrimSpace(guess.Remedy + fmt.Sprintf(
		" The body ended after exactly %d bytes: a limit in front of this handler?", b.n))
	return &guess
}

func tooLarge(limit int64) *upgrade.Refusal {
	return &upgrade.Refusal{Kind: upgrade.TooLarge, Reason: ReasonBodyTooLarge,
		Message: fmt.Sprintf("the body is larger than the %d bytes allowed here", limit),
		Remedy:  "Leave out what this server does not need, or raise the limit in its configuration."}
}

// acceptable judges the headers of an upload.
func acceptable(r *http.Request) error {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return &upgrade.Refusal{Kind: upgrade.Invalid, Reason: ReasonMediaType,
			Message: fmt.Sprintf("the body is sent with Content-Encoding %q", coding),
			Remedy:  "Send the archive as it is, without Content-Encoding."}
	}
	sent := r.Header.Get("Content-Type")
	if sent == "" {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(sent)
	switch kind {
	case "application/octet-stream", "application/zip", "application/x-zip-compressed",
		"application/gzip", "application/x-gzip", "application/tar+gzip", "application/x-gtar", "application/x-compressed-tar":
		return nil
	}
	refusal := &upgrade.Refusal{Kind: upgrade.Invalid, Reason: ReasonMediaType,
		Message: fmt.Sprintf("the body is sent as %q", sent),
		Remedy:  "Send the bytes of the archive as Content-Type: application/octet-stream."}
	if strings.HasPrefix(kind, "multipart/") {
		refusal.Message = fmt.Sprintf("the body is a form (%s), not an archive", kind)
	}
	return refusal
}

// announced returns the digest that the client says its body has, "" if none.
func announced(r *http.Request) (archive.Digest, error) {
	var found archive.Digest
	add := func(raw []byte, err error, where, value string) error {
		if err != nil || len(raw) != 32 {
			return badRequest("%s is %q, which is no SHA-256", where, value)
		}
		d := archive.Digest("sha256:" + hex.EncodeToString(raw))
		if found != "" && found != d {
			return badRequest("two digests are announced for the body, %s and %s", found, d)
		}
		found = d
		return nil
	}
	for _, value := range r.URL.Query()["sha256"] {
		raw, err := hex.DecodeString(strings.TrimPrefix(value, "sha256:"))
		if err := add(raw, err, "the parameter sha256", value); err != nil {
			return "", err
		}
	}
	// A dictionary of byte sequences between colons (RFC 9530, 2; RFC 8941, 3.2).
	// Algorithms that we do not know are to be ignored.
	for field := range strings.SplitSeq(strings.Join(r.Header.Values("Content-Digest"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if !strings.EqualFold(name, "sha-256") {
			continue
		}
		value, _, _ = strings.Cut(value, ";")
		inner, ok := strings.CutPrefix(strings.TrimSpace(value), ":")
		inner, ok2 := strings.CutSuffix(inner, ":")
		if !ok || !ok2 {
			return "", badRequest("Content-Digest is %q, which is no SHA-256", value)
		}
		raw, err := base64.StdEncoding.DecodeString(inner)
		if err := add(raw, err, "Content-Digest", value); err != nil {
			return "", err
		}
	}
	return found, nil
}

func badRequest(format string, args ...any) *upgrade.Refusal {
	return &upgrade.Refusal{Kind: upgrade.Invalid, Reason: ReasonBadRequest, Message: fmt.Sprintf(format, args...)}
}
