package upgrade

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/cluster"
)

// peers asks other members.
type peers struct {
	client *http.Client // nil if there is none
	path   string       // of the routes, below the address of a member
}

func newPeers(client *http.Client, path string) peers {
	p := peers{path: "/" + strings.Trim(cmp.Or(path, DefaultPeerPath), "/")}
	if client != nil {
		c := *client
		// Credentials are for the member that was asked, for nobody else.
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p.client = &c
	}
	return p
}

// PeerProbe returns a Probe, for cluster.Static among others, that asks a member
// for its report: it is healthy if it says that it is ready. An answer by
// another member than was asked is an error. Whether it leads is as the answer
// says, and left as it was if that does not say who does. Path is the
// Config.PeerPath of the members, DefaultPeerPath if empty.
func PeerProbe(client *http.Client, path string) func(ctx context.Context, m cluster.Member) (cluster.Member, error) {
	p := newPeers(client, path)
	return func(ctx context.Context, m cluster.Member) (cluster.Member, error) {
		r, err := p.report(ctx, m)
		if err != nil {
			return m, err
		}
		m.Healthy = r.Ready
		if r.Leader != "" {
			m.Leader = r.Leader == r.Member
		}
		return m, r.unwell()
	}
}

// report asks m for its report.
func (p peers) report(ctx context.Context, m cluster.Member) (PeerReport, error) {
	var r PeerReport
	resp, err := p.ask(ctx, http.MethodGet, m, "report", nil)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPeerReply)).Decode(&r); err != nil {
		return r, fmt.Errorf("upgrade: %s: its report: %w", at(m), err)
	}
	if r.Member != string(m.ID) {
		return r, fmt.Errorf("upgrade: at %s, the address of %s, the member %q answers", m.Addr, m.ID, r.Member)
	}
	return r, nil
}

// look makes m look at the record again.
func (p peers) look(ctx context.Context, m cluster.Member) error {
	resp, err := p.ask(ctx, http.MethodPost, m, "look", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// blob opens the archive d, size bytes long, of m at offset. It ends with an
// error where nothing has come for blobIdle.
func (p peers) blob(ctx context.Context, m cluster.Member, d archive.Digest, offset, size int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	b := &arriving{cancel: cancel, ctx: ctx}
	b.timer = time.AfterFunc(blobIdle, func() { cancel(errStalled) })
	// Compressed on the way it would have no offsets.
	header := http.Header{"Accept-Encoding": {"identity"}}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := p.ask(ctx, http.MethodGet, m, "blob/"+string(d), header)
	if err != nil {
		b.stop()
		if errors.Is(context.Cause(ctx), errStalled) {
			err = fmt.Errorf("upgrade: %s: %w", at(m), errStalled)
		}
		return nil, err
	}
	b.body = resp.Body
	want := fmt.Sprintf("bytes %d-%d/%d", offset, size-1, size)
	switch got := resp.Header.Get("Content-Range"); {
	case resp.StatusCode == http.StatusPartialContent && got != want:
		err = fmt.Errorf("upgrade: %s: gives %q of the archive, not %q", at(m), got, want)
	case resp.StatusCode == http.StatusOK && resp.ContentLength >= 0 && resp.ContentLength != size:
		err = fmt.Errorf("upgrade: %s: its archive has %d bytes, not %d", at(m), resp.ContentLength, size)
	case resp.StatusCode == http.StatusOK && offset > 0: // somebody in between knows no ranges
		_, err = io.CopyN(io.Discard, b, offset)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

const (
	maxPeerReply = 64 << 10
	blobIdle     = 10 * time.Second
)

var errStalled = fmt.Errorf("nothing came for %v", blobIdle)

// arriving is the archive of another member on its way.
type arriving struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (b *arriving) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if n > 0 {
		b.timer.Reset(blobIdle)
	}
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (b *arriving) stop() {
	b.timer.Stop()
	b.cancel(nil)
}

func (b *arriving) Close() error {
	b.stop()
	return b.body.Close()
}

// ask sends a request to m. The error is a *Refusal where m said no. The caller
// must close the body of the answer.
func (p peers) ask(ctx context.Context, method string, m cluster.Member, route string, header http.Header) (*http.Response, error) {
	switch {
	case p.client == nil:
		return nil, noPeerClient()
	case m.Addr == "":
		return nil, fmt.Errorf("upgrade: the address of %s is not known", m.ID)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(m.Addr, "/")+p.path+"/"+route, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrade: ask %s: %w", at(m), err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("upgrade: ask %s: %w", at(m), err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, saidNo(m, resp)
	}
	return resp, nil
}

func at(m cluster.Member) string { return fmt.Sprintf("%s (%s)", m.ID, m.Addr) }

// saidNo is the refusal in an answer.
func saidNo(m cluster.Member, resp *http.Response) error {
	var said struct {
		Reason   string
		Messages []string
	}
	text := resp.Status
	err := json.NewDecoder(io.LimitReader(resp.Body, maxPeerReply)).Decode(&said)
	if err == nil && len(said.Messages) > 0 {
		text = said.Messages[0]
	}
	no := &Refusal{Kind: Unavailable, Reason: cmp.Or(said.Reason, "PeerFailed"), Member: string(m.ID), Message: at(m) + ": " + text}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && after >= 0 {
			no.Kind, no.Until = Busy, time.Now().Add(time.Duration(min(after, 60))*time.Second)
		}
	case http.StatusNotFound:
		no.Kind = NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		no.Kind, no.Remedy = Forbidden, "see that the credentials of Config.PeerClient have the right \"peer\" on all members"
	}
	return no
}

func noPeerClient() error {
	return &Refusal{Kind: NotReady, Reason: "NoPeerClient",
		Message: "this member cannot ask the others: Config.PeerClient of its server is not set",
		Remedy:  "set it in the server's code; its transport carries the credentials that the others take for the right \"peer\""}
}
