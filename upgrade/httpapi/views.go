package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// StatusMediaType in Accept asks status for an upgrade.Status.
const StatusMediaType = "application/vnd.leaderlast.status+json"

// A view reads the record and returns how it is shown at one path, and its
// entity tag.
type view func(ctx context.Context) (doc reply, etag string, err error)

// status shows the profile, as existing clients know it, or the document.
func (h *Handler) status(c *call) (reply, error) {
	show := h.ofProfile(func(p tracking.Profile) (any, error) { return p, nil })
	switch asked := c.r.URL.Query().Get("view"); {
	case asked == "2", asked == "" && accepts(c.r, StatusMediaType):
		show = h.document
	case asked != "" && asked != "1":
		return reply{}, badRequest("there is no view %q; the views are 1, the profile, and 2, the status", asked)
	}
	rep, err := h.read(c, show)
	if err == nil {
		rep.header["Vary"] = "Accept"
	}
	return rep, err
}

func (h *Handler) document(ctx context.Context) (reply, string, error) {
	s, err := h.c.Upgrader.Status(ctx)
	if err != nil {
		return reply{}, "", err
	}
	// Weak: two documents of one revision differ in when they were made. The
	// record is shared, so members give the same tag.
	etag := fmt.Sprintf(`W/"status-%d"`, s.Revision)
	if s.Stale {
		etag = fmt.Sprintf(`W/"status-%d-stale"`, s.Revision)
	}
	return jsonReply(http.StatusOK, s), etag, nil
}

func (h *Handler) profiles(c *call) (reply, error) {
	return h.read(c, func(ctx context.Context) (reply, string, error) {
		run, err := h.c.Upgrader.Record(ctx)
		if err != nil {
			return reply{}, "", err
		}
		list := []tracking.Profile{}
		if p, ok := run.Profile(); ok {
			list = append(list, p)
		}
		return tagged(list)
	})
}

func (h *Handler) profile(c *call) (reply, error) {
	return h.read(c, h.ofProfile(func(p tracking.Profile) (any, error) {
		return p, named(c, p)
	}))
}

func (h *Handler) params(c *call) (reply, error) {
	return h.read(c, h.ofProfile(func(p tracking.Profile) (any, error) {
		return p.Params, named(c, p)
	}))
}

func (h *Handler) param(c *call) (reply, error) {
	return h.read(c, h.ofProfile(func(p tracking.Profile) (any, error) {
		if err := named(c, p); err != nil {
			return nil, err
		}
		_, key, _ := strings.Cut(c.path, "/params/")
		value, ok := p.Params[key]
		if !ok {
			return nil, &upgrade.Refusal{Kind: upgrade.NotFound, Reason: ReasonNoSuchParam,
				Message: fmt.Sprintf("the profile has no parameter %q now", key)}
		}
		return value, nil
	}))
}

// named refuses profiles other than p; those of the host are the host's to serve.
func named(c *call, p tracking.Profile) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(c.path, "profiles/"), "/")
	if name != p.Name {
		return noProfile()
	}
	return nil
}

// noProfile says what the reference product says.
func noProfile() *upgrade.Refusal {
	return &upgrade.Refusal{Kind: upgrade.NotFound, Reason: ReasonNoSuchProfile, Message: "Not Found"}
}

// ofProfile is the view of what show returns for the profile of the record.
func (h *Handler) ofProfile(show func(tracking.Profile) (any, error)) view {
	return func(ctx context.Context) (reply, string, error) {
		run, err := h.c.Upgrader.Record(ctx)
		if err != nil {
			return reply{}, "", err
		}
		p, ok := run.Profile()
		if !ok {
			return reply{}, "", noProfile()
		}
		v, err := show(p)
		if err != nil {
			return reply{}, "", err
		}
		return tagged(v)
	}
}

// tagged returns v with a tag over its bytes: equal records, equal tags, also
// after a restart.
func tagged(v any) (reply, string, error) {
	rep := jsonReply(http.StatusOK, v)
	sum := sha256.Sum256(rep.body)
	return rep, `"` + hex.EncodeToString(sum[:12]) + `"`, nil
}

// read answers with what show returns, or with 304 while the client has it. With
// Prefer: wait it waits for a change first.
func (h *Handler) read(c *call, show view) (reply, error) {
	ctx := c.r.Context()
	have := c.r.Header.Values("If-None-Match")
	wait := preferWait(c.r.Header)
	var place tracking.Revision
	if wait > 0 && len(have) > 0 {
		// The place comes before the look: a change in between wakes at once.
		var err error
		if place, err = h.c.Upgrader.Wait(ctx, ""); err != nil {
			return reply{}, err
		}
		var cancel context.CancelFunc
		ctx, cancel = h.untilDraining(ctx, wait)
		defer cancel()
		// The server's limits count from the head of the request and know nothing
		// of waiting; net/http sets them again for the next request.
		rc := http.NewResponseController(c.w)
		_ = errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{}))
	}
	for {
		rep, etag, err := show(c.r.Context())
		if err != nil {
			return reply{}, err
		}
		if !matches(have, etag) {
			rep.header["ETag"] = etag
			return withWait(rep, wait), nil
		}
		if wait > 0 {
			if place, err = h.c.Upgrader.Wait(ctx, place); err == nil {
				continue
			}
			if ctx.Err() == nil {
				return reply{}, err
			}
		}
		rep = reply{status: http.StatusNotModified, header: map[string]string{"ETag": etag}}
		return withWait(rep, wait), nil
	}
}

func (h *Handler) untilDraining(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	if h.c.Draining == nil {
		return ctx, cancel
	}
	draining := h.c.Draining()
	go func() {
		select {
		case <-draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// withWait says which preference was heeded (RFC 7240, 3).
func withWait(rep reply, wait time.Duration) reply {
	if wait > 0 {
		rep.header["Preference-Applied"] = "wait=" + strconv.Itoa(int(wait/time.Second))
	}
	return rep
}

// preferWait returns for how long the client likes to wait, 0 if it does not say.
func preferWait(header http.Header) time.Duration {
	for pref := range strings.SplitSeq(strings.Join(header.Values("Prefer"), ","), ",") {
		pref, _, _ = strings.Cut(pref, ";")
		name, value, _ := strings.Cut(pref, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 32)
		if err != nil {
			return 0
		}
		return min(time.Duration(seconds)*time.Second, MaxWait)
	}
	return 0
}

// matches reports whether one of the tags in If-None-Match is etag, in the weak
// comparison (RFC 9110, 13.1.2). Quotes may be missing: people type these.
func matches(have []string, etag string) bool {
	bare := func(tag string) string {
		return strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
	}
	for tag := range strings.SplitSeq(strings.Join(have, ","), ",") {
		if tag = bare(tag); tag != "" && (tag == "*" || tag == bare(etag)) {
			return true
		}
	}
	return false
}

func accepts(r *http.Request, want string) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err == nil && kind == want && params["q"] != "0" {
			return true
		}
	}
	return false
}
