package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// ReasonUploadLost says that the connection was lost during an upload.
const ReasonUploadLost = "UploadLost"

// UploadOptions go with an upload.
type UploadOptions struct {
	Digest archive.Digest // of the archive, for the server to compare; may be ""

	// Progress is told how many bytes have been sent, each time some were; may be
	// nil. It is not called after the upload has returned.
	Progress func(sent int64)
}

// Stage uploads the archive in body, size bytes long, -1 if that is not known,
// and returns once it is staged. An upload is sent again only if nothing of it
// was read. After an error body may still be read from for a moment; it is
// never closed.
func (c *Client) Stage(ctx context.Context, body io.Reader, size int64, o UploadOptions) (upgrade.Staged, error) {
	return c.upload(ctx, "system/upgrade/stage", body, size, o)
}

// Legacy uploads an archive, and starts it: for servers that know nothing else.
func (c *Client) Legacy(ctx context.Context, body io.Reader, size int64, o UploadOptions) (upgrade.Staged, error) {
	return c.upload(ctx, "system/upgrade", body, size, o)
}

// Run starts what is staged, and returns the id of the run. The server knows by
// itself who asks.
func (c *Client) Run(ctx context.Context, o upgrade.StartOptions) (string, error) {
	q := url.Values{"skip": o.Skip}
	if o.Plan != "" {
		q.Set("plan", o.Plan)
	}
	allow(q, o.AllowOutage)
	a, err := c.ask(ctx, question{method: http.MethodPost, path: "system/upgrade/run", query: q})
	return a.header.Get(headerRun), err
}

func allow(q url.Values, outage bool) {
	if outage {
		q.Set("allow-outage", "1")
	}
}

// Retry goes on after a run that failed, and returns the id of the new one.
func (c *Client) Retry(ctx context.Context, o upgrade.RetryOptions) (string, error) {
	return c.follow(ctx, "system/upgrade/retry", o)
}

// Rollback goes back to the programs that are kept, and returns the id of the run
// that does.
func (c *Client) Rollback(ctx context.Context, o upgrade.RollbackOptions) (string, error) {
	return c.follow(ctx, "system/upgrade/rollback", upgrade.RetryOptions(o))
}

func (c *Client) follow(ctx context.Context, path string, o upgrade.RetryOptions) (string, error) {
	q := url.Values{"skip": o.Skip, "forget": o.Forget}
	allow(q, o.AllowOutage)
	a, err := c.ask(ctx, question{method: http.MethodPost, path: path, query: q})
	return a.header.Get(headerRun), err
}

// Commit gives up the programs that are kept, and with them the way back.
func (c *Client) Commit(ctx context.Context) error {
	_, err := c.ask(ctx, question{method: http.MethodPost, path: "system/upgrade/commit"})
	return err
}

// Pause lets no further member begin its turn; a turn in flight is completed.
func (c *Client) Pause(ctx context.Context) error {
	_, err := c.ask(ctx, question{method: http.MethodPost, path: "system/upgrade/pause"})
	return err
}

// Resume lets a paused run go on.
func (c *Client) Resume(ctx context.Context) error {
	_, err := c.ask(ctx, question{method: http.MethodPost, path: "system/upgrade/resume"})
	return err
}

// Unstage removes what is staged, and cancels a run that works.
func (c *Client) Unstage(ctx context.Context) error {
	_, err := c.ask(ctx, question{method: http.MethodDelete, path: "system/upgrade/stage"})
	return err
}

// Check asks for the prerequisites.
func (c *Client) Check(ctx context.Context, o upgrade.CheckOptions) (upgrade.CheckReport, error) {
	var report upgrade.CheckReport
	return report, c.report(ctx, "system/upgrade/check", o, &report)
}

// Plan asks what a run would do.
func (c *Client) Plan(ctx context.Context, o upgrade.CheckOptions) (upgrade.PlanReport, error) {
	var report upgrade.PlanReport
	return report, c.report(ctx, "system/upgrade/plan", o, &report)
}

func (c *Client) report(ctx context.Context, path string, o upgrade.CheckOptions, into any) error {
	q := question{method: http.MethodGet, path: path, query: url.Values{"skip": o.Skip}}
	allow(q.query, o.AllowOutage)
	if o.Head != nil {
		var err error
		if q.body, err = json.Marshal(o.Head); err != nil {
			return fmt.Errorf("httpapi: encode the head of the archive: %w", err)
		}
		q.method = http.MethodPost
	}
	a, err := c.ask(ctx, q)
	if err != nil {
		return err
	}
	return a.into(into)
}

