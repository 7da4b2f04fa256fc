package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
)

// A Handler serves the routes in the package comment. It answers every request
// that reaches it, with a 404 those that it does not know. New makes one.
type Handler struct {
	c         Config
	prefix    string // with a slash at the end
	log       Logger
	origins   http.CrossOriginProtection
	routes    map[string]resource
	uploading chan struct{} // holds one token while an upload is read
}

// A resource is what answers under one path.
type resource struct {
	model, key string // for errors
	methods    map[string]endpoint
}

// An endpoint answers one method. It does not write: what it returns is written
// when nothing can go wrong any more.
type endpoint struct {
	rights []Right // all of them are needed
	serve  func(c *call) (reply, error)
	or     Right // does as well as rights, if not empty
}

// A call is one request on its way.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	path string // below the prefix
	by   string // principal
}

// A reply is what is written in the end.
type reply struct {
	status int
	body   []byte
	header map[string]string // beyond those that all replies have
	flush  bool              // the body must be on its way before the caller goes on
	send   *sending          // in place of body, if not nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.write(w, r, h.answer(w, r))
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (rep reply) {
	path, below := strings.CutPrefix(r.URL.Path, h.prefix)
	res := h.resource(path)
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { //nolint:errorlint // it is compared so by net/http
			panic(v)
		}
		h.log.Error("upgrade API: panic", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
		rep = h.refuse(res, errors.New("the server met an error in its own code; its log has the details"))
	}()
	if !below || res.methods == nil {
		return h.refuse(res, &upgrade.Refusal{Kind: upgrade.NotFound, Reason: ReasonNoSuchPath,
			Message: fmt.Sprintf("nothing is served at %s", strconv.Quote(r.URL.Path))})
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	e, ok := res.methods[method]
	if !ok {
		rep := h.refuse(res, &upgrade.Refusal{Kind: upgrade.Unsupported, Reason: ReasonMethodNotAllowed,
			Message: fmt.Sprintf("%s is not done here", strconv.Quote(r.Method)), Remedy: "Use " + res.allow() + "."})
		rep.header["Allow"] = res.allow()
		return rep
	}
	if err := h.permit(r, e); err != nil {
		h.log.Warn("upgrade API: refused", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr, "error", err)
		return h.refuse(res, err)
	}
	rep, err := e.serve(&call{w: w, r: r, path: path, by: h.principal(r)})
	if err != nil {
		rep = h.refuse(res, err)
		if rep.status >= http.StatusInternalServerError {
			h.log.Error("upgrade API: failed", "method", r.Method, "path", r.URL.Path, "status", rep.status, "error", err)
		} else if method != http.MethodGet {
			h.log.Info("upgrade API: refused", "method", r.Method, "path", r.URL.Path, "status", rep.status, "error", err)
		}
	}
	return rep
}

// permit asks whether r may do what e does. A page of another site is refused
// first: its requests carry credentials that are not its own.
func (h *Handler) permit(r *http.Request, e endpoint) error {
	if err := h.origins.Check(r); err != nil {
		return &upgrade.Refusal{Kind: upgrade.Forbidden, Reason: ReasonCrossOrigin,
			Message: "a page of another site asked for this", Err: err}
	}
	for _, right := range e.rights {
		err := h.c.Authorize(r, right)
		remedy := fmt.Sprintf("Ask for the right %q.", right)
		if err != nil && e.or != "" && !errors.Is(err, ErrUnauthenticated) {
			err = h.c.Authorize(r, e.or)
			remedy = fmt.Sprintf("Ask for the right %q or %q.", right, e.or)
		}
		var own *upgrade.Refusal
		switch {
		case err == nil:
		case errors.Is(err, ErrUnauthenticated):
			return &upgrade.Refusal{Kind: upgrade.Forbidden, Reason: ReasonUnauthenticated,
				Message: strings.TrimSuffix(err.Error(), ": "+ErrUnauthenticated.Error()),
				Remedy:  "Send credentials that this server knows; a token may have run out."}
		case errors.As(err, &own):
			return own
		default:
			return &upgrade.Refusal{Kind: upgrade.Forbidden, Reason: ReasonForbidden, Message: err.Error(),
				Remedy: remedy}
		}
	}
	return nil
}

func (h *Handler) principal(r *http.Request) string {
	if h.c.Principal != nil {
		return h.c.Principal(r)
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// refuse returns the reply for an error about res.
func (h *Handler) refuse(res resource, err error) reply {
	e := wire(res.model, res.key, err)
	rep := jsonReply(e.Code, e)
	switch e.Code {
	case http.StatusUnauthorized:
		rep.header["WWW-Authenticate"] = h.c.Challenge
	case http.StatusTooManyRequests:
		rep.header["Retry-After"] = retryAfter(e.Until)
	}
	return rep
}

// retryAfter is in whole seconds (RFC 9110, 10.2.3), at least one.
func retryAfter(until time.Time) string {
	seconds := 5.0
	if !until.IsZero() {
		seconds = min(max(math.Ceil(time.Until(until).Seconds()), 1), 3600)
	}
	return strconv.Itoa(int(seconds))
}

func jsonReply(status int, v any) reply {
	body, err := json.Marshal(v)
	if err != nil { // the types of this package and of those it serves always can
		panic(fmt.Errorf("httpapi: encode %T: %w", v, err))
	}
	return reply{status: status, body: append(body, '\n'), header: map[string]string{}}
}

func emptyReply(status int) reply {
	return reply{status: status, header: map[string]string{}, flush: true}
}

func (h *Handler) write(w http.ResponseWriter, r *http.Request, rep reply) {
	length := int64(len(rep.body))
	if rep.send != nil {
		defer rep.send.close()
		length = rep.send.size
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	for k, v := range rep.header {
		header.Set(k, v)
	}
	switch rep.status {
	case http.StatusNoContent:
	case http.StatusNotModified:
		// For HTTP/1, net/http takes the type off a 304 by its canonical name.
		if r.ProtoMajor < 2 {
			header.Del("Content-Type")
			header["content-type"] = []string{"application/json"}
		}
	default:
		header.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	w.WriteHeader(rep.status)
	if r.Method != http.MethodHead && rep.send != nil {
		h.stream(w, r, rep.send)
	}
	if r.Method != http.MethodHead && len(rep.body) > 0 {
		if _, err := w.Write(rep.body); err != nil {
			h.log.Debug("upgrade API: reply not delivered", "path", r.URL.Path, "error", err)
			return
		}
	}
	if rep.flush {
		if err := http.NewResponseController(w).Flush(); err != nil {
			h.log.Debug("upgrade API: reply not flushed", "path", r.URL.Path, "error", err)
		}
	}
}
