package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// A BlobInfo is the reply to an upload. Path and Size are what drpcli prints.
type BlobInfo struct {
	Path   string          // digest of the archive: the name under which it is kept
	Size   int64           // bytes
	Staged *upgrade.Staged `json:",omitempty"`
}

// headerRun carries the id of the run that a start began, or found working.
const headerRun = "Upgrade-Run"

const (
	maxHead    = 2 << 20 // bytes of an archive.Head
	maxOptions = 64 << 10
	smallTotal = time.Minute // for bodies of these sizes
)

type receive func(context.Context, io.Reader, upgrade.StageOptions) (upgrade.Staged, error)

func (h *Handler) stage(c *call) (reply, error) { return h.upload(c, "staged", h.c.Upgrader.Stage) }

func (h *Handler) legacy(c *call) (reply, error) {
	return h.upload(c, "staged and started", h.c.Upgrader.Legacy)
}

func (h *Handler) upload(c *call, done string, receive receive) (reply, error) {
	if err := acceptable(c.r); err != nil {
		return reply{}, err
	}
	digest, err := announced(c.r)
	if err != nil {
		return reply{}, err
	}
	if c.r.ContentLength > h.c.MaxUpload {
		return reply{}, tooLarge(h.c.MaxUpload)
	}
	if c.r.ContentLength == 0 {
		return reply{}, &upgrade.Refusal{Kind: upgrade.Invalid, Reason: ReasonBadRequest,
			Message: "the body is empty", Remedy: "Send the archive as the body."}
	}
	select {
	case h.uploading <- struct{}{}:
		defer func() { <-h.uploading }()
	default:
		return reply{}, &upgrade.Refusal{Kind: upgrade.Busy, Reason: ReasonUploadInProgress,
			Message: "another upload is being received", Remedy: "Wait until it has ended, and try again."}
	}
	b := h.newBody(c, h.c.MaxUpload, h.c.UploadTotal)
	defer b.close()
	staged, err := receive(c.r.Context(), b, upgrade.StageOptions{By: c.by, Size: c.r.ContentLength, Digest: digest})
	if err != nil {
		if b.err != nil {
			return reply{}, b.err // what the upgrader saw is only that reading failed
		}
		return reply{}, b.explain(err)
	}
	h.log.Info("upgrade API: "+done, "by", c.by, "remote", c.r.RemoteAddr, "archive", staged.Release.Archive,
		"version", staged.Release.Manifest.Version, "size", staged.Release.Size, "already", staged.Already)
	rep := jsonReply(http.StatusCreated, BlobInfo{Path: string(staged.Release.Archive), Size: staged.Release.Size, Staged: &staged})
	rep.flush = true
	return rep, nil
}

func (h *Handler) run(c *call) (reply, error) {
	q := c.r.URL.Query()
	o := upgrade.StartOptions{By: c.by, Plan: q.Get("plan"), Skip: q["skip"]}
	var err error
	if o.AllowOutage, err = asked(q, "allow-outage"); err != nil {
		return reply{}, err
	}
	var sent struct {
		Plan        string   `json:"plan"`
		Skip        []string `json:"skip"`
		AllowOutage bool     `json:"allow_outage"`
	}
	if err := h.options(c, &sent); err != nil {
		return reply{}, err
	}
	if sent.Plan != "" {
		if o.Plan != "" && o.Plan != sent.Plan {
			return reply{}, badRequest("two plans are asked for, %q and %q", o.Plan, sent.Plan)
		}
		o.Plan = sent.Plan
	}
	o.Skip = append(o.Skip, sent.Skip...)
	o.AllowOutage = o.AllowOutage || sent.AllowOutage
	return h.start(c, o)
}

// options reads the JSON body that may be in place of the query. An option that
// is not understood must not be passed over: it was meant to hold the run back.
func (h *Handler) options(c *call, into any) error {
	if c.r.ContentLength == 0 {
		return nil
	}
	return h.decode(c, maxOptions, into, true)
}

// asked reports whether the query asks for name, which may have the value 1,
// true, 0 or false, or none.
func asked(q url.Values, name string) (bool, error) {
	switch v := q.Get(name); {
	case !q.Has(name), v == "0", v == "false":
		return false, nil
	case v == "", v == "1", v == "true":
		return true, nil
	default:
		return false, badRequest("%s is %q; it is 1 or 0", name, v)
	}
}

func (h *Handler) start(c *call, o upgrade.StartOptions) (reply, error) {
	run, err := h.c.Upgrader.Start(c.r.Context(), o)
	if err != nil {
		return reply{}, err
	}
	h.log.Info("upgrade API: started", "by", c.by, "remote", c.r.RemoteAddr, "run", run, "plan", o.Plan, "skip", o.Skip, "allow_outage", o.AllowOutage)
	return runReply(run), nil
}

func runReply(run string) reply {
	rep := emptyReply(http.StatusAccepted)
	rep.header[headerRun] = run
	return rep
}

func (h *Handler) retry(c *call) (reply, error) {
	return h.follow(c, "retried", h.c.Upgrader.Retry)
}

func (h *Handler) rollback(c *call) (reply, error) {
	return h.follow(c, "rolled back", func(ctx context.Context, o upgrade.RetryOptions) (string, error) {
		return h.c.Upgrader.Rollback(ctx, upgrade.RollbackOptions(o))
	})
}