// Status asks how far it is.
func (c *Client) Status(ctx context.Context) (upgrade.Status, error) {
	var s upgrade.Status
	a, err := c.ask(ctx, question{method: http.MethodGet, path: statusPath, query: statusQuery()})
	if err != nil {
		return s, err
	}
	return s, a.into(&s)
}

const statusPath = "system/upgrade/status"

func statusQuery() url.Values { return url.Values{"view": {"2"}} }

// Profile asks how far it is, in the form that existing clients know. If nothing
// is staged the refusal is of kind NotFound.
func (c *Client) Profile(ctx context.Context) (tracking.Profile, error) {
	var p tracking.Profile
	a, err := c.ask(ctx, question{method: http.MethodGet, path: statusPath})
	if err != nil {
		return p, err
	}
	return p, a.into(&p)
}

func (c *Client) upload(ctx context.Context, path string, from io.Reader, size int64, o UploadOptions) (upgrade.Staged, error) {
	header := map[string]string{"Content-Type": "application/octet-stream", "Expect": "100-continue"}
	if o.Digest != "" {
		raw, err := hex.DecodeString(strings.TrimPrefix(string(o.Digest), "sha256:"))
		if err != nil || len(raw) != 32 {
			return upgrade.Staged{}, badRequest("the digest of the archive is %q, which is no SHA-256", o.Digest)
		}
		header["Content-Digest"] = "sha-256=:" + base64.StdEncoding.EncodeToString(raw) + ":"
	}
	source := &source{from: from, tell: o.Progress}
	defer source.stop()
	refreshed := false
	for round, asked := 0, 1; ; asked++ {
		server := c.server()
		a, err := c.uploadOnce(ctx, server+path, source, size, header)
		switch {
		case err == nil:
			return stagedIn(a)
		case source.touched():
			return upgrade.Staged{}, source.explain(err, size)
		case errors.Is(err, ErrUnauthenticated) && c.refresh != nil && !refreshed:
			refreshed, asked = true, asked-1
			if err := c.refresh(ctx); err != nil {
				return upgrade.Staged{}, fmt.Errorf("httpapi: get fresh credentials for %s: %w", server, err)
			}
			continue
		case !temporary(err) || ctx.Err() != nil:
			return upgrade.Staged{}, err
		}
		c.pass(server)
		if asked%len(c.servers) != 0 {
			continue
		}
		if round >= c.retries {
			return upgrade.Staged{}, err
		}
		if cause := sleep(ctx, backoff(round)); cause != nil {
			return upgrade.Staged{}, fmt.Errorf("%w; given up: %w", err, cause)
		}
		round++
	}
}

func stagedIn(a answer) (upgrade.Staged, error) {
	var info BlobInfo
	if err := a.into(&info); err != nil {
		return upgrade.Staged{}, err
	}
	if info.Staged == nil { // another implementation of the contract
		return upgrade.Staged{Release: archive.Release{Size: info.Size}}, nil
	}
	return *info.Staged, nil
}

func (c *Client) uploadOnce(ctx context.Context, to string, body *source, size int64, header map[string]string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, body)
	if err != nil {
		return answer{}, fmt.Errorf("httpapi: %w", err)
	}
	r.ContentLength = size
	if size == 0 {
		r.Body = http.NoBody // a length of 0 beside a body means "unknown"
	}
	return c.send(r, nil, header)
}

// A source hands on the archive that is uploaded. The transport may go on
// reading when the reply is there already; after stop it gets nothing more.
type source struct {
	from io.Reader
	tell func(int64)

	mu      sync.Mutex
	sent    int64
	began   bool
	stopped bool
	err     error // of from, other than its end
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	stopped := s.stopped
	s.began = true
	s.mu.Unlock()
	if stopped {
		return 0, io.ErrClosedPipe
	}
	n, err := s.from.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return 0, io.ErrClosedPipe
	}
	s.sent += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	if s.tell != nil && n > 0 {
		s.tell(s.sent)
	}
	return n, err
}

func (s *source) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

func (s *source) touched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began
}

// explain says what a lost connection means for what was sent.
func (s *source) explain(err error, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return fmt.Errorf("httpapi: read the archive to upload, after %d bytes: %w", s.sent, s.err)
	}
	if !unreachable(err) {
		return err
	}
	lost := &upgrade.Refusal{Kind: upgrade.Unavailable, Reason: ReasonUploadLost, Err: err,
		Message: fmt.Sprintf("the connection was lost after %d bytes of the archive", s.sent),
		Remedy:  "Upload again; the server keeps nothing of this one."}
	if s.sent == size {
		lost.Message = "the whole archive was sent, but the reply was lost"
		lost.Remedy = "Ask for the status: it may be staged. Uploading it again does no harm."
	}
	return lost
}