// follow begins a run that follows one that ended.
func (h *Handler) follow(c *call, done string, begin func(context.Context, upgrade.RetryOptions) (string, error)) (reply, error) {
	q := c.r.URL.Query()
	o := upgrade.RetryOptions{By: c.by, Skip: q["skip"], Forget: q["forget"]}
	var err error
	if o.AllowOutage, err = asked(q, "allow-outage"); err != nil {
		return reply{}, err
	}
	var sent struct {
		Skip        []string `json:"skip"`
		Forget      []string `json:"forget"`
		AllowOutage bool     `json:"allow_outage"`
	}
	if err := h.options(c, &sent); err != nil {
		return reply{}, err
	}
	o.Skip, o.Forget = append(o.Skip, sent.Skip...), append(o.Forget, sent.Forget...)
	o.AllowOutage = o.AllowOutage || sent.AllowOutage
	run, err := begin(c.r.Context(), o)
	if err != nil {
		return reply{}, err
	}
	h.log.Info("upgrade API: "+done, "by", c.by, "remote", c.r.RemoteAddr, "run", run, "skip", o.Skip, "forget", o.Forget, "allow_outage", o.AllowOutage)
	return runReply(run), nil
}

func (h *Handler) commit(c *call) (reply, error) {
	if err := h.c.Upgrader.Commit(c.r.Context(), upgrade.CommitOptions{By: c.by}); err != nil {
		return reply{}, err
	}
	h.log.Info("upgrade API: committed", "by", c.by, "remote", c.r.RemoteAddr)
	return emptyReply(http.StatusNoContent), nil
}

func (h *Handler) pause(c *call) (reply, error) {
	if err := h.c.Upgrader.Pause(c.r.Context(), upgrade.PauseOptions{By: c.by}); err != nil {
		return reply{}, err
	}
	h.log.Info("upgrade API: paused", "by", c.by, "remote", c.r.RemoteAddr)
	return emptyReply(http.StatusNoContent), nil
}

func (h *Handler) resume(c *call) (reply, error) {
	if err := h.c.Upgrader.Resume(c.r.Context(), upgrade.PauseOptions{By: c.by}); err != nil {
		return reply{}, err
	}
	h.log.Info("upgrade API: resumed", "by", c.by, "remote", c.r.RemoteAddr)
	return emptyReply(http.StatusNoContent), nil
}

// exec is how a leader of the reference product drives its members.
func (h *Handler) exec(c *call) (reply, error) {
	installed, err := h.c.Upgrader.Installed(c.r.Context())
	if err != nil {
		return reply{}, err
	}
	if installed {
		return emptyReply(http.StatusNoContent), nil
	}
	return h.start(c, upgrade.StartOptions{By: c.by})
}

func (h *Handler) unstage(c *call) (reply, error) {
	if err := h.c.Upgrader.Unstage(c.r.Context(), upgrade.UnstageOptions{By: c.by}); err != nil {
		return reply{}, err
	}
	h.log.Info("upgrade API: unstaged", "by", c.by, "remote", c.r.RemoteAddr)
	return emptyReply(http.StatusNoContent), nil
}

func (h *Handler) check(c *call) (reply, error) {
	o, err := h.checkOptions(c)
	if err != nil {
		return reply{}, err
	}
	report, err := h.c.Upgrader.Check(c.r.Context(), o)
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusOK, report), nil
}

func (h *Handler) plan(c *call) (reply, error) {
	o, err := h.checkOptions(c)
	if err != nil {
		return reply{}, err
	}
	report, err := h.c.Upgrader.Plan(c.r.Context(), o)
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusOK, report), nil
}

func (h *Handler) checkOptions(c *call) (upgrade.CheckOptions, error) {
	q := c.r.URL.Query()
	o := upgrade.CheckOptions{Skip: q["skip"]}
	var err error
	if o.AllowOutage, err = asked(q, "allow-outage"); err != nil {
		return o, err
	}
	if c.r.Method != http.MethodPost || c.r.ContentLength == 0 {
		return o, nil
	}
	o.Head = new(archive.Head)
	return o, h.decode(c, maxHead, o.Head, false)
}

// decode reads a JSON body of at most limit bytes into v.
func (h *Handler) decode(c *call, limit int64, v any, strict bool) error {
	if coding := c.r.Header.Get("Content-Encoding"); coding != "" {
		return &upgrade.Refusal{Kind: upgrade.Invalid, Reason: ReasonMediaType,
			Message: fmt.Sprintf("the body is sent with Content-Encoding %q", coding), Remedy: "Send plain JSON."}
	}
	if c.r.ContentLength > limit {
		return tooLarge(limit)
	}
	b := h.newBody(c, limit, smallTotal)
	defer b.close()
	d := json.NewDecoder(b)
	if strict {
		d.DisallowUnknownFields()
	}
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == nil {
			err = errors.New("something follows the object")
		} else if errors.Is(err, io.EOF) {
			return nil
		}
	}
	if b.err != nil {
		return b.err
	}
	if errors.Is(err, io.EOF) && b.n == 0 && b.want < 0 {
		return nil // of unknown length, and empty
	}
	return &upgrade.Refusal{Kind: upgrade.Invalid, Reason: ReasonBadRequest,
		Message: "the body is not the JSON expected here", Err: err}
}
